"""Mixup: the weighted sum of two clips."""

import torch
from torch import Tensor

from tonearm.errors import ShapeError
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform
from tonearm.gpu_augment.functional.padding import keep_padding, silent_padding


def mixup(
    waveform: Tensor,
    partners: Tensor,
    *,
    weight: Tensor,
    lengths: Tensor | None = None,
    partner_lengths: Tensor | None = None,
) -> Tensor:
    """Add each clip and its partner with weights that sum to 1.

        y = λ·x + (1 - λ)·partner

    Uncorrelated sounds lose up to 3 dB in it, at λ = ½; :func:`between_class_mixup` makes good for that.

    Args:
        waveform: (batch, channel, time), floating point.
        partners: the same shape, one partner a clip.
        weight: (batch,) λ, the clip's own share, in [0, 1].
        lengths: (batch,) valid samples of the clips. None: all are valid.
        partner_lengths: (batch,) valid samples of the partners. None: all are valid. The shorter of both is silent from
            its end to that of the longer; what lies beyond both stays as it is in waveform.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point, or partners have another shape.

    Reference:
        Zhang, Cissé, Dauphin, Lopez-Paz: mixup: Beyond empirical risk minimization, 2018.

    Example:
        >>> mixup(torch.ones(1, 1, 2), torch.tensor([[[5.0, -3.0]]]), weight=torch.tensor([0.75]))
        tensor([[[2., 0.]]])
    """
    clean, own, other, longer = heard_pairs(waveform, partners, lengths, partner_lengths)
    mixed = torch.lerp(other, own, weight.to(clean.dtype)[:, None, None])
    return keep_padding(mixed, clean, longer).to(waveform.dtype)


def heard_pairs(
    waveform: Tensor, partners: Tensor, lengths: Tensor | None, partner_lengths: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """What all mixing begins with.

    Returns:
        The clips in float32 at least; clips and partners with silence beyond their lengths; and (batch,) the larger of
        both lengths. None: all is valid.
    """
    check_waveform(waveform)
    if partners.shape != waveform.shape:
        raise ShapeError(f"partners: got {tuple(partners.shape)}, must be like waveform, {tuple(waveform.shape)}.")
    clean = at_least_float32(waveform)
    own, other = silent_padding(clean, lengths), silent_padding(partners.to(clean.dtype), partner_lengths)
    longer = None if lengths is None or partner_lengths is None else torch.maximum(lengths, partner_lengths)
    return clean, own, other, longer
