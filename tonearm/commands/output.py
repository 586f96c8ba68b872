"""What every command shares: how it speaks, shows progress, and names a device."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

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


@contextmanager
def progress_bar(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, a line each tenth elsewhere, nothing when quiet."""
    if quiet:
        yield None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    shown = -1

    def line(done: int, total: int) -> None:
        nonlocal shown
        tenth = 10 * done // max(total, 1)
        if tenth > shown:
            shown = tenth
            print(f"{title} {done}/{total}", file=sys.stderr, flush=True)

    yield line


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
