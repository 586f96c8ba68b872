"""Float32 inside autocast, for what halves are too coarse for."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager[None]:
    """A context without autocast on the device of ``x``; nothing where there is none to turn off.

    On "meta" there is no autocast, in an exported program neither, which does not keep the context beside a scan.
    """
    if torch.compiler.is_exporting() or not torch.amp.is_autocast_available(x.device.type):
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)
