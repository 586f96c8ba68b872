"""Bands of time and frequency covered up in a spectrogram, each clip with masks of its own."""

from typing import Literal

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import check_specgram

Fill = float | Literal["mean"]


def time_mask(specgram: Tensor, *, start: Tensor, width: Tensor, fill: Fill = "mean") -> Tensor:
    """Cover the frames from start to start + width, over all bins and channels.

        y(mel, t) = fill if start ≤ t < start + width for any mask, else x(mel, t)

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
    return cover(specgram, time=(start, width), fill=fill)


def frequency_mask(specgram: Tensor, *, start: Tensor, width: Tensor, fill: Fill = "mean") -> Tensor:
    """Cover the mel bins from start to start + width, over all frames and channels.

        y(mel, t) = fill if start ≤ mel < start + width for any mask, else x(mel, t)

    Args:
        specgram: (batch, channel, mel, time), floating point.
        start: (batch, num_masks) first bin of each mask.
        width: (batch, num_masks) bins of each mask; 0 covers nothing.
        fill: as for :func:`time_mask`.

    Returns:
        A new tensor like specgram.

    Raises:
        ShapeError: specgram is not (batch, channel, mel, time) floating point.

    Reference:
        Park et al.: SpecAugment, 2019.

    Example:
        >>> one = torch.tensor([[1]])
        >>> frequency_mask(torch.ones(1, 1, 3, 1), start=one, width=one, fill=0.0).flatten()
        tensor([1., 0., 1.])
    """
    check_specgram(specgram)
    return cover(specgram, mel=(start, width), fill=fill)


def cover(
    specgram: Tensor,
    *,
    mel: tuple[Tensor, Tensor] | None = None,
    time: tuple[Tensor, Tensor] | None = None,
    fill: Fill,
) -> Tensor:
    """Cover bands of one axis, or of both in one pass; what the masks of this package are made of.

    ``mel`` and ``time`` are (start, width) with masks in the second axis, as :func:`time_mask` takes them.
    """
    if blocks.on_cpu(specgram) and not specgram.requires_grad:
        return _fill_slices(specgram, mel=mel, time=time, fill=fill)
    mask = torch.zeros((), dtype=torch.bool, device=specgram.device)
    if mel is not None:
        mask = mask | _bands(*mel, specgram.shape[2])[:, None, :, None]
    if time is not None:
        mask = mask | _bands(*time, specgram.shape[3])[:, None, None, :]
    if fill == "mean":
        return torch.where(mask, specgram.mean(dim=(1, 2, 3), keepdim=True), specgram)
    return specgram.masked_fill(mask, fill)


def _bands(start: Tensor, width: Tensor, size: int) -> Tensor:
    """(batch, size) bool: True where any of a clip's masks lies."""
    index = torch.arange(size, device=start.device)
    first = start[..., None]
    return ((index >= first) & (index < first + width[..., None])).any(dim=1)


def _fill_slices(
    specgram: Tensor, *, mel: tuple[Tensor, Tensor] | None, time: tuple[Tensor, Tensor] | None, fill: Fill
) -> Tensor:
    """The same where the host knows the places: only what is covered is written to."""
    values = specgram.mean(dim=(1, 2, 3)).tolist() if fill == "mean" else [fill] * len(specgram)
    covered = specgram.clone()
    for axis, bands in ((2, mel), (3, time)):
        if bands is None:
            continue
        starts, widths = (place.tolist() for place in bands)
        lines = covered.unbind(0) if axis == 3 else covered.transpose(2, 3).unbind(0)
        for clip, value in enumerate(values):
            for start, width in zip(starts[clip], widths[clip], strict=True):
                if width > 0:
                    lines[clip][..., max(0, start) : max(0, start + width)].fill_(value)
    return covered
