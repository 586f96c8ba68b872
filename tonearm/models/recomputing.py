"""Gradient checkpointing: blocks that keep their input alone and compute the rest again in the backward pass.

The gradients and the running statistics are those of a network without it, dropout included; activations take the
memory of one block at a time, for about a third more work.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Recomputed(nn.Module):
    """A block that can be computed twice; subclasses write :meth:`compute` instead of ``forward``.

    With checkpointing, a network must stay in training mode until its backward pass is over.

    Attributes:
        checkpointed: whether it keeps its input alone in training. See :func:`set_gradient_checkpointing`.
    """

    checkpointed = False

    def compute(self, x: Tensor) -> Tensor:
        """What the block does."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """:meth:`compute`, in training perhaps with checkpointing."""
        if self.checkpointed and self.training and torch.is_grad_enabled():
            out: Tensor = self._compute_twice(x)
            return out
        return self.compute(x)

    # torch.compile cannot trace a context_fn: a compiled network has a graph break here.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _compute_twice(self, x: Tensor) -> Tensor:
        out: Tensor = checkpoint(
            self.compute, x, use_reentrant=False, context_fn=lambda: (nullcontext(), _statistics_kept(self))
        )
        return out


def set_gradient_checkpointing(network: nn.Module, on: bool = True) -> None:
    """Turn gradient checkpointing of all blocks of ``network`` that know it on or off."""
    for module in network.modules():
        if isinstance(module, Recomputed):
            module.checkpointed = on


@contextmanager
def _statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norms within update copies of their running statistics, which are then thrown away.

    A checkpointed block runs twice; the second time must not count its batch a second time.
    """
    kept = [
        (norm, name, buffer)
        for norm in module.modules()
        if isinstance(norm, nn.modules.batchnorm._BatchNorm)
        for name, buffer in norm.named_buffers()
    ]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)
