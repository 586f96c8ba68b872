"""The command ``tonearm``: parse, make one library call, print. Heavy imports stand inside the commands."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from tonearm import __version__
from tonearm.errors import RequestError, RunError, TonearmError

if TYPE_CHECKING:
    from tonearm.benchmarks.report import BenchmarkReport

app = typer.Typer(
    help="Pack audio once, decode it with DALI, augment whole batches on the GPU, train, and measure every step.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
bench_app = typer.Typer(help="Measure throughput, interleaved, beside ceilings and peers.", no_args_is_help=True)
config_app = typer.Typer(help="Look at configurations.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")
app.add_typer(config_app, name="config")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Data = Annotated[Path, typer.Argument(help="A folder that tonearm pack wrote.", show_default=False)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; by default the GPU if there is one.")]
Repeats = Annotated[int, typer.Option(min=1, help="Timed passes of each contestant.")]
JsonOut = Annotated[Path | None, typer.Option("--out", help="Also write the report here, as JSON.")]
MarkdownOut = Annotated[Path | None, typer.Option("--markdown", help="Also write the table here, as Markdown.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(help="Settings to override, as key.path=value.", show_default=False)
]


def main() -> None:
    """Run the command line; leaves with 0 done, 1 the run failed, 2 the request was wrong."""
    # OpenMP's threads spin while they wait for each other. Beside decoding threads, or anything else that runs, that
    # takes the very cores they wait for: let them sleep soon (docs/design/loader.md). Read when torch is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    debug = "--debug" in sys.argv
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        app([word for word in sys.argv[1:] if word != "--debug"], prog_name="tonearm")
    except _InterruptedError:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nobody needs a second one while things close
        _fail("interrupted. What was written is whole: run the same pack again, or train with --resume RUN.", 1)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, TonearmError):
            _fail(str(error), error.exit_code)
        _fail(f"failed, {type(error).__name__}: {str(error) or 'no more is known'}. --debug shows where.", 1)
    finally:
        signal.signal(signal.SIGINT, before)


class _InterruptedError(BaseException):
    """Ctrl-C; typer would take a KeyboardInterrupt and leave without a word."""


def _interrupt(*_: object) -> NoReturn:
    raise _InterruptedError


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Pack audio once, decode it with DALI, augment whole batches on the GPU, train, and measure every step.

    ``--debug`` anywhere shows the traceback of an error.
    """
    if version:
        print(f"tonearm {__version__}")
        raise typer.Exit


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the made-up recordings, the shards and the run.")] = Path(
        "tonearm-demo"
    ),
) -> None:
    """Make a small dataset of synthetic sounds, pack it, train on it, evaluate, benchmark: minutes on a CPU."""
    from tonearm.demo import run_demo

    run_demo(out, say=_say, show=_show_report)


@app.command()
def pack(
    layout: Annotated[str, typer.Argument(help="esc10, esc50, folder or csv.", show_default=False)],
    source: Annotated[Path, typer.Argument(help="The dataset's folder; for csv, the CSV file.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="Folder to write the shards to.", show_default=False)],
    codec: Annotated[str, typer.Option(help="pcm16 (fastest), flac (half the size) or source (as it is).")] = "pcm16",
    sample_rate: Annotated[int | None, typer.Option(help="Hz; by default the files' most common rate.")] = None,
    channels: Annotated[int, typer.Option(help="Channels; 1 averages them.")] = 1,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core.")] = None,
    shard_mib: Annotated[int | None, typer.Option(min=1, help="Size of a shard; by default at most 256.")] = None,
    on_error: Annotated[str, typer.Option(help="quarantine: set unreadable files aside; fail: stop.")] = "quarantine",
    as_json: Json = False,
) -> None:
    """Pack a dataset into HDF5 shards; run again after an interruption, it goes on where it stopped."""
    from tonearm.dataio import pack_dataset, read_manifest
    from tonearm.dataio.workers import available_cores

    manifest = read_manifest(layout, source)
    leaks = manifest.leaks()
    if leaks:
        _warn(f"clips of one recording stand in different folds or splits, for example {leaks[0]!r} "
              f"({_many(len(leaks), 'recording')}): held-out accuracy will look better than it is.")  # fmt: skip
    with _progress("packing", quiet=as_json) as progress:
        summary = pack_dataset(
            manifest, out, codec=codec, sample_rate=sample_rate, num_channels=channels,
            num_workers=workers or available_cores(), shard_bytes=None if shard_mib is None else shard_mib << 20,
            on_error=on_error, progress=progress,
        )  # fmt: skip
    if as_json:
        rejects = [vars(reject) for reject in summary.rejects]
        _print_json({**vars(summary), "rejects": rejects})
        return
    kept = f", {summary.num_kept} of them kept from before" if summary.num_kept else ""
    packed = f"{_many(summary.num_clips, 'clip')} in {_many(summary.num_shards, 'shard')}{kept}"
    _say(f"{packed}, {summary.num_bytes / 1e6:,.1f} MB: {out}")
    if summary.num_clipped:
        _say(f"{summary.num_clipped} samples lay beyond full scale and were clipped")
    if summary.rejects:
        first = summary.rejects[0]
        _warn(f"{_many(len(summary.rejects), 'clip')} could not be read and left out, the first {first.path}: "
              f"{first.reason}; all are in {out / 'rejects.csv'}.")  # fmt: skip


@app.command("inspect")
def inspect_command(data: Data, as_json: Json = False) -> None:
    """Say what a packed dataset has."""
    from tonearm.dataio.verify import inspect_dataset

    found = inspect_dataset(data)
    if as_json:
        _print_json(found.model_dump())
        return
    classes = _many(len(found.classes), "class", "classes")
    _say(f"{found.dataset}: {_many(found.num_clips, 'clip')}, {found.hours:.2f} h, {classes}")
    _say(f"  audio    {found.codec}, {found.sample_rate} Hz, {_many(found.num_channels, 'channel')}, "
         f"{found.shortest_seconds:.2f} to {found.longest_seconds:.2f} s a clip")  # fmt: skip
    _say(f"  shards   {found.num_shards}, {found.num_bytes / 1e6:,.1f} MB")
    _say(f"  levels   peak {found.peak:.3f}; {found.num_silent} silent clips; {found.num_clipped} samples clipped")
    _say(f"  rejected {found.num_rejected}")
    for title, counts in (("folds", found.folds), ("splits", found.splits), ("classes", found.classes)):
        if counts:
            _say(f"  {title:<8} " + ", ".join(f"{name} ({count})" for name, count in counts.items()))


@app.command()
def verify(data: Data, as_json: Json = False) -> None:
    """Read every byte of a packed dataset and compare it with its checksums."""
    from tonearm.dataio.verify import verify_dataset

    with _progress("verifying", quiet=as_json) as progress:
        problems = verify_dataset(data, progress=progress)
    if as_json:
        _print_json({"problems": problems})
    for problem in [] if as_json else problems:
        _say(problem)
    if problems:
        raise RunError(
            f"{data}: {_many(len(problems), 'problem')} found. Delete the shards named and run tonearm pack again."
        )
    if not as_json:
        _say(f"{data}: every byte is as it was packed")


@app.command()
def train(
    data: Data,
    overrides: Overrides = None,
    config: Annotated[str | None, typer.Option(help="A YAML file, or the name of one that comes with tonearm.")] = None,
    fold: Annotated[int | None, typer.Option(help="The fold to hold out.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run; by default runs/…")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    device: Device = None,
    seed_dialect: Annotated[str, typer.Option(help="For a seed's config.yaml: en or ru.")] = "en",
    as_json: Json = False,
) -> None:
    """Train a classifier and score it on the clips held out."""
    from tonearm.config import load_config
    from tonearm.dataio import open_dataset
    from tonearm.recipes import find_config
    from tonearm.training.checkpoint import load_checkpoint, saved_config
    from tonearm.training.loop import train as run_training

    where = _device(device)
    dataset = open_dataset(data)
    if resume is not None:
        if config or overrides or run or fold is not None:
            raise RequestError(
                "--resume goes on with a run as it was begun: no --config, --fold, --run or key=value beside it."
            )
        checkpoint = load_checkpoint(resume, device=where)
        run, fold, settings = resume, checkpoint.fold, saved_config(resume, checkpoint)
    elif config is None:
        raise RequestError("train needs --config FILE, to begin a run, or --resume RUN, to go on with one.")
    else:
        settings = load_config(find_config(config), overrides or (), seed_dialect=_dialect(seed_dialect))
        run = run or _new_run(dataset.header.name, fold)
    if settings.pretrain is not None:
        _warn("the configuration has a pretrain block; this version trains on one dataset and does not use it.")
    result = run_training(
        dataset, settings, run=run, fold=fold, device=where, resume=resume is not None,
        say=(lambda _: None) if as_json else _say,
    )  # fmt: skip
    if as_json:
        _print_json({**vars(result), "run": str(result.run)})


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)],
    data: Data,
    split: Annotated[str | None, typer.Option(help="val or test; by default what the run held out.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Score a trained model on clips it has not learnt from: those that its run held out, or a published split."""
    from tonearm.dataio import open_dataset
    from tonearm.training.restore import evaluate_run

    found = evaluate_run(run, open_dataset(data), device=_device(device), split=split)
    if as_json:
        _print_json(vars(found))
    else:
        scored, epochs = _many(found.num_clips, "clip"), _many(found.epoch, "epoch")
        _say(f"accuracy {found.accuracy:.3f} on {scored} ({found.held_out}), after {epochs}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has, what will be used, and what is missing."""
    from tonearm.doctor import diagnose

    found = diagnose()
    if as_json:
        _print_json(asdict(found))
    else:
        _say(str(found))


@bench_app.command("loader")
def bench_loader_command(
    clips: Annotated[int, typer.Option(min=1, help="Clips of the made-up set, 5 s at 44.1 kHz each.")] = 1000,
    repeats: Repeats = 5,
    peers: Annotated[bool, typer.Option("--peers", help="Also measure other tools, in their own environment.")] = False,
    device: Device = None,
    out: JsonOut = None,
    markdown: MarkdownOut = None,
) -> None:
    """Loading: every codec and backend beside the copy ceiling and, with --peers, torch's DataLoader."""
    from tonearm.benchmarks.loader import bench_loader

    _finish_bench(
        bench_loader(num_clips=clips, repeats=repeats, peers=peers, device=_device(device), announce=_announce),
        out, markdown,
    )  # fmt: skip


@bench_app.command("augment")
def bench_augment_command(
    config: Annotated[str, typer.Option(help="Whose augmentation is measured.")] = "esc50",
    repeats: Repeats = 7,
    device: Device = None,
    out: JsonOut = None,
    markdown: MarkdownOut = None,
) -> None:
    """Augmentation: each effect on a batch of 32 clips beside a plain copy of it."""
    from tonearm.benchmarks.augment import bench_augment
    from tonearm.config import load_config
    from tonearm.recipes import find_config

    _finish_bench(
        bench_augment(load_config(find_config(config)), repeats=repeats, device=_device(device), announce=_announce),
        out,
        markdown,
    )


@bench_app.command("train")
def bench_train_command(
    data: Data,
    config: Annotated[str, typer.Option(help="The run's configuration.", show_default=False)],
    overrides: Overrides = None,
    repeats: Repeats = 5,
    batches: Annotated[int, typer.Option(min=1, help="Batches of one timed pass.")] = 8,
    device: Device = None,
    out: JsonOut = None,
    markdown: MarkdownOut = None,
) -> None:
    """Training, end to end, beside the same loop fed from one cached batch."""
    from tonearm.benchmarks.train import bench_train
    from tonearm.config import load_config
    from tonearm.dataio import open_dataset
    from tonearm.recipes import find_config

    report = bench_train(
        open_dataset(data), load_config(find_config(config), overrides or ()), repeats=repeats, num_batches=batches,
        device=_device(device), announce=_announce,
    )  # fmt: skip
    _finish_bench(report, out, markdown)


@bench_app.command("report")
def bench_report_command(
    reports: Annotated[list[Path], typer.Argument(help="JSON files that --out wrote.", show_default=False)],
) -> None:
    """Show reports that were written before."""
    from tonearm.benchmarks.report import load_report

    for path in reports:
        _show_report(load_report(path))


@config_app.command("translate")
def config_translate(
    file: Annotated[str, typer.Argument(help="A seed's config.yaml, or one of ours.", show_default=False)],
    seed_dialect: Annotated[str, typer.Option(help="Which README the file follows: en or ru.")] = "en",
) -> None:
    """Print a configuration in our schema; what could not be kept is said on standard error."""
    from tonearm.config import dump_config, load_config_and_notes
    from tonearm.recipes import find_config

    config, notes = load_config_and_notes(find_config(file), seed_dialect=_dialect(seed_dialect))
    for note in notes:
        _warn(note)
    print(dump_config(config), end="")


@config_app.command("show")
def config_show(
    file: Annotated[str, typer.Argument(help="A configuration.", show_default=False)], overrides: Overrides = None
) -> None:
    """Print a configuration as it will be used: overrides applied, every default written out."""
    from tonearm.config import dump_config, load_config
    from tonearm.recipes import find_config

    print(dump_config(load_config(find_config(file), overrides or ())), end="")


def _device(name: str | None) -> Any:
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


def _dialect(name: str) -> Literal["en", "ru"]:
    if name not in ("en", "ru"):
        raise RequestError(f"--seed-dialect {name}: it may be en or ru.")
    return name  # type: ignore[return-value]


def _new_run(dataset: str, fold: int | None) -> Path:
    word = "".join(char if char.isalnum() else "-" for char in dataset.lower())
    part = "" if fold is None else f"-fold{fold}"
    return Path("runs") / f"{word}{part}-{datetime.now():%Y%m%d-%H%M%S}"


@contextmanager
def _progress(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
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


def _finish_bench(report: "BenchmarkReport", out: Path | None, markdown: Path | None) -> None:
    from tonearm.benchmarks.report import save_report
    from tonearm.benchmarks.table import to_markdown
    from tonearm.dataio.atomic import write_text

    if out is not None:  # kept before it is shown: a closed pipe must not cost the measurement
        save_report(report, out)
    if markdown is not None:
        write_text(markdown, to_markdown(report))
    _show_report(report)


def _show_report(report: "BenchmarkReport") -> None:
    from rich.console import Console

    from tonearm.benchmarks.table import to_markdown, to_rich

    if sys.stdout.isatty():
        Console().print(to_rich(report))
    else:
        print(to_markdown(report), flush=True)


def _announce(text: str) -> None:
    if sys.stderr.isatty():
        print(f"  {text}", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    print(text, flush=True)


def _warn(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)


def _many(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=1, default=str))


def _fail(message: str, code: int) -> NoReturn:
    print(f"tonearm: {message}", file=sys.stderr)
    sys.exit(code)
