"""Shift: move a clip in time, in a circle or with silence after it."""

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import check_waveform, valid_samples

SHIFT_MODES = ("roll", "zero")


def check_shift_mode(mode: str) -> None:
    """Refuse a name that is none.

    Raises:
        RequestError: saying which there are.
    """
    if mode not in SHIFT_MODES:
        raise RequestError(f"mode: got {mode!r}, may be 'roll' or 'zero'.")


def shift(waveform: Tensor, *, num_samples: Tensor, mode: str = "roll", lengths: Tensor | None = None) -> Tensor:
    """Move each clip, L valid samples long, by s whole samples: later where s > 0, earlier where s < 0.

        y(t) = x((t - s) mod L)                     roll
        y(t) = x(t - s) if 0 ≤ t - s < L, else 0    zero

    The length stays: with "zero", what is moved over an end is lost, and silence takes its place at the other.

    Args:
        waveform: (batch, channel, time), floating point.
        num_samples: (batch,) int64, s; any number.
        mode: "roll" or "zero".
        lengths: (batch,) valid samples L, at most time (more counts as time); the samples beyond them stay as they are.
            None: all are valid.

    Returns:
        A new tensor like waveform; its samples are copied, not computed.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.
        RequestError: there is no such mode.

    Reference:
        Defined here.

    Example:
        >>> x, one = torch.arange(1.0, 5.0).reshape(1, 1, 4), torch.tensor([1])
        >>> shift(x, num_samples=one), shift(x, num_samples=-one, mode="zero")
        (tensor([[[4., 1., 2., 3.]]]), tensor([[[2., 3., 4., 0.]]]))
    """
    check_waveform(waveform)
    check_shift_mode(mode)
    width = waveform.shape[2]
    if blocks.on_cpu(waveform) and not waveform.requires_grad:
        return _clip_by_clip(waveform, num_samples, mode, lengths)
    time = torch.arange(width, device=waveform.device)
    end = torch.full_like(num_samples, width)[:, None] if lengths is None else lengths.long()[:, None].clamp(0, width)
    source = time - num_samples[:, None]
    if mode == "roll":
        index = source.remainder(end.clamp(min=1))
    else:
        index = torch.minimum(source.clamp(min=0), (end - 1).clamp(min=0))
    moved = waveform.gather(2, index[:, None].expand(-1, waveform.shape[1], -1))
    if mode == "zero":
        moved = torch.where(((source >= 0) & (source < end))[:, None], moved, 0.0)
    return moved if lengths is None else torch.where(valid_samples(lengths, width), moved, waveform)


def _clip_by_clip(waveform: Tensor, num_samples: Tensor, mode: str, lengths: Tensor | None) -> Tensor:
    """Two slices a clip."""
    moved = torch.empty_like(waveform, memory_format=torch.contiguous_format)
    width = waveform.shape[2]
    ends = [width] * len(waveform) if lengths is None else lengths.clamp(0, width).tolist()
    for clip, output, places, end in zip(waveform, moved, num_samples.tolist(), ends, strict=True):
        output[:, end:] = clip[:, end:]
        if mode == "roll":
            seam = places % max(end, 1)
            output[:, seam:end] = clip[:, : end - seam]
            output[:, :seam] = clip[:, end - seam : end]
            continue
        places = max(-end, min(places, end))
        first, stop = max(places, 0), end + min(places, 0)  # of what is left of the clip, in the output
        output[:, :first] = 0.0
        output[:, first:stop] = clip[:, first - places : stop - places]
        output[:, stop:end] = 0.0
    return moved
