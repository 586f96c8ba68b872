"""Fewer bits: samples rounded to a coarse grid."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform
from tonearm.gpu_augment.functional.padding import keep_padding


def quantize(waveform: Tensor, *, bits: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Round the samples to those that so many bits can tell apart, without dither.

        y = Δ·round(x / Δ),    Δ = 2^(1 - bits)

    Half-way samples go to the even multiple. Samples beyond [-1, 1) are rounded like the others, not cut off. What is
    fainter than Δ/2 becomes silence. As of any staircase, the gradient is zero.

    Args:
        waveform: (batch, channel, time), floating point.
        bits: (batch,) bits a sample, the sign's among them, from 1 to 25, which are
            all that float32 has for samples from 1/2 to 1; fainter ones have finer steps there, and lose them.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Bennett: Spectra of quantized signals, 1948 (uniform steps, and the power Δ²/12 of their noise).

    Example:
        >>> quantize(torch.tensor([[[0.3, -0.6, 0.1]]]), bits=torch.tensor([3]))
        tensor([[[ 0.2500, -0.5000,  0.0000]]])
    """
    check_waveform(waveform)
    clean = at_least_float32(waveform)
    steps = torch.pow(2.0, bits.double() - 1).to(clean.dtype)[:, None, None]  # a power of two: dividing is exact
    rounded = torch.round(clean * steps) / steps
    return keep_padding(rounded, clean, lengths).to(waveform.dtype)
