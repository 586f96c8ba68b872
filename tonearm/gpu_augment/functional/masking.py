"""Bands of time or frequency covered up in a spectrogram, each clip with masks of its own."""

from typing import Literal

import torch
from torch import Tensor

from tonearm.gpu_augment.functional.layout import check_specgram

Fill = float | Literal["mean"]


def time_mask(specgram: Tensor, *, start: Tensor, width: Tensor, fill: Fill = "mean") -> Tensor:
    """Cover the frames from start to start + width, over all bins and channels.

    Args:
        specgram: (batch, channel, mel, time), floating point.
        start: (batch, num_masks) first frame of each mask.
        width: (batch, num_masks) frames of each mask; 0 covers nothing.
        fill: a value, or "mean": the clip's mean before masking. In a log-mel map 0 is no silence but, at 0 dB, loud.

    Returns:
        A new tensor like specgram.

    Raises:
        ShapeError: specgram is not (batch, channel, mel, time) floating point.

    Reference:
        Park et al.: SpecAugment, 2019.

    Example:
        >>> one = torch.tensor([[1]])
        >>> time_mask(torch.ones(1, 1, 1, 3), start=one, width=one, fill=0.0)
        tensor([[[[1., 0., 1.]]]])
    """
    check_specgram(specgram)
    return _filled(specgram, _bands(start, width, specgram.shape[3])[:, None, None, :], fill)


def frequency_mask(specgram: Tensor, *, start: Tensor, width: Tensor, fill: Fill = "mean") -> Tensor:
    """Cover the mel bins from start to start + width, over all frames and channels; else like :func:`time_mask`."""
    check_specgram(specgram)
    return _filled(specgram, _bands(start, width, specgram.shape[2])[:, None, :, None], fill)


def _bands(start: Tensor, width: Tensor, size: int) -> Tensor:
    """(batch, size) bool: True where any of a clip's masks lies."""
    index = torch.arange(size, device=start.device)
    first = start[..., None]
    return ((index >= first) & (index < first + width[..., None])).any(dim=1)


def _filled(specgram: Tensor, mask: Tensor, fill: Fill) -> Tensor:
    if fill == "mean":
        return torch.where(mask, specgram.mean(dim=(1, 2, 3), keepdim=True), specgram)
    return specgram.masked_fill(mask, fill)
