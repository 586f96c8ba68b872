"""Where the time of a step goes: stages timed on the host, or on the GPU by events that are read later."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import torch


class StageClock:
    """Adds up seconds by stage.

    On a CPU a stage's time is wall time. On a GPU the host only queues work, so a stage is bracketed by CUDA events,
    and their times are read in :meth:`seconds`, which waits for the device. Time spent
    ``waiting`` for data is the host's.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[str, float] = defaultdict(float)
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what runs inside as ``name``."""
        if self._device.type == "cuda":
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            stream = torch.cuda.current_stream(self._device)
            begin.record(stream)
            yield
            end.record(stream)
            self._events.append((name, begin, end))
        else:
            started = perf_counter()
            yield
            self._seconds[name] += perf_counter() - started

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time what runs inside as waiting for data, on the host."""
        started = perf_counter()
        yield
        self._seconds["waiting"] += perf_counter() - started

    def seconds(self) -> dict[str, float]:
        """Seconds by stage since the last call; on a GPU this waits for the device."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            for name, begin, end in self._events:
                self._seconds[name] += begin.elapsed_time(end) / 1e3
            self._events.clear()
        taken, self._seconds = dict(self._seconds), defaultdict(float)
        return taken
