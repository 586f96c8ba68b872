"""What every command shares: how it speaks, shows progress, and names a device."""

import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer

from tonearm.errors import RequestError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Data = Annotated[Path, typer.Argument(help="A folder that tonearm pack wrote.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; by default the GPU if there is one.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings to override, as key.path=value.", show_default=False)
]


def announce(text: str) -> None:
    """Tell a person at a terminal what is about to run."""
    if sys.stderr.isatty():
        print(f"  {text}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line of the answer."""
    print(text, flush=True)


def warn(text: str) -> None:
    """A line beside the answer."""
    print(f"note: {text}", file=sys.stderr, flush=True)


def many(number: int, one: str, more: str = "") -> str:
    """``1 clip``, ``2 clips``."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def print_json(value: Any) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=1, default=str))


Report = Callable[..., None]  # (done, of how many), and bytes done and in all where they are known


@contextmanager
def progress_bar(title: str, *, unit: str, quiet: bool) -> Iterator[Report | None]:
    """A bar on a terminal, a line each tenth elsewhere, nothing when quiet; with speed and the time that is left."""
    if quiet:
        yield None
        return
    pace = Pace(unit)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = TextColumn(title), BarColumn(), MofNCompleteColumn(), TextColumn(unit + "{task.fields[pace]}")
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=None, pace="")

            def update(done: int, total: int, *num_bytes: int) -> None:
                bar.update(task, completed=done, total=total, pace=pace.describe(done, total, *num_bytes))

            yield update
        return
    shown = -1

    def line(done: int, total: int, *num_bytes: int) -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        text = pace.describe(done, total, *num_bytes)
        if tenth > shown:
            shown = tenth
            print(f"{title} {done}/{total} {unit}{text}", file=sys.stderr, flush=True)

    yield line


class Pace:
    """How fast something goes and how long it still takes; what the first report says is done was there before."""

    def __init__(self, unit: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._unit = unit
        self._clock = clock
        self._first: tuple[float, int, int] | None = None  # when, how many, how many bytes

    def describe(self, done: int, total: int, bytes_done: int = 0, bytes_total: int = 0) -> str:
        """``, 31 MB/s, 12 s left``; "" as long as nothing is known. Without bytes, the speed is in units."""
        now = self._clock()
        if self._first is None:
            self._first = now, done, bytes_done
        began, done_before, bytes_before = self._first
        seconds, units, num_bytes = now - began, done - done_before, bytes_done - bytes_before
        if units <= 0 or seconds <= 0:
            return ""
        if num_bytes > 0:
            speed, left = f"{num_bytes / seconds / 1e6:,.0f} MB/s", (bytes_total - bytes_done) / num_bytes
        else:
            speed, left = f"{units / seconds:,.0f} {self._unit}/s", (total - done) / units
        return f", {speed}" + (f", {duration(left * seconds)} left" if done < total else "")


def duration(seconds: float) -> str:
    """``12 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(num_bytes: float) -> str:
    """``176.7 MB``."""
    return f"{num_bytes / 1e9:,.1f} GB" if num_bytes >= 1e10 else f"{num_bytes / 1e6:,.1f} MB"


@contextmanager
def table_output() -> Iterator[TextIO]:
    """Standard output for a table that another program reads: UTF-8, and a reader that leaves early is no failure."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends


def device_of(name: str | None) -> Any:
    """The device asked for, or the GPU if there is one."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise RequestError(f"--device {name}: no such device; it may be cpu, cuda or cuda:N.") from None
    if device.type not in ("cpu", "cuda"):
        raise RequestError(f"--device {name}: it may be cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise RequestError(f"--device {name}: this machine has {torch.cuda.device_count()} GPUs that torch can use; "
                           "tonearm doctor says why.")  # fmt: skip
    return device


def dialect_of(name: str) -> Literal["en", "ru"]:
    """The README that a seed's config.yaml follows."""
    if name not in ("en", "ru"):
        raise RequestError(f"--seed-dialect {name}: it may be en or ru.")
    return name  # type: ignore[return-value]
