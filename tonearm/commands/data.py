"""Commands that make, change and look over packed datasets."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tonearm.commands import describe
from tonearm.commands.output import Data, Json, Report, many, print_json, progress_bar, say, size, warn
from tonearm.dataio.datasets import LAYOUTS, read_manifest
from tonearm.errors import RequestError, RunError

if TYPE_CHECKING:
    from tonearm.dataio.manifest import Manifest
    from tonearm.dataio.pack_progress import PackProgress

app = typer.Typer()
_SHOWN_PROBLEMS = 10

Layout = Annotated[str, typer.Argument(help=f"{', '.join(LAYOUTS)}.", show_default=False)]
Source = Annotated[
    Path, typer.Argument(help="The dataset's folder; for csv, the CSV file.", show_default=False, metavar="SRC")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Threads that compute; by default one a core.")]
ShardMib = Annotated[int | None, typer.Option(min=1, help="Size of a shard; by default at most 256.")]
OnError = Annotated[str, typer.Option(help="quarantine: set unreadable files aside; fail: stop.")]


@app.command()
def pack(
    layout: Layout,
    source: Source,
    out: Annotated[Path, typer.Argument(help="Folder to write the shards to.", show_default=False)],
    codec: Annotated[str, typer.Option(help="pcm16 (fastest), flac (half the size) or source (as it is).")] = "pcm16",
    sample_rate: Annotated[int | None, typer.Option(help="Hz; by default the files' most common rate.")] = None,
    channels: Annotated[int, typer.Option(help="Channels; 1 averages them.")] = 1,
    workers: Workers = None,
    shard_mib: ShardMib = None,
    on_error: OnError = "quarantine",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; say how large and how long.")] = False,
    as_json: Json = False,
) -> None:
    """Pack a dataset into HDF5 shards; run again after an interruption, it goes on where it stopped."""
    from tonearm.dataio import pack_dataset
    from tonearm.dataio.workers import available_cores

    manifest = _read(layout, source)
    describe.warn_of_leaks(manifest.leaks())
    num_workers = workers or available_cores()
    shard_bytes = None if shard_mib is None else shard_mib << 20
    if dry_run:
        _estimate(manifest, out, codec, sample_rate, channels, num_workers, shard_bytes, as_json=as_json)
        return
    with progress_bar("packing", unit="clips", quiet=as_json) as progress:
        summary = pack_dataset(
            manifest, out, codec=codec, sample_rate=sample_rate, num_channels=channels, num_workers=num_workers,
            shard_bytes=shard_bytes, on_error=on_error, progress=_pack_progress(progress),
        )  # fmt: skip
    if as_json:
        print_json(asdict(summary))
        return
    kept = f", {summary.num_kept} of them kept from before" if summary.num_kept else ""
    packed = f"{many(summary.num_clips, 'clip')} in {many(summary.num_shards, 'shard')}{kept}"
    say(f"{packed}, {size(summary.num_bytes)}: {out}")
    describe.say_mended(summary.mended)
    describe.say_clipped_and_rejected(summary.num_clipped, summary.rejects, out)


@app.command()
def append(
    layout: Layout,
    source: Source,
    data: Data,
    workers: Workers = None,
    shard_mib: ShardMib = None,
    on_error: OnError = "quarantine",
    as_json: Json = False,
) -> None:
    """Pack the clips that a packed dataset does not have yet, as further shards; run again, it goes on."""
    from tonearm.dataio import append_dataset
    from tonearm.dataio.workers import available_cores

    manifest = _read(layout, source)
    with progress_bar("appending", unit="clips", quiet=as_json) as progress:
        summary = append_dataset(
            manifest, data, num_workers=workers or available_cores(),
            shard_bytes=None if shard_mib is None else shard_mib << 20, on_error=on_error,
            progress=_pack_progress(progress),
        )  # fmt: skip
    if as_json:
        print_json(asdict(summary))
        return
    if summary.num_clips:
        kept = f", {summary.num_kept} of them kept from before" if summary.num_kept else ""
        say(f"{many(summary.num_clips, 'new clip')} in {many(summary.num_shards, 'new shard')}{kept}, "
            f"{size(summary.num_bytes)}: {data}")  # fmt: skip
    else:
        say(f"nothing to append{'' if summary.mended else ', so nothing was changed'}: {data}")
    if summary.num_present:
        say(f"{many(summary.num_present, 'clip')} of {source} were there already")
    describe.say_new_classes(summary.new_classes)
    if any(summary.differing.values()):
        differing = describe.count_facts(summary.differing)
        warn(f"{source} says something else of clips that were there already: {differing}. They stay as they are; "
             "`tonearm relabel` changes them.")  # fmt: skip
    describe.warn_of_leaks(summary.leaks)
    describe.say_mended(summary.mended)
    describe.say_clipped_and_rejected(summary.num_clipped, summary.rejects, data)


@app.command()
def relabel(
    data: Data,
    table: Annotated[Path, typer.Argument(help="CSV: clip_id and any of label or labels, fold, split, group, subset.",
                                          show_default=False)],
    as_json: Json = False,
) -> None:  # fmt: skip
    """Change labels, folds, splits, groups and subsets of packed clips by a table; no audio is packed again.

    The table may be what `tonearm inspect OUT --clips` prints, edited. Clips that it does not name stay as they are; an
    empty cell takes a fold, split, group or subset away.
    """
    from tonearm.dataio import relabel_dataset

    summary = relabel_dataset(data, table)
    if as_json:
        print_json(asdict(summary))
        return
    if any(summary.changed.values()):
        say(f"changed the {describe.count_facts(summary.changed)}: {data}")
    else:
        say(f"nothing to change: {data} says the same of the {many(summary.num_named, 'clip')} in {table}")
    describe.say_new_classes(summary.new_classes)
    describe.warn_of_leaks(summary.leaks)


@app.command("inspect")
def inspect_command(
    data: Data,
    clips: Annotated[bool, typer.Option("--clips", help="Print a CSV of all clips, which relabel takes.")] = False,
    as_json: Json = False,
) -> None:
    """Say what a packed dataset has."""
    from tonearm.dataio.verify import inspect_dataset, list_clips

    if clips and as_json:
        print_json(list(list_clips(data)))
    elif clips:
        describe.print_clips(list_clips(data))
    elif as_json:
        print_json(inspect_dataset(data).model_dump())
    else:
        describe.show_inspection(inspect_dataset(data))


@app.command()
def verify(data: Data, as_json: Json = False) -> None:
    """Read every byte of a packed dataset and compare it with its checksums."""
    from tonearm.dataio.verify import verify_dataset

    with progress_bar("verifying", unit="shards", quiet=as_json) as progress:
        problems = verify_dataset(data, progress=progress)
    if as_json:
        print_json({"problems": problems})
    for problem in [] if as_json else problems:
        say(problem)
    if problems:
        raise RunError(
            f"{data}: {many(len(problems), 'problem')} found. Run the `tonearm pack` or `append` that wrote the shards "
            "named again: they are made anew."
        )
    if not as_json:
        say(f"{data}: every byte is as it was packed")


@app.command()
def unpack(
    data: Data,
    folder: Annotated[Path, typer.Argument(help="Folder to write to, empty or not there yet.", metavar="DIR",
                                           show_default=False)],
    file_format: Annotated[str | None, typer.Option("--format", help="wav or flac; by default what needs no coding: "
                                                    "WAV for pcm16, otherwise what is in the shards.")] = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Write every clip to a file, and labels.csv beside them, which `tonearm pack csv` takes.

    Packed from labels.csv, classes are numbered by name: their numbers may be others than in DATA.
    """
    from tonearm.dataio import unpack_dataset

    with progress_bar("unpacking", unit="clips", quiet=as_json) as progress:
        summary = unpack_dataset(data, folder, file_format=file_format, progress=progress)
    if as_json:
        print_json(asdict(summary))
    else:
        for problem in summary.problems[:_SHOWN_PROBLEMS]:
            say(problem)
        if len(summary.problems) > _SHOWN_PROBLEMS:
            say(f"… and {len(summary.problems) - _SHOWN_PROBLEMS:,} more")
        say(f"{many(summary.num_clips, 'clip')}, {size(summary.num_bytes)}, and labels.csv: {folder}")
    if summary.problems:
        raise RunError(
            f"{data}: {many(len(summary.problems), 'clip')} could not be unpacked; the others are in {folder}. "
            f"`tonearm verify {data}` says what is damaged."
        )


def _read(layout: str, source: Path) -> "Manifest":
    manifest = read_manifest(layout, source)
    for note in manifest.notes:
        warn(note)
    return manifest


def _pack_progress(report: Report | None) -> Callable[["PackProgress"], None] | None:
    if report is None:
        return None
    return lambda now: report(now.clips_done, now.clips_total, now.bytes_done, now.bytes_total)


def _estimate(
    manifest: "Manifest", out: Path, codec: str, sample_rate: int | None, channels: int, num_workers: int,
    shard_bytes: int | None, *, as_json: bool,
) -> None:  # fmt: skip
    from tonearm.dataio import estimate_pack
    from tonearm.dataio.columns import CODECS

    if codec not in CODECS:
        raise RequestError(f"unknown codec {codec!r}; there are {', '.join(CODECS)}.")
    found = estimate_pack(
        manifest, sample_rate=sample_rate, num_channels=channels, num_workers=num_workers, shard_bytes=shard_bytes
    )
    free_bytes = describe.free_bytes_at(out)
    if as_json:
        print_json({**asdict(found), "free_bytes": free_bytes})
    else:
        describe.show_estimate(found, free_bytes, out)
    chosen = found.codecs[codec]
    if chosen.num_bytes is None:
        raise RequestError(chosen.reason)
    if chosen.num_bytes > free_bytes:
        warn(f"the disk of {out} has too little room for {codec}.")
