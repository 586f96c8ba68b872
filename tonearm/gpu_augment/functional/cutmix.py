"""CutMix in time: an interval of a clip is replaced by the same interval of another."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.mixup import heard_pairs
from tonearm.gpu_augment.functional.padding import keep_padding


def cutmix(
    waveform: Tensor,
    partners: Tensor,
    *,
    start: Tensor,
    width: Tensor,
    lengths: Tensor | None = None,
    partner_lengths: Tensor | None = None,
) -> Tensor:
    """Put the partner's samples from start to start + width in the place of the clip's, over all channels.

        y(t) = partner(t) if start ≤ t < start + width, else x(t)

    There is no cross-fade: at both cuts the waveform may jump.

    Args:
        waveform: (batch, channel, time), floating point.
        partners: the same shape, one partner a clip.
        start: (batch,) int64, first sample of the interval, 0 or more.
        width: (batch,) int64, samples of the interval, 0 or more.
        lengths: (batch,) valid samples of the clips. None: all are valid.
        partner_lengths: (batch,) valid samples of the partners. None: all are valid. The shorter of both is silent from
            its end to that of the longer; what lies beyond both stays as it is in waveform.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point, or partners have another shape.

    Reference:
        Yun et al.: CutMix, 2019, with an interval of time instead of a rectangle of an image.

    Example:
        >>> one = torch.tensor([1])
        >>> cutmix(torch.ones(1, 1, 3), torch.zeros(1, 1, 3), start=one, width=one)
        tensor([[[1., 0., 1.]]])
    """
    clean, own, other, longer = heard_pairs(waveform, partners, lengths, partner_lengths)
    if blocks.on_cpu(clean) and not (own.requires_grad or other.requires_grad):
        mixed = own.clone() if own is clean else own
        for clip, (first, size) in enumerate(zip(start.tolist(), width.tolist(), strict=True)):
            mixed[clip, :, first : first + size] = other[clip, :, first : first + size]
        return keep_padding(mixed, clean, longer).to(waveform.dtype)
    time = torch.arange(waveform.shape[-1], device=waveform.device)
    begin = start[:, None, None]
    mixed = torch.where((time >= begin) & (time < begin + width[:, None, None]), other, own)
    return keep_padding(mixed, clean, longer).to(waveform.dtype)
