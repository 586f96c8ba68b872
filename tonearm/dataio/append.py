"""Further clips for a packed dataset, as further shards: what is there already is not touched.

The new shards are numbered on from the last one. Until the index names them, the dataset is what it was, so that an
append may be interrupted at any moment; the same append goes on where it stopped. Run once more when shards that it
made are missing or damaged, it makes them again.
"""

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from tonearm.dataio.appended import mend_appended, number_labels, plan_part
from tonearm.dataio.atomic import remove_leftovers
from tonearm.dataio.clip_rows import clips_of, count_differences
from tonearm.dataio.columns import ClipTable, concatenate
from tonearm.dataio.index import INDEX_FILES, Index, extend_index, read_index
from tonearm.dataio.leaks import leaking_groups
from tonearm.dataio.lock import locked_folder
from tonearm.dataio.manifest import Manifest
from tonearm.dataio.pack import check_request, unreadable
from tonearm.dataio.pack_progress import Progress
from tonearm.dataio.plan import Reject, check_source, probe_all
from tonearm.dataio.rejects import REJECTS, read_rejects, write_rejects
from tonearm.dataio.shard_tasks import PackedShards, pack_shards
from tonearm.dataio.shards import SHARD_NAME, DatasetHeader, read_shard, shard_name
from tonearm.errors import RequestError, ShardError


@dataclass(frozen=True)
class AppendSummary:
    """What an append did.

    Attributes:
        num_clips: clips that are new in the dataset.
        num_present: clips of the manifest that it had already.
        differing: of those, how many have other "labels", another "fold", "split", "group" or "subset" in the manifest;
            they were left as they are.
        new_classes: class names that the dataset did not have.
        num_shards: new shards.
        num_kept: of those, how many an earlier, interrupted append had finished.
        num_bytes: size of the new shards.
        num_clipped: samples set to full scale in them.
        rejects: new clips that were left out.
        mended: file names of shards that were packed again: missing or damaged ones of an earlier append of this
            manifest, and new ones that an interrupted append left damaged.
        leaks: groups of the whole dataset whose clips stand in more than one fold or split.
    """

    num_clips: int
    num_present: int
    differing: dict[str, int]
    new_classes: tuple[str, ...]
    num_shards: int
    num_kept: int
    num_bytes: int
    num_clipped: int
    rejects: tuple[Reject, ...]
    mended: tuple[str, ...]
    leaks: tuple[str, ...]


def append_dataset(
    manifest: Manifest,
    out: str | Path,
    *,
    num_workers: int = 1,
    shard_bytes: int | None = None,
    on_error: str = "quarantine",
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> AppendSummary:
    """Pack the clips of ``manifest`` that a packed dataset does not have yet, or finish an append that was interrupted.

    They get the dataset's codec, rate and channels. A class is the same one if it has the same name; those that are new
    are added after the others, so that label numbers stay what they are. A clip is the same one if it has the same id;
    it is left as it is, even if the manifest says something else of it: :func:`tonearm.dataio.relabel_dataset` changes
    what a dataset says.

    Shards that an earlier append of the same manifest made are packed again where they are missing or damaged. If the
    manifest has nothing new, every byte of them is read to know; otherwise their sizes are looked at.

    Args:
        manifest: the clips, from :func:`tonearm.dataio.read_manifest`.
        out: the packed dataset.
        num_workers, shard_bytes, on_error, executor, progress: as for :func:`tonearm.dataio.pack_dataset`.

    Returns:
        What was done. Where ``num_clips`` is 0 nothing was changed, but for what ``rejects.csv`` says and the shards
        in ``mended``.

    Raises:
        RequestError: arguments that make no sense, files that the codec ``source`` cannot take, shards that another
            append left when it was interrupted, or a folder that another process writes to.
        ShardError: the dataset's index is damaged.
        RunError: a clip cannot be read and ``on_error`` is "fail", the disk is full, or a shard of an append is missing
            or damaged and cannot be made again from this manifest.
    """
    out = Path(out)
    read_index(out)  # a folder that is no dataset is not locked either
    with locked_folder(out, what="append"):
        index, table = read_index(out)
        check_request(index.codec, None, index.num_channels, num_workers, shard_bytes, on_error)
        new, present, differing = _split(manifest, index, table)
        known_rejects = {reject.clip_id for reject in read_rejects(out)}
        mended = mend_appended(
            manifest, index, table, out, _is_ours,
            thorough=new is None or known_rejects.issuperset(clip.clip_id for clip in new.clips),
            num_workers=num_workers, shard_bytes=shard_bytes, executor=executor, progress=progress,
        )  # fmt: skip
        packed = PackedShards([], [], 0, ())
        rejects: list[Reject] = []
        if new is not None:
            packed, rejects = _pack(new, index, out, num_workers, shard_bytes, on_error, executor, progress)
            tried = {clip.clip_id for clip in new.clips}
            write_rejects(out, [*(old for old in read_rejects(out) if old.clip_id not in tried), *rejects])
        tables = [shard.table for shard in packed.shards]
        if any(map(len, tables)):
            extend_index(out, index, table, packed.shards)
        else:
            for shard in packed.shards:  # shards without a clip, all of theirs having been rejected
                shard.path.unlink()
            packed = replace(packed, shards=[], num_kept=0)
    class_names = packed.shards[0].header.class_names if packed.shards else ()
    return AppendSummary(
        num_clips=sum(map(len, tables)),
        num_present=present,
        differing=differing,
        new_classes=class_names[len(index.class_names) :],
        num_shards=len(packed.shards),
        num_kept=packed.num_kept,
        num_bytes=sum(shard.path.stat().st_size for shard in packed.shards),
        num_clipped=sum(int(shard.table.num_clipped.sum()) for shard in packed.shards),
        rejects=tuple(rejects),
        mended=mended + packed.mended,
        leaks=tuple(leaking_groups(concatenate([table, *tables]))),
    )


def _split(manifest: Manifest, index: Index, table: ClipTable) -> tuple[Manifest | None, int, dict[str, int]]:
    """The part of the manifest that is new, with the dataset's class numbers; how many clips are not, and how many of
    those are known otherwise."""
    class_names, clips = number_labels(manifest, index.class_names)
    known = {clip.clip_id: clip for clip in clips_of(table)}
    new = tuple(clip for clip in clips if clip.clip_id not in known)
    present = [clip for clip in clips if clip.clip_id in known]
    differing = count_differences([known[clip.clip_id] for clip in present], present)
    if not new:
        return None, len(present), differing
    return Manifest(index.dataset, manifest.root, class_names, new), len(present), differing


def _pack(new: Manifest, index: Index, out: Path, num_workers: int, shard_bytes: int | None, on_error: str,
          executor: Executor | None, progress: Progress | None) -> tuple[PackedShards, list[Reject]]:  # fmt: skip
    planned, rejects = probe_all(new)
    if rejects and on_error == "fail":
        raise unreadable(rejects, new)
    if index.codec == "source":
        check_source(
            planned, index.sample_rate, index.num_channels,
            advice="Bring them to that, or pack them into a dataset of their own.",
        )  # fmt: skip
    first = len(index.shards)
    header, tasks = plan_part(new, planned, index, out, first=first, shard_bytes=shard_bytes)
    remove_leftovers(out, _is_ours)
    _check_standing(out, header, first)
    packed = pack_shards(tasks, num_workers=num_workers, executor=executor, progress=progress)
    rejects += packed.rejects
    if rejects and on_error == "fail":
        raise unreadable(rejects, new)
    place_of = {clip.clip_id: place for place, clip in enumerate(new.clips)}
    return packed, sorted(rejects, key=lambda reject: place_of[reject.clip_id])


def _check_standing(out: Path, header: DatasetHeader, first: int) -> None:
    """Refuse shards that the index does not name and that are not of this append: work that another one left."""
    foreign = []
    for path in sorted(out.glob("shard-*.h5")):
        number = int(path.stem.removeprefix("shard-")) if SHARD_NAME.fullmatch(path.name) else -1
        if 0 <= number < first:
            continue
        try:
            shard = read_shard(path)
            ours = shard.header == header and path.name == shard_name(shard.number)
        except ShardError:
            ours = first <= number < header.num_shards  # cut short, for example: it is packed again
        if not ours:
            foreign.append(path.name)
    if foreign:
        raise RequestError(
            f"{out}: the dataset's last shard is {shard_name(first - 1)}, but there are shards of another append that "
            f"did not come to its end: {', '.join(foreign[:5])}{' …' if len(foreign) > 5 else ''}. Run that one again, "
            "or delete these shards; the dataset does not need them."
        )


def _is_ours(name: str) -> bool:
    return name in (REJECTS, *INDEX_FILES) or SHARD_NAME.fullmatch(name) is not None
