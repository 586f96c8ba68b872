"""Looking over a packed dataset: what it has, and whether every byte is still the one that was packed."""

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from tonearm.dataio.dataset import open_dataset
from tonearm.dataio.index import check_size, read_index
from tonearm.dataio.pack import REJECTS
from tonearm.dataio.shards import damaged_clips, read_shard
from tonearm.errors import ShardError


class Inspection(BaseModel):
    """What a packed dataset has; ``model_dump_json`` is what ``--json`` prints."""

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
    num_rejected: int
    classes: dict[str, int]
    folds: dict[int, int]
    splits: dict[str, int]
    versions: dict[str, str]


def inspect_dataset(root: str | Path) -> Inspection:
    """Say what a packed dataset has; only its index is read.

    Raises:
        RequestError: not a packed dataset.
        ShardError: a damaged index, or one of another format version.
    """
    dataset = open_dataset(root)
    index, table = read_index(dataset.root)
    seconds = table.num_frames / dataset.sample_rate
    labels = np.bincount(table.label_indices, minlength=len(dataset.class_names))
    folds, splits = Counter(table.fold.tolist()), Counter(split.decode() for split in table.split.tolist())
    return Inspection(
        dataset=dataset.header.name,
        codec=dataset.header.codec,
        sample_rate=dataset.sample_rate,
        num_channels=dataset.num_channels,
        num_clips=len(table),
        num_shards=len(index.shards),
        num_bytes=sum(entry.num_bytes for entry in index.shards),
        hours=float(seconds.sum() / 3600),
        shortest_seconds=float(seconds.min()),
        longest_seconds=float(seconds.max()),
        peak=float(table.peak.max()),
        num_silent=int((table.peak == 0).sum()),
        num_clipped=int(table.num_clipped.sum()),
        num_rejected=_count_rejects(dataset.root),
        classes=dict(zip(dataset.class_names, labels.tolist(), strict=True)),
        folds={fold: folds[fold] for fold in dataset.folds},
        splits={split: splits[split] for split in dataset.splits},
        versions=dataset.header.versions,
    )


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
                raise ShardError(f"{path}: its clips are not those of the index. Delete it and pack again.")
        except ShardError as error:
            problems.append(str(error))
        else:
            damaged = damaged_clips(shard)
            problems += [f"{path}, clip {clip_id!r}: its bytes do not match their CRC-32." for clip_id in damaged]
        if progress is not None:
            progress(number + 1, len(index.shards))
    return problems


def _count_rejects(root: Path) -> int:
    path = root / REJECTS
    if not path.is_file():
        return 0
    with path.open(newline="", encoding="utf-8") as file:
        return sum(1 for _ in csv.DictReader(file))
