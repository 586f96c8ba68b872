"""What augmentation will do to a batch, decided on the host and sent to the device in one copy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tonearm.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Step:
    """What one effect does to one batch: which clips it touches, and with what parameters.

    Attributes:
        effect: the name of the effect that drew it.
        clips: (n,) int64, the rows of the batch to gather.
        rows: (n, 1 + parameters) float64, one row a gathered clip. Column 0 is 1 where the effect is on. It is 0 for
            clips that only fill the set up to a fixed size; they come out as they went in.
        padded: whether such clips may be among them.
    """

    effect: str
    clips: Tensor
    rows: Tensor
    padded: bool

    @classmethod
    def choose(cls, effect: str, on: Tensor, parameters: Tensor, gather_sizes: Sequence[int] | None) -> "Step":
        """The step for a batch, from everyone's parameters and who is on.

        Args:
            effect: the effect's name.
            on: (batch,) bool, on the CPU.
            parameters: (batch, parameters) float64, on the CPU.
            gather_sizes: fill the set up to the next of these sizes with clips that are off. None: gather no more than
                who is on.
        """
        clips = on.nonzero().squeeze(1)
        if gather_sizes is not None:
            wanted = min((size for size in gather_sizes if size >= len(clips)), default=len(on))
            clips = torch.cat([clips, (~on).nonzero().squeeze(1)[: wanted - len(clips)]])
        rows = torch.cat([on[:, None].double(), parameters], dim=1)
        return cls(effect=effect, clips=clips, rows=rows[clips], padded=gather_sizes is not None)

    def part(self, begin: int, end: int) -> "Step":
        """The same for some of the clips."""
        return replace(self, clips=self.clips[begin:end], rows=self.rows[begin:end])


@dataclass(frozen=True, eq=False)
class Params:
    """Everything that was drawn for one batch; applied again, it does the same again.

    Attributes:
        batch_size: clips of the batch it was drawn for.
        num_samples: size of that batch's last axis.
        steps: one for each effect, in the order in which they run.
    """

    batch_size: int
    num_samples: int
    steps: tuple[Step, ...]

    @property
    def device(self) -> torch.device:
        """Where it lies; that must be where the waveform is."""
        return self.steps[0].clips.device if self.steps else torch.device("cpu")

    def to(self, device: torch.device | str) -> "Params":
        """The same on ``device``. However many effects there are, one buffer is copied, and the host does not wait."""
        device = torch.device(device)
        if device == self.device or not self.steps:
            return self
        # Indices and parameters share an int64 buffer; float64 is as wide, so that it is only looked at differently.
        sizes = [size for step in self.steps for size in (step.clips.numel(), step.rows.numel())]
        buffer = torch.cat(
            [part for step in self.steps for part in (step.clips, step.rows.view(torch.int64).flatten())]
        )
        if device.type == "cuda" and buffer.device.type == "cpu":
            buffer = buffer.pin_memory()
        parts = torch.split(buffer.to(device, non_blocking=True), sizes)
        steps = tuple(
            replace(step, clips=clips, rows=rows.view(torch.float64).view(step.rows.shape))
            for step, clips, rows in zip(self.steps, parts[0::2], parts[1::2], strict=True)
        )
        return Params(self.batch_size, self.num_samples, steps)

    def copy_(self, other: "Params") -> None:
        """Take over what another draw says, into the same memory: what a captured CUDA graph will read next time.

        Raises:
            ShapeError: the other was drawn for another batch or augmentation, gathers other numbers of clips, or fills
                them up where this one does not. Draw both with the same ``gather_sizes`` of one size.
        """
        sizes, others = (
            [(step.effect, tuple(step.rows.shape), step.padded) for step in params.steps] for params in (self, other)
        )
        if (self.batch_size, self.num_samples, sizes) != (other.batch_size, other.num_samples, others):
            raise ShapeError(
                f"params: got {other}, may be like {self}: of the same augmentation and batch, and with as many clips "
                f"gathered, as sample(..., gather_sizes=({self.batch_size},)) always has it."
            )
        for mine, theirs in zip(self.steps, other.to(self.device).steps, strict=True):
            mine.clips.copy_(theirs.clips)
            mine.rows.copy_(theirs.rows)

    def __repr__(self) -> str:
        counts = ", ".join(f"{step.effect} {len(step.clips)}{', padded' * step.padded}" for step in self.steps)
        return f"Params(batch_size={self.batch_size}, num_samples={self.num_samples}, clips a step=[{counts}])"


def eighths(batch_size: int) -> tuple[int, ...]:
    """No clip, an eighth of the batch, two eighths … all of it: gather sizes that are few and waste little.

    Example:
        >>> eighths(32), eighths(4)
        ((0, 4, 8, 12, 16, 20, 24, 28, 32), (0, 1, 2, 3, 4))
    """
    return tuple(sorted({-(-batch_size * eighth // 8) for eighth in range(9)}))
