"""Adaptive average pooling that exports with an axis of any length."""

import torch
from torch import Tensor

from tonearm.models.full_precision import full_precision


def adaptive_average(x: Tensor, size: int, *, dim: int) -> Tensor:
    """The means of ``size`` equal parts of an axis; where it has ``size`` entries already, the entries themselves.

    Part o of an axis of length n covers floor(o·n / size) to ceil((o + 1)·n / size), as nn.AdaptiveAvgPool2d has it:
    parts overlap where n is no multiple, and repeat where n is shorter. That layer does not export with an n that is
    only known later; a product with an n × size matrix does.

    Args:
        x: any shape, at least one entry along ``dim``.
        size: entries to come out.
        dim: the axis.

    Returns:
        ``x`` with ``size`` entries along ``dim``; float32 or wider.
    """
    length = x.shape[dim]
    parts = torch.arange(size, device=x.device)
    begin = (parts * length) // size
    end = ((parts + 1) * length + size - 1) // size
    entries = torch.arange(length, device=x.device)[:, None]
    wide = torch.promote_types(x.dtype, torch.float32)
    shares = ((entries >= begin) & (entries < end)).to(wide) / (end - begin)
    with full_precision(x):
        out: Tensor = (x.to(wide).movedim(dim, -1) @ shares).movedim(-1, dim)
    return out
