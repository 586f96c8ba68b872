"""Clipping: an overdriven input cuts the peaks off."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform
from tonearm.gpu_augment.functional.padding import keep_padding, silent_padding


def clip(waveform: Tensor, *, threshold_db: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Cut each clip off at a level below its own peak.

        y = min(max(x, -c), c),    c = max |x| · 10^(threshold_db / 20)

    The peak is that of the whole clip, all channels together, over its valid samples. How many samples are cut off
    depends on the clip, as it does in an overdriven input: most of a hum, little of a single click. The level is not
    restored, and the edges, which no filter rounds off, fold back as in a converter without one.

    Args:
        waveform: (batch, channel, time), floating point.
        threshold_db: (batch,) where it is cut off, in dB relative to the clip's peak, 0 or less.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform. Where it is cut off, gradients flow to the peak alone.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Defined here.

    Example:
        >>> clip(torch.tensor([[[1.0, -0.5, 0.05]]]), threshold_db=torch.tensor([-20.0]))
        tensor([[[ 0.1000, -0.1000,  0.0500]]])
    """
    check_waveform(waveform)
    if waveform.numel() == 0:  # which has no peak
        return waveform.clone()
    clean = at_least_float32(waveform)
    peak = silent_padding(clean, lengths).abs().amax(dim=(1, 2), keepdim=True)
    limit = peak * torch.pow(10.0, threshold_db / 20).to(clean.dtype)[:, None, None]
    clipped = torch.minimum(torch.maximum(clean, -limit), limit)
    return keep_padding(clipped, clean, lengths).to(waveform.dtype)
