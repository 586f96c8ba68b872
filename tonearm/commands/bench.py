"""Commands that measure."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tonearm.commands.output import Data, Device, Overrides, announce, device_of

if TYPE_CHECKING:
    from tonearm.benchmarks.report import BenchmarkReport

app = typer.Typer(help="Measure throughput, interleaved, beside ceilings and peers.", no_args_is_help=True)

Repeats = Annotated[int, typer.Option(min=1, help="Timed passes of each contestant.")]
JsonOut = Annotated[Path | None, typer.Option("--out", help="Also write the report here, as JSON.")]
MarkdownOut = Annotated[Path | None, typer.Option("--markdown", help="Also write the table here, as Markdown.")]


@app.command("loader")
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
        bench_loader(num_clips=clips, repeats=repeats, peers=peers, device=device_of(device), announce=announce),
        out, markdown,
    )  # fmt: skip


@app.command("augment")
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
        bench_augment(load_config(find_config(config)), repeats=repeats, device=device_of(device), announce=announce),
        out,
        markdown,
    )


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
