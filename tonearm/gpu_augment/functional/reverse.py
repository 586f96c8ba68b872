"""Reverse: play a clip backwards."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import check_waveform, valid_samples


def reverse(waveform: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """Each clip, L valid samples long, from its end to its beginning.

        y(t) = x(L - 1 - t),    0 ≤ t < L

    Args:
        waveform: (batch, channel, time), floating point.
        lengths: (batch,) valid samples L, at most time (more counts as time); the samples beyond them stay as they are.
            None: all are valid.

    Returns:
        A new tensor like waveform; its samples are copied, not computed.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Defined here.

    Example:
        >>> reverse(torch.arange(4.0).reshape(1, 1, 4), lengths=torch.tensor([3]))
        tensor([[[2., 1., 0., 3.]]])
    """
    check_waveform(waveform)
    if lengths is None:
        return waveform.flip(2)
    width = waveform.shape[2]
    if blocks.on_cpu(waveform) and not waveform.requires_grad:
        turned = torch.empty_like(waveform, memory_format=torch.contiguous_format)
        for clip, output, end in zip(waveform, turned, lengths.clamp(0, width).tolist(), strict=True):
            output[:, :end] = clip[:, :end].flip(1)
            output[:, end:] = clip[:, end:]
        return turned
    index = (lengths.long()[:, None].clamp(max=width) - 1 - torch.arange(width, device=waveform.device)).clamp(min=0)
    turned = waveform.gather(2, index[:, None].expand(-1, waveform.shape[1], -1))
    return torch.where(valid_samples(lengths, width), turned, waveform)
