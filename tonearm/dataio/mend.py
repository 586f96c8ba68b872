"""Shards that are missing or damaged in a dataset that stands: made again, to the same bytes.

The index stays as it is: it may hold what the shards do not, labels that were changed and clips that were appended.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tonearm.dataio.index import Index, ShardEntry, check_size
from tonearm.dataio.pack_progress import Progress
from tonearm.dataio.planned import ShardTask
from tonearm.dataio.shard_tasks import pack_shards
from tonearm.dataio.shards import read_shard, stored_crcs
from tonearm.errors import RunError, ShardError


def broken_shards(out: Path, standing: Index, numbers: Iterable[int], *, num_workers: int,
                  sizes_only: bool = False) -> list[int]:  # fmt: skip
    """Which of the shards with these numbers are not what the index describes.

    Args:
        out: the packed dataset.
        standing: its index.
        numbers: of the shards to look at.
        num_workers: threads.
        sizes_only: look whether they are there in their full size; otherwise every byte is read.
    """

    def is_whole(number: int) -> bool:
        return _is_whole(out, standing.shards[number], sizes_only=sizes_only)

    numbers = list(numbers)
    with ThreadPoolExecutor(num_workers) as threads:
        return [number for number, whole in zip(numbers, threads.map(is_whole, numbers), strict=True) if not whole]


def mend_shards(tasks: Sequence[ShardTask], standing: Index, *, num_workers: int, executor: Executor | None,
                progress: Progress | None) -> tuple[str, ...]:  # fmt: skip
    """Pack shards again that are missing or damaged: they become the same bytes, or are refused.

    Args:
        tasks: one for each such shard, with the numbers and the header with which they were packed first.
        standing: the index, which says what their metadata must be.
        num_workers, executor, progress: as for :func:`tonearm.dataio.shard_tasks.pack_shards`.

    Returns:
        Their file names.

    Raises:
        RunError: a recording is another one by now.
        RequestError: a shard of another pack, or a file that is none, stands there.
    """
    done = pack_shards(tasks, num_workers=num_workers, executor=executor, progress=progress)
    for shard in done.shards:
        if shard.metadata_sha256 != standing.shards[shard.number].metadata_sha256:
            shard.path.unlink()
            raise RunError(
                f"{shard.path}: it was damaged, and the recordings no longer are what they were when it was packed, so "
                "it cannot be made again. Put back a copy of it, or pack everything into another folder."
            )
    return tuple(task.path.name for task in tasks)


def some_shards(standing: Index, numbers: Sequence[int]) -> str:
    """Names for a message: ``shard-00001.h5, shard-00002.h5``; of many, the first five."""
    return ", ".join(standing.shards[number].file for number in numbers[:5]) + (" …" if len(numbers) > 5 else "")


def _is_whole(out: Path, entry: ShardEntry, *, sizes_only: bool) -> bool:
    try:
        path = check_size(out, entry)
        if sizes_only:
            return True
        shard = read_shard(path)
        return shard.metadata_sha256 == entry.metadata_sha256 and np.array_equal(stored_crcs(shard), shard.crc32)
    except ShardError:
        return False
