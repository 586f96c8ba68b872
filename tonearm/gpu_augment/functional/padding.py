"""What lies beyond a clip's valid samples: left as it was, or made silent.

On a CPU the host knows the lengths, and only what lies beyond them is written to: nothing, where all are valid.
"""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import valid_samples


def keep_padding(changed: Tensor, waveform: Tensor, lengths: Tensor | None) -> Tensor:
    """The changed clips up to their lengths, the waveform beyond them.

    Args:
        changed: (batch, channel, time), the caller's own; it may be written to.
        waveform: what it was made of, the same shape and dtype.
        lengths: (batch,) valid samples. None: all are valid.

    Returns:
        ``changed`` itself, or a new tensor.

    Example:
        >>> keep_padding(torch.zeros(1, 1, 3), torch.ones(1, 1, 3), torch.tensor([2]))
        tensor([[[0., 0., 1.]]])
    """
    if lengths is None:
        return changed
    if not blocks.on_cpu(changed) or changed.requires_grad or waveform.requires_grad:
        return torch.where(valid_samples(lengths, changed.shape[-1]), changed, waveform)
    for clip, length in enumerate(lengths.tolist()):
        if length < changed.shape[-1]:
            changed[clip, :, length:] = waveform[clip, :, length:]
    return changed


def silent_padding(waveform: Tensor, lengths: Tensor | None) -> Tensor:
    """The clips up to their lengths, silence beyond them.

    Args:
        waveform: (batch, channel, time); it is not written to.
        lengths: (batch,) valid samples. None: all are valid.

    Returns:
        The waveform itself where nothing had to be changed, or a new tensor.

    Example:
        >>> silent_padding(torch.ones(1, 1, 3), torch.tensor([2]))
        tensor([[[1., 1., 0.]]])
    """
    if lengths is None:
        return waveform
    if not blocks.on_cpu(waveform) or waveform.requires_grad:
        return torch.where(valid_samples(lengths, waveform.shape[-1]), waveform, 0.0)
    ends = lengths.tolist()
    if min(ends, default=0) >= waveform.shape[-1]:
        return waveform
    silent = waveform.clone()
    for clip, length in enumerate(ends):
        silent[clip, :, length:] = 0.0
    return silent
