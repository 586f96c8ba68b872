"""Looking over a packed dataset: what it has, and whether every byte is still the one that was packed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from tonearm.dataio.clip_rows import clips_of
from tonearm.dataio.columns import Array
from tonearm.dataio.index import check_size, read_index
from tonearm.dataio.leaks import leaking_groups
from tonearm.dataio.manifest import NO_FOLD
from tonearm.dataio.rejects import read_rejects
from tonearm.dataio.shards import MADE_ANEW, damaged_clips, read_shard
from tonearm.errors import ShardError


class Inspection(BaseModel):
    """What a packed dataset has; ``model_dump_json`` is what ``--json`` prints.

    Attributes:
        peak: the largest of all clips, 1 is full scale.
        num_silent: clips whose samples are all zero.
        num_clipped: samples that lay beyond full scale and were set to it.
        num_clipped_clips: clips that have such samples.
        num_rejected: recordings that were left out, with their reasons in ``rejects.csv``.
        mean_labels, max_labels: a clip.
        num_leaking_groups: recordings whose clips stand in more than one fold or split.
        num_packs: how often clips were packed: once, and once more for each append.
        relabelled: whether the labels, folds … are not all those that were packed.
        classes, folds, splits, subsets: how many clips each has; -1 and "", for none, are left out.
        versions: of the libraries that the last pack was made with.
    """

    dataset: str
    codec: str
    sample_rate: int
    num_channels: int
    num_clips: int
    num_shards: int
    num_bytes: int
    hours: float
    shortest_seconds: float
    longest_seconds: float
    peak: float
    num_silent: int
    num_clipped: int
    num_clipped_clips: int
    num_rejected: int
    mean_labels: float
    max_labels: int
    num_leaking_groups: int
    num_packs: int
    relabelled: bool
    classes: dict[str, int]
    folds: dict[int, int]
    splits: dict[str, int]
    subsets: dict[str, int]
    versions: dict[str, str]


def inspect_dataset(root: str | Path) -> Inspection:
    """Say what a packed dataset has; only its index is read.

    Raises:
        RequestError: not a packed dataset.
        ShardError: a damaged index, or one of another format version.
    """
    root = Path(root)
    index, table = read_index(root)
    seconds = table.num_frames / index.sample_rate
    labels_per_clip = np.diff(table.label_indptr)
    labels = np.bincount(table.label_indices, minlength=len(index.class_names))
    return Inspection(
        dataset=index.dataset,
        codec=index.codec,
        sample_rate=index.sample_rate,
        num_channels=index.num_channels,
        num_clips=len(table),
        num_shards=len(index.shards),
        num_bytes=sum(entry.num_bytes for entry in index.shards),
        hours=float(seconds.sum() / 3600),
        shortest_seconds=float(seconds.min()),
        longest_seconds=float(seconds.max()),
        peak=float(table.peak.max()),
        num_silent=int((table.peak == 0).sum()),
        num_clipped=int(table.num_clipped.sum()),
        num_clipped_clips=int((table.num_clipped > 0).sum()),
        num_rejected=len(read_rejects(root)),
        mean_labels=float(labels_per_clip.mean()),
        max_labels=int(labels_per_clip.max()),
        num_leaking_groups=len(leaking_groups(table)),
        num_packs=len(index.packs),
        relabelled=index.relabelled,
        classes=dict(zip(index.class_names, labels.tolist(), strict=True)),
        folds={fold: count for fold, count in _count(table.fold).items() if fold != NO_FOLD},
        splits=_count_texts(table.split),
        subsets=_count_texts(table.subset),
        versions=index.packs[-1].versions,
    )


def list_clips(root: str | Path) -> Iterator[dict[str, Any]]:
    """Yield what the index says of each clip, in the order of the dataset.

    Returns:
        clip_id, labels (class names), fold (None for none), split, group, subset, seconds, peak, rms, num_clipped.

    Raises:
        RequestError: not a packed dataset.
        ShardError: a damaged index, or one of another format version.
    """
    index, table = read_index(Path(root))
    levels = (table.num_frames / index.sample_rate, table.peak, table.rms, table.num_clipped)
    for clip, (seconds, peak, rms, num_clipped) in zip(
        clips_of(table), zip(*(column.tolist() for column in levels), strict=True), strict=True
    ):
        yield {
            "clip_id": clip.clip_id,
            "labels": [index.class_names[label] for label in clip.labels],
            "fold": None if clip.fold == NO_FOLD else clip.fold,
            "split": clip.split,
            "group": clip.group,
            "subset": clip.subset,
            "seconds": round(seconds, 6),
            "peak": float(f"{peak:.6g}"),
            "rms": float(f"{rms:.6g}"),
            "num_clipped": num_clipped,
        }


def verify_dataset(root: str | Path, *, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Read every byte of a packed dataset and compare it with its checksums.

    Args:
        root: the folder.
        progress: called with (shards done, shards in all).

    Returns:
        One line for each damage found, naming shard and clip; empty if all is well.

    Raises:
        RequestError: not a packed dataset.
        ShardError: the index itself is damaged or of another format version.
    """
    root = Path(root)
    index, table = read_index(root)
    problems = []
    for number, entry in enumerate(index.shards):
        path = root / entry.file
        try:
            shard = read_shard(check_size(root, entry))
            index.check_shard(shard, number)
            if not np.array_equal(shard.table.clip_id, table.clip_id[table.shard == number]):
                raise ShardError(f"{path}: its clips are not those of the index. Delete it. {MADE_ANEW}")
            damaged = damaged_clips(shard)
            problems += [f"{path}, clip {clip_id!r}: its bytes do not match their CRC-32." for clip_id in damaged]
        except ShardError as error:
            problems.append(str(error))
        if progress is not None:
            progress(number + 1, len(index.shards))
    return problems


def _count(column: Array) -> dict[Any, int]:
    values, counts = np.unique(column, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _count_texts(column: Array) -> dict[str, int]:
    return {text.decode(errors="replace"): count for text, count in _count(column).items() if text}
