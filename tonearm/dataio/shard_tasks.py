"""Packing shards: one task a shard, on workers of our own or on any ``concurrent.futures.Executor``.

Shards that an earlier run finished are kept if they are whole. The others are written in any order; a task's result
depends on nothing but the task.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from tonearm.dataio.atomic import atomic_path
from tonearm.dataio.free_space import bytes_needed, check_free_space, write_error
from tonearm.dataio.kept_shards import PackedShard, find_kept
from tonearm.dataio.pack_progress import PackProgress, Progress
from tonearm.dataio.planned import Reject, ShardTask
from tonearm.dataio.shard_writer import complete_shard, find_audio
from tonearm.dataio.shards import Shard
from tonearm.dataio.workers import Crew, OwnWorker, ProcessWorker, Stopped
from tonearm.errors import RunError, TonearmError

_TICK_SECONDS = 0.1


@dataclass(frozen=True)
class PackedShards:
    """What came of some tasks.

    Attributes:
        shards: one for each task, in their order.
        rejects: what was left out.
        num_kept: shards that an earlier run had finished.
        mended: file names of shards that were damaged, and packed again.
    """

    shards: list[Shard]
    rejects: list[Reject]
    num_kept: int
    mended: tuple[str, ...]


def pack_shards(
    tasks: Sequence[ShardTask],
    *,
    num_workers: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
    starting: Callable[[], None] | None = None,
) -> PackedShards:
    """Bring about the shards of all tasks, which are of one folder and one dataset. The caller holds the folder's lock.

    Args:
        tasks: what to pack.
        num_workers: processes, this one among them.
        executor: runs the tasks in place of our own workers.
        progress: called now and then, by this thread.
        starting: called before the first shard is written, if one has to be.

    Raises:
        RequestError: a shard of another pack, or a file that is none, stands where one is to be written.
        RunError: a full disk, or an executor that broke.
    """
    kept, mended = find_kept(tasks, num_workers)
    todo = [task for task in tasks if task.path not in kept]
    sizes = {task.number: sum(map(task.packed_bytes, task.clips)) for task in tasks}
    clips_kept = sum(len(task.clips) for task in tasks) - sum(len(task.clips) for task in todo)
    bytes_kept = sum(sizes.values()) - sum(sizes[task.number] for task in todo)

    def report(clips: int, num_bytes: int) -> None:
        if progress is not None:
            total = sum(len(task.clips) for task in tasks), sum(sizes.values())
            progress(PackProgress(clips_kept + clips, total[0], bytes_kept + num_bytes, total[1]))

    report(0, 0)
    if todo:
        check_free_space(todo[0].out, sum(bytes_needed(task.clips, task.header) for task in todo), todo[0].header.codec)
        if starting is not None:
            starting()
    results = dict(kept)
    packed = _run_elsewhere(todo, executor, report) if executor else _run_here(todo, num_workers, report)
    results.update((task.path, result) for task, result in zip(todo, packed, strict=True))
    ordered = [results[task.path] for task in tasks]
    rejects = [reject for _, part in ordered for reject in part]
    return PackedShards([shard for shard, _ in ordered], rejects, len(kept), mended)


def pack_shard(task: ShardTask) -> PackedShard:
    """Decode, judge and write the clips of one shard; returns it, and what was left out.

    Raises:
        RunError: the disk is full, or the folder cannot be written to.
    """
    packed = _pack_next(OwnWorker(), Crew([task]), find_audio(task.header))
    assert packed is not None
    return packed[1]


def _pack_next(worker: OwnWorker | ProcessWorker, crew: Crew, begin: int) -> tuple[ShardTask, PackedShard] | None:
    """Pack the shard that is next when the worker is free; None if there is none."""
    with ExitStack() as stack:
        with worker.lock:
            task = crew.take()
            if task is None:
                return None
            stack.enter_context(_saying_what_cannot_be_written(task))
            temporary = stack.enter_context(atomic_path(task.path))
            began = time.time_ns()
            written = worker.write_audio(task, temporary, begin, crew.count)
        shard = complete_shard(temporary, task, begin, written)
        os.utime(temporary, ns=(began, began))  # a recording written from then on is newer than its shard
    return task, (shard, written.rejects)


@contextmanager
def _saying_what_cannot_be_written(task: ShardTask) -> Iterator[None]:
    try:
        yield
    except TonearmError:
        raise
    except OSError as error:
        raise write_error(task.path, error, sum(map(task.packed_bytes, task.clips))) from error


def _run_here(tasks: Sequence[ShardTask], num_workers: int,
              report: Callable[[int, int], None]) -> list[PackedShard]:  # fmt: skip
    if not tasks:
        return []
    crew, begin = Crew(tasks), find_audio(tasks[0].header)
    found: dict[int, PackedShard] = {}

    def work(worker: OwnWorker | ProcessWorker) -> None:
        while packed := _pack_next(worker, crew, begin):
            found[packed[0].number] = packed[1]

    count = min(num_workers, len(tasks))
    workers: list[OwnWorker | ProcessWorker] = []
    with ThreadPoolExecutor(2 * count, "pack") as threads:
        try:
            for place in range(count):
                worker: OwnWorker | ProcessWorker = OwnWorker() if place == 0 else ProcessWorker()
                workers.append(worker)
            # two threads a worker: one waits for the disk to take its shard, the other one's clips are being encoded
            pending = {threads.submit(work, worker) for worker in workers for _ in range(2)}
            while pending:
                done, pending = wait(pending, _TICK_SECONDS, FIRST_EXCEPTION)
                report(*crew.done())
                _raise_first(done)
        finally:
            crew.stop()
            for worker in workers:
                worker.close()
    return [found[task.number] for task in tasks]


def _run_elsewhere(tasks: list[ShardTask], executor: Executor,
                   report: Callable[[int, int], None]) -> list[PackedShard]:  # fmt: skip
    task_of = {executor.submit(pack_shard, task): task for task in tasks}
    pending = set(task_of)
    try:
        while pending:
            done, pending = wait(pending, _TICK_SECONDS, FIRST_EXCEPTION)
            _raise_first(done)
            finished = [task for future, task in task_of.items() if future not in pending]
            report(
                sum(len(task.clips) for task in finished),
                sum(task.packed_bytes(item) for task in finished for item in task.clips),
            )
    except BrokenExecutor as error:
        raise RunError(
            "a packing process died, out of memory perhaps. Run it again with fewer workers; it goes on from there."
        ) from error
    except BaseException:
        for future in pending:
            future.cancel()
        raise
    return [future.result() for future in task_of]


def _raise_first(futures: Iterable[Future[Any]]) -> None:
    """Raise what made one of them fail; those that were told to stop followed another one."""
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, Stopped)):
        raise error
