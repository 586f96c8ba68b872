"""Float32 inside autocast, for what halves are too coarse for."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[None]:
    """A context without autocast on the device of ``x``; also where there is none to turn off, as on "meta"."""
    if not torch.amp.is_autocast_available(x.device.type):
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)
