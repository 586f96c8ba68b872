"""A chain, timed step by step while it runs: what share of its time each effect takes.

Marks between the effects note the time; on a GPU they are events, read when a pass has ended. A step's row has the
seconds it took within the same passes in which the others took theirs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from time import perf_counter

import torch
from torch import Tensor

from tonearm.benchmarks.augment_checks import augment
from tonearm.benchmarks.harness import Contestant, Measurement, Spread, synchronize
from tonearm.gpu_augment import Augmentation, Augmented, Chain
from tonearm.gpu_augment.params import Step

Noted = float | torch.cuda.Event

LEAST_SECONDS = 1e-9  # of a step that the clock's resolution shows as none


class Mark(Augmentation):
    """Changes nothing; notes when it was passed."""

    num_draws = 0

    def __init__(self) -> None:
        super().__init__()
        self.noted: Noted = 0.0

    def note(self, device: torch.device) -> None:
        """Note the time."""
        if device.type == "cuda":
            self.noted = torch.cuda.Event(enable_timing=True)
            self.noted.record(torch.cuda.current_stream(device))
        else:
            self.noted = perf_counter()

    def _steps(self, uniforms: Tensor, allowed: Tensor, gather_sizes: Sequence[int] | None) -> list[Step]:
        return []

    def _effects_in_order(self) -> list[str]:
        return []

    def _check_layout(self, waveform: Tensor) -> None:
        pass

    def _run(self, batch: Augmented, steps: Iterator[Step], *, given: Tensor) -> Augmented:
        self.note(batch.waveform.device)
        return batch


class StepByStep:
    """A chain with a mark before, between and behind its effects.

    Args:
        name: of the chain, in the table.
        effects: of the chain, each with its label.
        batch: what is augmented.
        targets: for effects that mix.
        pass_seconds: how long a pass lasts at least.
    """

    def __init__(
        self,
        name: str,
        effects: Sequence[tuple[str, Augmentation]],
        batch: Tensor,
        targets: Tensor | None,
        *,
        pass_seconds: float,
    ) -> None:
        self.name = f"{name}, step by step"
        self._chain_name = name
        self._labels = ["sampling", *(label for label, _ in effects)]
        self._marks = [Mark() for _ in range(len(effects) + 2)]
        parts: list[Augmentation] = [self._marks[1]]
        for (_, effect), mark in zip(effects, self._marks[2:], strict=True):
            parts += [effect, mark]
        self._chain = Chain(parts)
        self._batch, self._targets = batch, targets
        self._pass_seconds, self._calls = pass_seconds, 1
        self._passes: list[list[float]] = []

    def contestant(self, group: str) -> Contestant:
        """The whole, to be measured; ``steps`` then has the parts."""
        # With something to prepare a pass is one run, so that passes can be told apart here.
        return Contestant(self.name, self._run, group=group, setup=self._count_calls, prepare=lambda: None)

    def steps(self, whole: Measurement) -> list[Measurement]:
        """A measurement for each step, of the passes of the whole; the note says what share it has of their time."""
        passes = self._passes[-len(whole.seconds) :]  # those before were warm-ups
        rows = []
        for place, label in enumerate(self._labels):
            share = Spread.of([one[place] / sum(one) for one in passes]).median
            rows.append(
                replace(
                    whole,
                    name=f"{self._chain_name}: {label}",
                    seconds=tuple(one[place] for one in passes),
                    note=f"{share:.1%} of the chain's time",
                )
            )
        return rows

    def _count_calls(self) -> None:
        self._calls = 1
        self._run()
        self._run()
        self._calls = max(1, math.ceil(self._pass_seconds / sum(self._passes[-1])))

    def _run(self) -> int:
        device, times = self._batch.device, []
        for _ in range(self._calls):
            self._marks[0].note(device)
            augment(self._chain, self._batch, self._targets)
            times.append([mark.noted for mark in self._marks])
        synchronize(device)
        seconds = [[_between(*ends) for ends in pairwise(call)] for call in times]
        self._passes.append([max(sum(step), LEAST_SECONDS) for step in zip(*seconds, strict=True)])
        return self._calls * len(self._batch)


def _between(begin: Noted, end: Noted) -> float:
    """Seconds."""
    if isinstance(begin, float) and isinstance(end, float):
        return end - begin
    return float(begin.elapsed_time(end)) / 1e3  # type: ignore[union-attr, arg-type]
