"""Worker processes that count what they have done, leave Ctrl-C to their parent, and do not outlive it."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized

_counter: "Synchronized[int] | None" = None  # set once in each worker process


@contextmanager
def worker_processes(num_workers: int) -> Iterator[tuple[ProcessPoolExecutor, Callable[[], int]]]:
    """Yield a pool and a function that tells how often its workers have called :func:`count_one`.

    Processes are spawned, not forked: a parent with threads or open HDF5 files must not be forked.
    """
    context = multiprocessing.get_context("spawn")
    counter: Synchronized[int] = context.Value("q", 0)
    pool = ProcessPoolExecutor(num_workers, context, initializer=_start_worker, initargs=(counter,))
    try:
        yield pool, lambda: counter.value
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def count_one() -> None:
    """Called in a worker: one more clip is done."""
    if _counter is not None:
        with _counter.get_lock():
            _counter.value += 1


def available_cores() -> int:
    """The cores this process may use, which a container or a batch system may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker(counter: "Synchronized[int]") -> None:
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()


def _leave_with_parent(parent: int) -> None:
    """A killed parent cannot tell its workers; they notice that they were handed to another one."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
