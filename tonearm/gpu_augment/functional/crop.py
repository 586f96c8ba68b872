"""Cut the same number of samples out of each clip."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import check_waveform
from tonearm.gpu_augment.workers import side_by_side


def crop(waveform: Tensor, *, start: Tensor, num_samples: int) -> Tensor:
    """The samples from start to start + num_samples of each clip; zeros where the batch ends before that.

        y(t) = x(start + t),    0 ≤ t < num_samples

    Args:
        waveform: (batch, channel, time), floating point.
        start: (batch,) int64, first sample that is kept; 0 or more, and at most time - num_samples where that is not
            negative.
        num_samples: samples that are kept.

    Returns:
        A new (batch, channel, num_samples) tensor.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Defined here.

    Example:
        >>> crop(torch.arange(4.0).reshape(1, 1, 4), start=torch.tensor([1]), num_samples=2)
        tensor([[[1., 2.]]])
    """
    check_waveform(waveform)
    missing = num_samples - waveform.shape[2]
    if missing >= 0:  # there is but one place
        return F.pad(waveform, (0, missing))
    if blocks.on_cpu(waveform) and not waveform.requires_grad:  # a slice a clip: no index to make and to read
        kept = waveform.new_empty(*waveform.shape[:2], num_samples)

        def cut(clip: int, begin: int) -> None:
            kept[clip] = waveform[clip, :, begin : begin + num_samples]

        side_by_side([partial(cut, clip, begin) for clip, begin in enumerate(start.tolist())])
        return kept
    index = start[:, None] + torch.arange(num_samples, device=waveform.device)
    return waveform.gather(2, index[:, None].expand(-1, waveform.shape[1], -1))
