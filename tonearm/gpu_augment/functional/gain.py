"""Louder, fainter, upside down: each clip multiplied by one number."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform
from tonearm.gpu_augment.functional.padding import keep_padding


def gain(waveform: Tensor, *, gain_db: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Make each clip louder or fainter; the result is not clipped to [-1, 1].

        y = x · 10^(gain_db / 20)

    Args:
        waveform: (batch, channel, time), floating point.
        gain_db: (batch,) in dB.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Defined here.

    Example:
        >>> gain(torch.tensor([[[0.1, -0.02]]]), gain_db=torch.tensor([20.0]))
        tensor([[[ 1.0000, -0.2000]]])
    """
    check_waveform(waveform)
    clean = at_least_float32(waveform)
    louder = clean * torch.pow(10.0, gain_db / 20).to(clean.dtype)[:, None, None]
    return keep_padding(louder, clean, lengths).to(waveform.dtype)


def invert_polarity(waveform: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """Turn each clip upside down: to the ear the same, to a network that hears waveforms another.

        y = -x

    Args:
        waveform: (batch, channel, time), floating point.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform. Zeros stay zeros without a sign.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Defined here.

    Example:
        >>> invert_polarity(torch.tensor([[[0.5, -0.25]]]))
        tensor([[[-0.5000,  0.2500]]])
    """
    check_waveform(waveform)
    return keep_padding(0.0 - waveform, waveform, lengths)
