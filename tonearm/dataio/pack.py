"""Manifest to shards: a folder of HDF5 files and their index.

Every header is read first; the shards' boundaries follow from that and from the manifest alone, so they do not depend
on the number of workers or on what is rejected later. What cannot be read in full is left out and listed with its
reason in ``rejects.csv``. A pack that was interrupted is taken up where it stopped: whole shards are kept, and end up
as the same bytes.
"""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from tonearm.dataio import index
from tonearm.dataio.atomic import is_leftover, remove_leftovers
from tonearm.dataio.columns import CODECS
from tonearm.dataio.encode import flac_limits
from tonearm.dataio.kept_shards import another_pack
from tonearm.dataio.lock import LOCK_NAME, locked_folder
from tonearm.dataio.manifest import Manifest
from tonearm.dataio.mend import broken_shards, mend_shards, some_shards
from tonearm.dataio.pack_progress import Progress
from tonearm.dataio.plan import (
    Reject,
    ShardTask,
    check_source,
    cut,
    fingerprint,
    library_versions,
    probe_all,
)
from tonearm.dataio.rejects import REJECTS, read_rejects, write_rejects
from tonearm.dataio.shard_tasks import pack_shards
from tonearm.dataio.shards import SHARD_NAME, DatasetHeader
from tonearm.errors import RequestError, RunError

_OTHER_FILES = (REJECTS, *index.INDEX_FILES)


@dataclass(frozen=True)
class PackSummary:
    """What a pack did.

    Attributes:
        num_clips: clips in the shards.
        num_shards: shards.
        num_kept: shards that an earlier, interrupted pack had finished.
        num_bytes: size of the shards.
        num_clipped: samples set to full scale.
        rejects: what was left out.
        mended: file names of shards that were damaged, and packed again; in a dataset that was appended to or
            relabelled since, of those that were missing too.
    """

    num_clips: int
    num_shards: int
    num_kept: int
    num_bytes: int
    num_clipped: int
    rejects: tuple[Reject, ...]
    mended: tuple[str, ...]


def pack_dataset(
    manifest: Manifest,
    out: str | Path,
    *,
    codec: str = "pcm16",
    sample_rate: int | None = None,
    num_channels: int = 1,
    num_workers: int = 1,
    shard_bytes: int | None = None,
    on_error: str = "quarantine",
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> PackSummary:
    """Pack a dataset into shards, or finish a pack that was interrupted.

    Args:
        manifest: the clips, from :func:`tonearm.dataio.read_manifest`.
        out: the folder to write; made if it is not there.
        codec: "pcm16" (fastest), "flac" (lossless, about half the bytes) or "source" (the files' own bytes).
        sample_rate: Hz; by default the most common rate among the files.
        num_channels: 1 averages the channels.
        num_workers: processes, this one among them. The result does not depend on it.
        shard_bytes: about how large a shard becomes; by default 256 MiB, less for a dataset of under 3 GiB so that it
            still makes twelve shards (of at least 16 MiB) to share out and to resume from.
        on_error: "quarantine" lists unreadable clips in ``rejects.csv`` and goes on; "fail" stops at them.
        executor: runs the tasks in place of our own workers, on a cluster for example.
        progress: called now and then with a :class:`tonearm.dataio.pack_progress.PackProgress`.

    Returns:
        What was done.

    Raises:
        RequestError: arguments that make no sense, ``source`` for files it cannot take, a folder that holds something
            else already or that another process writes to. One that was appended to or relabelled since is mended
            where shards are missing or damaged, and otherwise left as it is.
        RunError: no clip could be read, or one could not and ``on_error`` is "fail"; the disk has not enough room; or a
            shard that was appended is missing or damaged, which the append that made it mends.
    """
    out = Path(out)
    check_request(codec, sample_rate, num_channels, num_workers, shard_bytes, on_error)
    planned, rejects = probe_all(manifest)
    if rejects and on_error == "fail":
        raise unreadable(rejects, manifest)
    if not planned:
        raise none_readable(manifest, rejects)
    rate = sample_rate or Counter(item.header.sample_rate for item in planned).most_common(1)[0][0]
    if codec == "source":
        check_source(planned, rate, num_channels)
    if codec == "flac" and (limits := flac_limits(rate, num_channels)):
        raise RequestError(f"{limits}. Pack with --codec pcm16 instead.")
    parts = cut(planned, codec, rate, num_channels, shard_bytes)
    header = DatasetHeader(
        name=manifest.name, class_names=manifest.class_names, codec=codec, sample_rate=rate, num_channels=num_channels,
        num_shards=len(parts), manifest_sha256=manifest.sha256(), pack_sha256="", versions=library_versions(),
    )  # fmt: skip
    header = replace(header, pack_sha256=fingerprint(header, parts))
    tasks = [ShardTask(manifest.root, out, header, number, tuple(part)) for number, part in enumerate(parts)]

    _make_folder(out)
    with locked_folder(out):
        standing = _check_standing(out, tasks)
        remove_leftovers(out, _is_ours)
        if standing is not None and standing.changed:
            return _mend(out, tasks, standing, num_workers=num_workers, executor=executor, progress=progress)
        done = pack_shards(
            tasks, num_workers=num_workers, executor=executor, progress=progress,
            starting=lambda: (out / index.INDEX_JSON).unlink(missing_ok=True),  # where it stands, the pack is complete
        )  # fmt: skip
        rejects += done.rejects
        if rejects and on_error == "fail":
            raise unreadable(rejects, manifest)
        order = {clip.clip_id: place for place, clip in enumerate(manifest.clips)}
        rejects.sort(key=lambda reject: order[reject.clip_id])
        write_rejects(out, rejects)
        num_clips = sum(len(shard.table) for shard in done.shards)
        if num_clips == 0:
            none = "its only clip does not decode" if len(manifest) == 1 else f"none of {len(manifest)} clips decodes"
            raise RunError(f"{manifest.root}: {none}; {out / REJECTS} says why.")
        index.write_index(out, done.shards)
    return PackSummary(
        num_clips=num_clips,
        num_shards=len(done.shards),
        num_kept=done.num_kept,
        num_bytes=sum(shard.path.stat().st_size for shard in done.shards),
        num_clipped=sum(int(shard.table.num_clipped.sum()) for shard in done.shards),
        rejects=tuple(rejects),
        mended=done.mended,
    )


def check_request(codec: str, sample_rate: int | None, num_channels: int, num_workers: int,
                  shard_bytes: int | None, on_error: str) -> None:  # fmt: skip
    """Refuse arguments of a pack that make no sense.

    Raises:
        RequestError: says which one, and what it may be.
    """
    if codec not in CODECS:
        raise RequestError(f"unknown codec {codec!r}; there are {', '.join(CODECS)}.")
    if on_error not in ("quarantine", "fail"):
        raise RequestError(f"on_error (--on-error) is {on_error!r}; it may be quarantine or fail.")
    if sample_rate is not None and not 1_000 <= sample_rate <= 768_000:
        raise RequestError(f"sample rate {sample_rate}; it may be 1000 to 768000 Hz.")
    if not 1 <= num_channels <= 64:
        raise RequestError(f"{num_channels} channels; it may be 1 to 64.")
    if num_workers < 1:
        raise RequestError(f"num_workers (--workers) is {num_workers}; it must be at least 1.")
    if shard_bytes is not None and shard_bytes < 1:
        raise RequestError(f"shard_bytes (--shard-mib) is {shard_bytes}; it must be at least 1.")


def unreadable(rejects: Sequence[Reject], manifest: Manifest) -> RunError:
    """What to say of clips that cannot be read where none may be left out."""
    shown = "; ".join(f"{reject.path}: {reject.reason}" for reject in rejects[:5])
    more = f" and {len(rejects) - 5} more" if len(rejects) > 5 else ""
    return RunError(
        f"{manifest.root}: {len(rejects)} clip(s) cannot be read: {shown}{more}. Mend them, or leave them out with "
        "--on-error quarantine."
    )


def none_readable(manifest: Manifest, rejects: Sequence[Reject]) -> RunError:
    """What to say when no header of any clip can be read."""
    first = f"{rejects[0].path}: {rejects[0].reason}."
    if len(manifest) == 1:
        what = f"its only clip cannot be read, {first}"
    else:
        what = f"none of the {len(manifest)} clips can be read. The first, {first}"
    return RunError(f"{manifest.name} in {manifest.root.resolve()}: {what}")


def _make_folder(out: Path) -> None:
    if out.is_file():
        raise RequestError(f"{out}: a file, not a folder. Give a folder for the shards.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in out.iterdir())
    except OSError as error:
        raise RequestError(f"{out}: cannot use this folder ({error.strerror}). Give another one.") from error
    ours = [name for name in names if name == LOCK_NAME or _is_ours(name) or is_leftover(name, _is_ours)]
    foreign = sorted(set(names) - set(ours))
    if foreign:
        raise RequestError(f"{out} holds other files, {foreign[0]!r} for one. Give a folder of its own for the shards.")


def _is_ours(name: str) -> bool:
    return name in _OTHER_FILES or SHARD_NAME.fullmatch(name) is not None


def _check_standing(out: Path, tasks: list[ShardTask]) -> index.Index | None:
    """The index of the dataset that is there, if there is one; refuse a dataset that is another one."""
    path = out / index.INDEX_JSON
    extra = sorted({shard.name for shard in out.glob("shard-*.h5")} - {task.path.name for task in tasks})
    try:
        found = index.Index.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        if extra:
            raise another_pack(out) from None
        return None
    except (OSError, ValidationError) as error:
        raise RequestError(
            f"{path}: damaged. If the dataset was appended to or relabelled, put back a copy of this file; otherwise "
            "delete it and run the same tonearm pack again."
        ) from error
    if found.packs[0].pack_sha256 != tasks[0].header.pack_sha256:
        raise another_pack(out)
    named = {entry.file for entry in found.shards}
    if unnamed := [name for name in extra if name not in named]:
        raise RequestError(
            f"{out}: this is packed already, and there are shards of an append that did not come to its end: "
            f"{', '.join(unnamed[:5])}. Run that append again, or delete these; the dataset does not need them."
        )
    return found


def _mend(out: Path, tasks: list[ShardTask], standing: index.Index, *, num_workers: int, executor: Executor | None,
          progress: Progress | None) -> PackSummary:  # fmt: skip
    """Pack shards again that are missing or damaged in a dataset that was changed after it was packed.

    All shards are looked at; those that were appended are not of this manifest, and are named if they are broken.
    """
    table = index.read_index(out)[1]
    broken = broken_shards(out, standing, range(len(standing.shards)), num_workers=num_workers)
    own = [task for task in tasks if task.number in broken]
    mended = mend_shards(own, standing, num_workers=num_workers, executor=executor, progress=progress)
    if appended := [number for number in broken if number >= len(tasks)]:
        also = f" What was broken of this pack was packed again: {', '.join(mended)}." if mended else ""
        raise RunError(
            f"{out}: missing or damaged: {some_shards(standing, appended)}, which came with a later append. Run the "
            f"`tonearm append` that wrote them again: they are made anew.{also}"
        )
    return PackSummary(
        num_clips=sum(entry.num_clips for entry in standing.shards),
        num_shards=len(standing.shards),
        num_kept=len(standing.shards) - len(mended),
        num_bytes=sum(entry.num_bytes for entry in standing.shards),
        num_clipped=int(table.num_clipped.sum()),
        rejects=tuple(read_rejects(out)),
        mended=mended,
    )
