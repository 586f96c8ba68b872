"""Commands that make and look over packed datasets."""

from pathlib import Path
from typing import Annotated

import typer

from tonearm.commands.output import Data, Json, many, print_json, progress_bar, say, warn
from tonearm.errors import RunError

app = typer.Typer()


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
    for note in manifest.notes:
        warn(note)
    leaks = manifest.leaks()
    if leaks:
        warn(f"clips of one recording stand in different folds or splits, for example {leaks[0]!r} "
              f"({many(len(leaks), 'recording')}): held-out accuracy will look better than it is.")  # fmt: skip
    with progress_bar("packing", quiet=as_json) as progress:
        summary = pack_dataset(
            manifest, out, codec=codec, sample_rate=sample_rate, num_channels=channels,
            num_workers=workers or available_cores(), shard_bytes=None if shard_mib is None else shard_mib << 20,
            on_error=on_error, progress=progress,
        )  # fmt: skip
    if as_json:
        rejects = [vars(reject) for reject in summary.rejects]
        print_json({**vars(summary), "rejects": rejects})
        return
    kept = f", {summary.num_kept} of them kept from before" if summary.num_kept else ""
    packed = f"{many(summary.num_clips, 'clip')} in {many(summary.num_shards, 'shard')}{kept}"
    say(f"{packed}, {summary.num_bytes / 1e6:,.1f} MB: {out}")
    if summary.num_clipped:
        say(f"{summary.num_clipped} samples lay beyond full scale and were clipped")
    if summary.rejects:
        first = summary.rejects[0]
        warn(f"{many(len(summary.rejects), 'clip')} could not be read and left out, the first {first.path}: "
              f"{first.reason}; all are in {out / 'rejects.csv'}.")  # fmt: skip


@app.command("inspect")
def inspect_command(data: Data, as_json: Json = False) -> None:
    """Say what a packed dataset has."""
    from tonearm.dataio.verify import inspect_dataset

    found = inspect_dataset(data)
    if as_json:
        print_json(found.model_dump())
        return
    classes = many(len(found.classes), "class", "classes")
    say(f"{found.dataset}: {many(found.num_clips, 'clip')}, {found.hours:.2f} h, {classes}")
    say(f"  audio    {found.codec}, {found.sample_rate} Hz, {many(found.num_channels, 'channel')}, "
         f"{found.shortest_seconds:.2f} to {found.longest_seconds:.2f} s a clip")  # fmt: skip
    say(f"  shards   {found.num_shards}, {found.num_bytes / 1e6:,.1f} MB")
    say(f"  levels   peak {found.peak:.3f}; {found.num_silent} silent clips; {found.num_clipped} samples clipped")
    say(f"  rejected {found.num_rejected}")
    for title, counts in (("folds", found.folds), ("splits", found.splits), ("classes", found.classes)):
        if counts:
            say(f"  {title:<8} " + ", ".join(f"{name} ({count})" for name, count in counts.items()))


@app.command()
def verify(data: Data, as_json: Json = False) -> None:
    """Read every byte of a packed dataset and compare it with its checksums."""
    from tonearm.dataio.verify import verify_dataset

    with progress_bar("verifying", quiet=as_json) as progress:
        problems = verify_dataset(data, progress=progress)
    if as_json:
        print_json({"problems": problems})
    for problem in [] if as_json else problems:
        say(problem)
    if problems:
        raise RunError(
            f"{data}: {many(len(problems), 'problem')} found. Delete the shards named and run tonearm pack again."
        )
    if not as_json:
        say(f"{data}: every byte is as it was packed")
