"""Commands that measure."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tonearm.commands.output import Data, Device, Overrides, announce, device_of, say

if TYPE_CHECKING:
    from tonearm.benchmarks.report import BenchmarkReport

app = typer.Typer(help="Measure throughput, interleaved, beside ceilings and peers.", no_args_is_help=True)

Clips = Annotated[int, typer.Option(min=1, help="Clips of the made-up set, 5 s at 44.1 kHz each.")]
ClipFolder = Annotated[Path | None, typer.Option("--folder", help="Keep the clips here, for the next run.")]
Repeats = Annotated[int, typer.Option(min=1, help="Timed passes of each contestant.")]
JsonOut = Annotated[Path | None, typer.Option("--out", help="Also write the report here, as JSON.")]
MarkdownOut = Annotated[Path | None, typer.Option("--markdown", help="Also write the table here, as Markdown.")]


@app.command("loader")
def bench_loader_command(
    clips: Clips = 2000,
    repeats: Repeats = 5,
    peers: Annotated[bool, typer.Option("--peers", help="Also measure other tools, in their own environment.")] = False,
    folder: ClipFolder = None,
    device: Device = None,
    out: JsonOut = None,
    markdown: MarkdownOut = None,
) -> None:
    """Loading: every codec and backend beside its ceiling and, with --peers, five other tools; cache warm and cold."""
    from tonearm.benchmarks.loader import bench_loader

    report = bench_loader(
        num_clips=clips, repeats=repeats, peers=peers, folder=folder, device=device_of(device), announce=announce
    )
    _finish_bench(report, out, markdown)


@app.command("pack")
def bench_pack_command(
    clips: Clips = 2000,
    repeats: Repeats = 5,
    folder: ClipFolder = None,
    out: JsonOut = None,
    markdown: MarkdownOut = None,
) -> None:
    """Packing: each codec with one worker and more, beside a plain loop of soundfile and h5py."""
    from tonearm.benchmarks.pack import bench_pack

    _finish_bench(bench_pack(num_clips=clips, repeats=repeats, folder=folder, announce=announce), out, markdown)


@app.command("open")
def bench_open_command(
    clips: Annotated[int, typer.Option(help="Clips of the made-up dataset.")] = 1_000_000,
    shards: Annotated[int, typer.Option(help="Shards that it is cut into.")] = 1640,
    repeats: Annotated[int, typer.Option(help="Processes that open it.")] = 5,
    folder: ClipFolder = None,
    out: JsonOut = None,
    markdown: MarkdownOut = None,
) -> None:
    """Opening a dataset of very many clips, and resuming in the middle of an epoch of it: seconds and memory."""
    from tempfile import TemporaryDirectory

    from tonearm.benchmarks.opening import bench_opening, to_markdown
    from tonearm.dataio.atomic import write_text

    with TemporaryDirectory(prefix="tonearm-bench-") as temporary:
        report = bench_opening(
            folder or Path(temporary), num_clips=clips, num_shards=shards, repeats=repeats, announce=announce
        )
    table = to_markdown(report)
    if out is not None:
        write_text(out, report.model_dump_json(indent=2) + "\n")
    if markdown is not None:
        write_text(markdown, table)
    say(table)


@app.command("augment")
def bench_augment_command(
    config: Annotated[str, typer.Option(help="Whose chains are measured.")] = "esc50",
    batch_size: Annotated[int, typer.Option(min=1, help="Clips of 5 s at 44.1 kHz.")] = 32,
    repeats: Repeats = 7,
    peers: Annotated[bool, typer.Option("--peers", help="Also measure other tools, in their own environment.")] = False,
    only: Annotated[str, typer.Option(help='Rows in whose "group: name" this is found, as in ": LowPass$".')] = "",
    device: Device = None,
    out: JsonOut = None,
    markdown: MarkdownOut = None,
) -> None:
    """Augmentation: each effect and chain beside a plain copy of the batch and, with --peers, other tools' effects."""
    from tonearm.benchmarks.augment import bench_augment
    from tonearm.config import load_config
    from tonearm.recipes import find_config

    report = bench_augment(
        load_config(find_config(config)), batch_size=batch_size, repeats=repeats, peers=peers, only=only,
        device=device_of(device), announce=announce,
    )  # fmt: skip
    _finish_bench(report, out, markdown)


@app.command("model")
def bench_model_command(
    systems: Annotated[
        list[str] | None,
        typer.Argument(
            help="Of `tonearm models`, or configurations; esc50, erann-4x2-3, cnn14 if none.", show_default=False
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="All that `tonearm models` lists.")] = False,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Clips; by default 32 on a GPU, 4 on a CPU.", show_default=False)
    ] = None,
    duration_seconds: Annotated[float, typer.Option(help="Of a clip.")] = 5.0,
    compiled: Annotated[
        bool | None,
        typer.Option(
            "--compiled/--no-compiled", help="Also under torch.compile; by default on a GPU.", show_default=False
        ),
    ] = None,
    only: Annotated[str, typer.Option(help='Rows in whose name this is found, as in "forward, bf16".')] = "",
    repeats: Repeats = 5,
    device: Device = None,
    out: JsonOut = None,
    markdown: MarkdownOut = None,
) -> None:
    """Networks alone, forward and backward, in each precision, memory format and mode, beside the matrix rate."""
    from tonearm.benchmarks.benched_system import DEFAULT_SYSTEMS, benched_system
    from tonearm.benchmarks.model import bench_model
    from tonearm.models import SYSTEMS

    names = [*SYSTEMS, *(systems or ())] if every else systems or DEFAULT_SYSTEMS
    report = bench_model(
        [benched_system(name) for name in dict.fromkeys(names)], batch_size=batch_size, repeats=repeats,
        duration_seconds=duration_seconds, compiled=compiled, only=only, device=device_of(device), announce=announce,
    )  # fmt: skip
    _finish_bench(report, out, markdown)


@app.command("features")
def bench_features_command(
    batch_size: Annotated[int, typer.Option(min=1, help="Clips of 5 s.")] = 32,
    repeats: Repeats = 7,
    device: Device = None,
    out: JsonOut = None,
    markdown: MarkdownOut = None,
) -> None:
    """The front-end: log-mel spectrograms beside torchaudio's and the bare Fourier transform."""
    from tonearm.benchmarks.features import bench_features

    report = bench_features(batch_size=batch_size, repeats=repeats, device=device_of(device), announce=announce)
    _finish_bench(report, out, markdown)


@app.command("train")
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
        device=device_of(device), announce=announce,
    )  # fmt: skip
    _finish_bench(report, out, markdown)


@app.command("report")
def bench_report_command(
    reports: Annotated[list[Path], typer.Argument(help="JSON files that --out wrote.", show_default=False)],
) -> None:
    """Show reports that were written before."""
    from tonearm.benchmarks.report import load_report

    for path in reports:
        show_report(load_report(path))


def _finish_bench(report: "BenchmarkReport", out: Path | None, markdown: Path | None) -> None:
    from tonearm.benchmarks.report import save_report
    from tonearm.benchmarks.table import to_markdown
    from tonearm.dataio.atomic import write_text

    if out is not None:  # kept before it is shown: a closed pipe must not cost the measurement
        save_report(report, out)
    if markdown is not None:
        write_text(markdown, to_markdown(report))
    show_report(report)


def show_report(report: "BenchmarkReport") -> None:
    """Print a report: a coloured table on a terminal, Markdown elsewhere."""
    from rich.console import Console

    from tonearm.benchmarks.table import to_markdown, to_rich

    if sys.stdout.isatty():
        Console().print(to_rich(report))
    else:
        print(to_markdown(report), flush=True)
