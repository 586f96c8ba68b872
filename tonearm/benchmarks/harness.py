"""The stopwatch: contestants run in turn, are checked before they are timed, and are compared repeat by repeat.

What makes two figures comparable here:

- every contestant's output is checked before any clock starts, so that nobody is fast by being wrong;
- each is warmed up, where asked for until its rate is steady, and the device is synchronised before the clock starts
  and again before it stops;
- repeats interleave, so that a machine that slows down slows everybody down, each in an order of its own, so that
  nobody always runs after the same predecessor, in the caches and the clock rate it leaves behind;
- what has to be made ready before a pass is made ready outside the clock;
- ratios are taken within a repeat, between passes that ran minutes apart at most, and only then summarised;
- the median and the quartiles are given, never a best-of.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from tonearm.errors import RequestError, RunError
from tonearm.seeding import numpy_generator

T = TypeVar("T")

MOST_WARM_UPS = 6  # of a contestant that does not become steady; its spread shows it


class Role(StrEnum):
    """What a contestant is in the comparison."""

    OWN = "own"
    CEILING = "ceiling"
    PEER = "peer"


class TimedPass(NamedTuple):
    """A pass that timed itself, because it ran in another process."""

    num_clips: int
    seconds: float


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Contestant:
    """Something that can be timed.

    Attributes:
        name: as it stands in the table; unique within a run.
        run: one pass; returns how many clips it handled, or a :class:`TimedPass` when it timed itself. It may leave
            work queued on the device: the harness waits for it within the timed region.
        role: own, ceiling or peer.
        group: what it is compared within: a peer is the best of its group.
        ceiling: the name of the contestant that bounds this one from above, if there is one; of any group.
        setup: called once before the check.
        check: called once before the timing; returns what is wrong with the output, or None.
        prepare: called before each pass, outside the clock, to empty a folder or a cache for example. A pass of a
            contestant that has one is a single ``run``, however short.
        teardown: called once at the end, also after a failure, if setup was called.
        note: what a reader of the table has to know.
    """

    name: str
    run: Callable[[], int | TimedPass]
    role: Role = Role.OWN
    group: str = ""
    ceiling: str | None = None
    setup: Callable[[], None] = _nothing
    check: Callable[[], str | None] = _nothing
    prepare: Callable[[], None] = _nothing
    teardown: Callable[[], None] = _nothing
    note: str = ""


@dataclass(frozen=True)
class Spread:
    """Median and quartiles (linear interpolation between order statistics)."""

    lower_quartile: float
    median: float
    upper_quartile: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of one value a repeat."""
        lower, median, upper = np.quantile(np.asarray(values, dtype=np.float64), (0.25, 0.5, 0.75)).tolist()
        return cls(lower, median, upper)


@dataclass(frozen=True)
class Measurement:
    """What one contestant did: the clips of a pass, and the seconds of each repeat's pass in the order of repeats."""

    name: str
    role: Role
    group: str
    ceiling: str | None
    note: str
    num_clips: int
    seconds: tuple[float, ...]

    def clips_per_second(self) -> Spread:
        """The rate over the repeats."""
        return Spread.of([self.num_clips / seconds for seconds in self.seconds])

    def ratio_to(self, other: "Measurement") -> Spread:
        """How many times the other's rate this one reached, paired repeat by repeat: 2.0 is twice as fast."""
        return Spread.of(
            [
                (self.num_clips / own) / (other.num_clips / others)
                for own, others in zip(self.seconds, other.seconds, strict=True)
            ]
        )


def measure(
    contestants: Sequence[Contestant],
    *,
    repeats: int = 7,
    warmup: int = 1,
    min_seconds: float = 0.0,
    steady: float | None = None,
    device: torch.device | str = "cpu",
    announce: Callable[[str], None] = lambda _: None,
) -> list[Measurement]:
    """Set up, check, warm up and time the contestants in one interleaved run.

    Each repeat runs every contestant once, in a random order that depends on nothing but the repeat's number.

    Args:
        contestants: at least one; each ceiling named must be among them.
        repeats: timed passes of each.
        warmup: untimed passes of each; 0 only without ``min_seconds`` and ``steady``, for contestants that have all run
            before.
        min_seconds: a pass calls ``run`` as often as it takes to last about this long (judged by the last warm-up), so
            that work of milliseconds is not lost in the clock's noise. 0: once.
        steady: warm up further, to six passes at most, until the slower of the last two is less than this share behind
            the other: 0.15 is 15 %. None: ``warmup`` passes, whatever their rates.
        device: what to synchronise; a CPU needs nothing.
        announce: told what is about to run, for a progress display.

    Returns:
        One measurement a contestant, in the order given.

    Raises:
        RequestError: contestants or counts that make no run.
        RunError: an output is wrong, or the number of clips changes between passes. Whatever a contestant itself raises
            goes through, with a note that names it.
    """
    _refuse_nonsense(contestants, repeats, warmup, min_seconds, steady)
    device = torch.device(device)
    with ExitStack() as stack:
        for contestant in contestants:
            announce(f"preparing {contestant.name}")
            # First the way back, then the setup: one that fails half way is torn down as well.
            stack.callback(contestant.teardown)
            _named(contestant, "setting up", contestant.setup)
        for contestant in contestants:
            announce(f"checking {contestant.name}")
            complaint = _named(contestant, "checking", contestant.check)
            if complaint is not None:
                raise RunError(
                    f"{contestant.name} gives a wrong output, so nothing was timed: {complaint} Mend it, or leave this "
                    "contestant out."
                )
        calls = [_warm_up(contestant, warmup, min_seconds, steady, device, announce) for contestant in contestants]

        passes: list[list[TimedPass]] = [[] for _ in contestants]
        for repeat in range(repeats):
            for index in numpy_generator("measure", repeat).permutation(len(contestants)):
                announce(f"repeat {repeat + 1} of {repeats}: {contestants[index].name}")
                passes[index].append(_timed(contestants[index], calls[index], device))
    return [_measurement(contestant, done) for contestant, done in zip(contestants, passes, strict=True)]


def best_peer(measurements: Sequence[Measurement], group: str = "") -> Measurement | None:
    """The peer of a group with the highest median rate, if there is one."""
    peers = [each for each in measurements if each.role is Role.PEER and each.group == group]
    return max(peers, key=lambda peer: peer.clips_per_second().median, default=None)


def synchronize(device: torch.device) -> None:
    """Wait until everything queued on ``device`` is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _refuse_nonsense(
    contestants: Sequence[Contestant], repeats: int, warmup: int, min_seconds: float, steady: float | None
) -> None:
    names = [contestant.name for contestant in contestants]
    if not names:
        raise RequestError("measure: no contestants.")
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"measure: two contestants are called {name!r}; names must be unique.")
    for contestant in contestants:
        if contestant.ceiling is not None and contestant.ceiling not in names:
            raise RequestError(
                f"measure: the ceiling of {contestant.name!r} is {contestant.ceiling!r}, which is not in this run "
                f"({', '.join(names)})."
            )
    if repeats < 1 or warmup < (min_seconds > 0 or steady is not None):
        raise RequestError(
            f"measure: repeats is {repeats} and warmup is {warmup}, with min_seconds {min_seconds:g} and steady "
            f"{steady}; repeats must be at least 1, and warmup as well if a pass has a least length or rates are to be "
            "steady, or else 0."
        )
    if steady is not None and not 0 < steady < 1:
        raise RequestError(f"measure: steady is {steady}; it is a share between 0 and 1, or None.")


def _named(contestant: Contestant, doing: str, action: Callable[[], T]) -> T:
    try:
        return action()
    except Exception as error:
        error.add_note(f"while {doing} the benchmark contestant {contestant.name!r}")
        raise


def _timed(contestant: Contestant, calls: int, device: torch.device) -> TimedPass:
    _named(contestant, "preparing a pass of", contestant.prepare)
    synchronize(device)
    start = perf_counter()
    done = [_named(contestant, "running", contestant.run) for _ in range(calls)]
    synchronize(device)
    elapsed = perf_counter() - start
    num_clips = sum(each.num_clips if isinstance(each, TimedPass) else each for each in done)
    timed = [each.seconds for each in done if isinstance(each, TimedPass)]
    return TimedPass(num_clips, sum(timed) if timed else elapsed)


def _warm_up(
    contestant: Contestant,
    warmup: int,
    min_seconds: float,
    steady: float | None,
    device: torch.device,
    announce: Callable[[str], None],
) -> int:
    """Run ``warmup`` passes, or more until they are steady; the number of calls that make a pass of ``min_seconds``."""
    if warmup == 0:
        return 1
    announce(f"warming up {contestant.name}")
    seconds = [_timed(contestant, 1, device).seconds for _ in range(warmup)]
    while steady is not None and len(seconds) < MOST_WARM_UPS and not _agree(seconds[-2:], steady):
        seconds.append(_timed(contestant, 1, device).seconds)
    once = contestant.prepare is not _nothing
    return 1 if once else max(1, math.ceil(min_seconds / max(seconds[-1], 1e-9)))


def _agree(seconds: list[float], within: float) -> bool:
    """Whether there are two passes, of rates that differ by less than this share of the higher one."""
    return len(seconds) == 2 and max(seconds) * (1 - within) < min(seconds)


def _measurement(contestant: Contestant, passes: list[TimedPass]) -> Measurement:
    counts = sorted({each.num_clips for each in passes})
    if len(counts) > 1 or counts[0] < 1:
        raise RunError(
            f"{contestant.name} handled {' then '.join(map(str, counts))} clips in passes that should be equal and not "
            "empty; its figures would mean nothing."
        )
    return Measurement(
        name=contestant.name,
        role=contestant.role,
        group=contestant.group,
        ceiling=contestant.ceiling,
        note=contestant.note,
        num_clips=counts[0],
        seconds=tuple(each.seconds for each in passes),
    )
