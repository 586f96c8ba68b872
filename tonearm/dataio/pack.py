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
from tonearm.dataio.kept_shards import another_pack
from tonearm.dataio.lock import LOCK_NAME, locked_folder
from tonearm.dataio.manifest import Manifest
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
from tonearm.dataio.rejects import REJECTS, write_rejects
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
        mended: file names of shards that were damaged, and packed again.
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
            else already, that another process writes to, or that was appended to or relabelled since it was packed.
        RunError: no clip could be read, or one could not and ``on_error`` is "fail"; or the disk has not enough room.
    """
    out = Path(out)
    check_request(codec, sample_rate, num_channels, num_workers, shard_bytes, on_error)
    planned, rejects = probe_all(manifest)
    if rejects and on_error == "fail":
        raise unreadable(rejects, manifest)
    if not planned:
        raise RunError(
            f"{manifest.name} in {manifest.root.resolve()}: none of the {len(manifest)} clips can be read. The first, "
            f"{rejects[0].path}: {rejects[0].reason}."
        )
    rate = sample_rate or Counter(item.header.sample_rate for item in planned).most_common(1)[0][0]
    if codec == "source":
        check_source(planned, rate, num_channels)
    parts = cut(planned, codec, rate, num_channels, shard_bytes)
    header = DatasetHeader(
        name=manifest.name, class_names=manifest.class_names, codec=codec, sample_rate=rate, num_channels=num_channels,
        num_shards=len(parts), manifest_sha256=manifest.sha256(), pack_sha256="", versions=library_versions(),
    )  # fmt: skip
    header = replace(header, pack_sha256=fingerprint(header, parts))
    tasks = [ShardTask(manifest.root, out, header, number, tuple(part)) for number, part in enumerate(parts)]

    _make_folder(out)
    with locked_folder(out):
        _check_standing(out, tasks)
        remove_leftovers(out, _is_ours)
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
            raise RunError(f"{manifest.root}: none of the {len(manifest)} clips decodes; {out / REJECTS} says why.")
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


def _make_folder(out: Path) -> None:
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


def _check_standing(out: Path, tasks: list[ShardTask]) -> None:
    """Refuse a folder whose dataset is another one, or more than this pack would make of it."""
    expected = {task.path.name for task in tasks}
    try:
        found = index.Index.model_validate_json((out / index.INDEX_JSON).read_bytes())
    except (OSError, ValidationError):
        found = None  # not there, or damaged: then the shards tell
    if found is not None and (found.relabelled or len(found.packs) > 1):
        what = "relabelled" if found.relabelled else "appended to"
        raise RequestError(
            f"{out}: this dataset was {what} after it was packed, and packing it again would undo that. Pack into "
            f"another folder; or, if that is what you want, delete {out / index.INDEX_JSON} first."
        )
    if found is not None and found.packs[0].pack_sha256 != tasks[0].header.pack_sha256:
        raise another_pack(out)
    if any(path.name not in expected for path in out.glob("shard-*.h5")):
        raise another_pack(out)
