"""What an append packs: found when clips are appended, and found again when shards that it made are mended."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np

from tonearm.dataio.atomic import remove_leftovers
from tonearm.dataio.columns import ClipTable
from tonearm.dataio.index import Index
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.dataio.mend import broken_shards, mend_shards, some_shards
from tonearm.dataio.pack_progress import Progress
from tonearm.dataio.plan import PlannedClip, ShardTask, cut, fingerprint, library_versions, probe_all
from tonearm.dataio.shards import DatasetHeader
from tonearm.errors import RunError


def number_labels(manifest: Manifest, class_names: Sequence[str]) -> tuple[tuple[str, ...], list[Clip]]:
    """The dataset's class names, those that are new at the end, and the manifest's clips with labels among them."""
    label_of = {name: label for label, name in enumerate(class_names)}
    labels = [label_of.setdefault(name, len(label_of)) for name in manifest.class_names]
    clips = [replace(clip, labels=tuple(labels[label] for label in clip.labels)) for clip in manifest.clips]
    return tuple(label_of), clips


def plan_part(part: Manifest, planned: list[PlannedClip], index: Index, out: Path, *, first: int,
              shard_bytes: int | None) -> tuple[DatasetHeader, list[ShardTask]]:  # fmt: skip
    """The header and the tasks of an append.

    Args:
        part: the clips that are new, with the dataset's class names.
        planned: those of them whose headers can be read.
        index: of the dataset, which gives codec, rate and channels.
        out: the dataset's folder.
        first: number of the first shard.
        shard_bytes: about how large a shard becomes.
    """
    rate, num_channels = index.sample_rate, index.num_channels
    parts = cut(planned, index.codec, rate, num_channels, shard_bytes) if planned else []
    header = DatasetHeader(
        name=index.dataset, class_names=part.class_names, codec=index.codec, sample_rate=rate,
        num_channels=num_channels, num_shards=first + len(parts), manifest_sha256=part.sha256(), pack_sha256="",
        versions=library_versions(),
    )  # fmt: skip
    header = replace(header, pack_sha256=fingerprint(header, parts))
    return header, [ShardTask(part.root, out, header, first + place, tuple(clips)) for place, clips in enumerate(parts)]


def mend_appended(manifest: Manifest, index: Index, table: ClipTable, out: Path, is_ours: Callable[[str], bool], *,
                  thorough: bool, num_workers: int, shard_bytes: int | None, executor: Executor | None,
                  progress: Progress | None) -> tuple[str, ...]:  # fmt: skip
    """Make shards again that an earlier append of this manifest made, where they are missing or damaged.

    Args:
        manifest: the clips, those of the earlier append among them.
        index, table: of the dataset; they stay.
        out: its folder, which the caller has locked.
        is_ours: tells names whose leftovers are cleared away before something is written.
        thorough: read every byte of the shards of those appends that clips of the manifest came with; sizes alone are
            looked at otherwise, and for the others.
        num_workers, shard_bytes, executor, progress: as for :func:`tonearm.dataio.pack_dataset`.

    Returns:
        The file names of the shards that were made again.

    Raises:
        RunError: a shard of an append is broken and cannot be made again from this manifest.
    """
    ends = [pack.end for pack in index.packs]
    packs = np.searchsorted(ends, table.shard, side="right").tolist()
    pack_of = {
        clip_id.decode(errors="replace"): pack for clip_id, pack in zip(table.clip_id.tolist(), packs, strict=True)
    }
    touched = {pack_of.get(clip.clip_id, 0) for clip in manifest.clips}
    mended: tuple[str, ...] = ()
    foreign: list[int] = []
    changed: list[int] = []
    for number in range(1, len(ends)):
        broken = broken_shards(
            out, index, range(ends[number - 1], ends[number]), num_workers=num_workers,
            sizes_only=not (thorough and number in touched),
        )  # fmt: skip
        if not broken:
            continue
        part = _find_part(manifest, index, pack_of, number)
        if part is None:
            foreign += broken
            continue
        header, tasks = plan_part(part, probe_all(part)[0], index, out, first=ends[number - 1], shard_bytes=shard_bytes)
        if header.pack_sha256 != index.packs[number].pack_sha256:
            changed += broken
            continue
        remove_leftovers(out, is_ours)
        mended += mend_shards(
            [task for task in tasks if task.number in broken], index, num_workers=num_workers, executor=executor,
            progress=progress,
        )  # fmt: skip
    if changed:
        raise RunError(
            f"{out}: missing or damaged: {some_shards(index, changed)}. The recordings, --shard-mib or the library "
            "versions are not those of the append that wrote them, so they cannot be made again. Append with what it "
            "was then, put back copies, or pack everything into another folder. Nothing was appended."
        )
    if foreign:
        raise RunError(
            f"{out}: missing or damaged: {some_shards(index, foreign)}, and this is not what they were appended from. "
            "Run the `tonearm append` that wrote them again: they are made anew. Nothing was appended."
        )
    return mended


def _find_part(manifest: Manifest, index: Index, pack_of: dict[str, int], number: int) -> Manifest | None:
    """What the append that made a pack took from the manifest; None if it was another manifest.

    It took what the packs before it did not have. Since then the manifest may have got further clips, which are in
    later packs or in none. Class names are only ever added at the end: those of that time are the first of today's.
    """
    clips = number_labels(manifest, index.class_names)[1]
    packed = sum(pack == number for pack in pack_of.values())
    if not 0 < packed == sum(pack_of.get(clip.clip_id) == number for clip in clips):
        return None
    taken: tuple[Callable[[str], bool], ...] = (
        lambda clip_id: pack_of.get(clip_id, number) >= number,
        lambda clip_id: pack_of.get(clip_id, number) == number,
        lambda clip_id: pack_of.get(clip_id) == number,
    )
    for is_taken in taken:
        chosen = tuple(clip for clip in clips if is_taken(clip.clip_id))
        last_label = max(label for clip in chosen for label in clip.labels)
        for count in range(len(index.class_names), last_label, -1):
            part = Manifest(index.dataset, manifest.root, tuple(index.class_names[:count]), chosen)
            if part.sha256() == index.packs[number].manifest_sha256:
                return part
    return None
