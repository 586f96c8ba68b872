"""How much to take on at a time: all of it on a GPU, what the cache holds on a CPU.

A GPU wants few and large kernels. On a CPU memory traffic decides, and an effect that makes ten passes over 30 MB is
several times slower than one that makes them over a piece that stays in the cache. Results do not depend on it.
"""

import torch

CLIPS_BYTES = 4 << 20  # of clips: enough that Python's part in the work is small, few enough for the last cache
ALWAYS_WHOLE = False  # a test that wants a CPU to go the GPU's way sets this


def on_cpu(tensor: torch.Tensor) -> bool:
    """Whether the host may look at values and go clip by clip: on a CPU, unless the work is being compiled."""
    return tensor.device.type == "cpu" and not ALWAYS_WHOLE and not torch.compiler.is_compiling()


def items_per_block(num_items: int, tensor: torch.Tensor, *, item_bytes: int, block_bytes: int) -> int:
    """How many of ``num_items`` to work on at a time, at least 1: on a CPU what ``block_bytes`` hold, else all."""
    if not on_cpu(tensor):
        return num_items
    return min(num_items, max(1, block_bytes // max(1, item_bytes)))
