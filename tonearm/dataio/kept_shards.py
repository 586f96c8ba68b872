"""Which shards of an interrupted pack are whole, and stay.

A shard stays if it is of this very pack, every byte of it matches its checksums, no recording in it was written since,
and every clip that it lacks still cannot be read. A damaged one is packed again, and so is mended.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tonearm.dataio.encode import ClipEncoder
from tonearm.dataio.planned import Reject, ShardTask
from tonearm.dataio.shards import SEAL_MARK, Shard, read_shard, stored_crcs
from tonearm.errors import AudioError, RequestError, ShardError

PackedShard = tuple[Shard, list[Reject]]  # and the clips that it lacks
Kept = dict[Path, PackedShard]


def find_kept(tasks: Sequence[ShardTask], num_workers: int) -> tuple[Kept, tuple[str, ...]]:
    """Look at the shards that stand where the tasks would write theirs; nothing is changed.

    Args:
        tasks: of one folder and dataset.
        num_workers: threads.

    Returns:
        What stays, each with the reasons for which clips are missing from it; and the names of those that are damaged.

    Raises:
        RequestError: a shard of another pack, or a file that is no shard, stands there.
    """
    there = [task for task in tasks if task.path.exists()]
    with ThreadPoolExecutor(num_workers) as threads:
        found = list(zip(there, threads.map(_judge, there), strict=True))
    kept = {task.path: result for task, result in found if isinstance(result, tuple)}
    return kept, tuple(task.path.name for task, result in found if result == "damaged")


def another_pack(out: Path) -> RequestError:
    """What to say when a folder holds shards of another pack."""
    return RequestError(
        f"{out} holds shards of another pack (other files, settings or library versions). "
        f"Pack into another folder, or delete {out}/shard-*.h5 and {out}/index.* first."
    )


def _judge(task: ShardTask) -> PackedShard | str:
    """The shard and its rejects, or why it is to be packed."""
    try:
        shard = read_shard(task.path)
    except ShardError as error:
        if not _was_ours(task.path):
            raise RequestError(
                f"{task.path}: not a tonearm shard, so it is not written over. Delete that file, or pack into another "
                "folder."
            ) from error
        return "damaged"
    if shard.header != task.header or shard.number != task.number:
        raise another_pack(task.out)
    try:
        if not np.array_equal(stored_crcs(shard), shard.crc32):
            return "damaged"
    except ShardError:
        return "damaged"
    rejects = _missing(task, shard)
    if rejects is None or _source_is_newer(task):
        return "outdated"
    return shard, rejects


def _was_ours(path: Path) -> bool:
    """Whether a file that is no whole shard began as one, or is empty: a foreign file is not written over."""
    try:
        with path.open("rb") as file:
            return file.read(len(SEAL_MARK)) in (SEAL_MARK, b"")
    except OSError:  # a folder, for example
        return False


def _source_is_newer(task: ShardTask) -> bool:
    """Whether a recording was written, or put in its place, after the packing of the shard that holds it had begun."""
    begun = task.path.stat().st_mtime_ns
    return any(_changed_ns(task.root / path) > begun for path in {item.clip.path for item in task.clips})


def _changed_ns(path: Path) -> int:
    """When a recording came to be what it is; 0 if it is gone, since what was packed of it is still good."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return 0
    return max(facts.st_mtime_ns, facts.st_ctime_ns)  # a file that is moved here keeps its mtime


def _missing(task: ShardTask, shard: Shard) -> list[Reject] | None:
    """Why clips are missing from a shard of an earlier run, judging them again; None if one can be read now."""
    present = {clip_id.decode(errors="replace") for clip_id in shard.table.clip_id}
    encoder = ClipEncoder(task.root, task.header)
    rejects = []
    for item in task.clips:
        if item.clip.clip_id not in present:
            try:
                encoder.encode(item, lambda num_bytes: np.empty(num_bytes, np.uint8))
            except AudioError as error:
                rejects.append(Reject(item.clip.clip_id, item.clip.path, str(error)))
            else:
                return None
    return rejects
