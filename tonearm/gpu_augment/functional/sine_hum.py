"""Hum: a sine added to the clip."""

import math

import torch
from torch import Tensor

from tonearm.gpu_augment.functional.layout import check_waveform
from tonearm.gpu_augment.functional.noise import add_noise

_ROW = 512  # samples


def sine(*, cycles_per_sample: Tensor, phase: Tensor, num_samples: int) -> Tensor:
    """Sines.

        s(t) = sin(2π · (f·t + φ))

    In float32, but right to its rounding however long: with t = 512·q + r it is

        s(512·q + r) = sin(2π(512·f·q + φ)) · cos(2π·f·r) + cos(2π(512·f·q + φ)) · sin(2π·f·r),

    four tables of few numbers, made in float64, and two passes over the samples.

    Args:
        cycles_per_sample: (batch,) f, frequency over sample rate.
        phase: (batch,) φ, in cycles.
        num_samples: t runs from 0 to num_samples - 1.

    Returns:
        (batch, num_samples) float32.

    Example:
        >>> quarter = torch.tensor([0.25])
        >>> sine(cycles_per_sample=quarter, phase=0 * quarter, num_samples=4).round(decimals=4).abs()
        tensor([[0., 1., 0., 1.]])
    """
    frequency, phase = cycles_per_sample.double()[:, None], phase.double()[:, None]
    rows = torch.arange(-(-num_samples // _ROW), dtype=torch.float64, device=frequency.device)
    within = torch.arange(_ROW, dtype=torch.float64, device=frequency.device)
    coarse = 2 * math.pi * torch.frac(rows * (_ROW * frequency) + phase)[:, :, None]
    fine = 2 * math.pi * torch.frac(within * frequency)[:, None, :]
    product = coarse.sin().float() * fine.cos().float()
    product.addcmul_(coarse.cos().float(), fine.sin().float())
    return product.flatten(1)[:, :num_samples]


def add_sine_hum(
    waveform: Tensor, *, cycles_per_sample: Tensor, phase: Tensor, snr_db: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Add a sine to each clip, the same in all channels, as much fainter than the clip as asked.

        y = x + a · sin(2π · (f·t + φ)),    a such that x has snr_db more power than the sine, over the valid samples

    Args:
        waveform: (batch, channel, time), floating point.
        cycles_per_sample: (batch,) f, frequency over sample rate, below 0.5.
        phase: (batch,) φ, in cycles.
        snr_db: (batch,) in dB; see :func:`add_noise`.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Gazneli et al.: End-to-end audio strikes back, 2022, and its released code. There the power that counts is that
        of a sine over whole periods, here the one that the clip holds.

    Example:
        >>> half = torch.tensor([0.25])
        >>> hum = add_sine_hum(torch.ones(1, 1, 4), cycles_per_sample=half, phase=half, snr_db=torch.tensor([20.0]))
        >>> hum.round(decimals=4)
        tensor([[[1.1414, 1.0000, 0.8586, 1.0000]]])
    """
    check_waveform(waveform)
    hum = sine(cycles_per_sample=cycles_per_sample, phase=phase, num_samples=waveform.shape[2])
    return add_noise(waveform, hum[:, None].expand(waveform.shape), snr_db=snr_db, lengths=lengths)
