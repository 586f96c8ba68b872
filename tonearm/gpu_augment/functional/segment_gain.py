"""Segment gain: parts of a clip made louder or fainter than the rest."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform


def segment_gain(
    waveform: Tensor, *, start: Tensor, width: Tensor, gain_db: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Multiply segments of each clip by gains of their own; where segments overlap, by both.

        y(t) = x(t) · Π 10^(gain_db / 20) over the segments with start ≤ t < start + width

    The gain sets in and ends at once, without a fade.

    Args:
        waveform: (batch, channel, time), floating point.
        start: (batch, num_segments) int64, first sample of each segment, 0 or more.
        width: (batch, num_segments) int64, samples of each, 0 or more.
        gain_db: (batch, num_segments) in dB.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform. The samples outside the segments are bit-identical.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Gazneli et al.: End-to-end audio strikes back, 2022, and the authors' program (RandomAmpSegment).

    Example:
        >>> one = torch.tensor([[1]])
        >>> segment_gain(torch.ones(1, 1, 3), start=one, width=one, gain_db=torch.tensor([[-20.0]]))
        tensor([[[1.0000, 0.1000, 1.0000]]])
    """
    check_waveform(waveform)
    num_samples = waveform.shape[-1]
    clean = at_least_float32(waveform)
    factor = torch.pow(10.0, gain_db / 20).to(clean.dtype)
    end = start + width
    if lengths is not None:
        end = torch.minimum(end, lengths[:, None])
    if blocks.on_cpu(waveform) and not waveform.requires_grad:
        changed = waveform.clone() if clean is waveform else clean
        for own, *segments in zip(changed, start.tolist(), end.tolist(), factor.tolist(), strict=True):
            for begin, after, times in zip(*segments, strict=True):
                if begin < after:
                    own[:, begin:after] *= times
        return changed.to(waveform.dtype)
    time = torch.arange(num_samples, device=waveform.device)
    inside = (time >= start[..., None]) & (time < end[..., None])
    changed = clean
    for segment in range(start.shape[1]):
        changed = torch.where(inside[:, segment, None], changed * factor[:, segment, None, None], changed)
    return changed.to(waveform.dtype) if start.shape[1] else waveform.clone()
