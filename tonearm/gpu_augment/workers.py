"""Clips side by side on a CPU: each thread takes clips of its own, instead of all threads sharing every operation.

An operation on one clip is over so soon that sharing it between threads, which must be woken and waited for, costs
about as much as it saves; and a thread that keeps a clip keeps it in its own cache. Large operations of torch's own
just before should be avoided: its threads go on spinning for a while after each of them.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier, Lock

import torch

_pools: dict[int, ThreadPoolExecutor] = {}
_making = Lock()


def _forget() -> None:
    """In a forked process, where the threads are not, and the lock may be held by one of them."""
    global _making
    _pools.clear()
    _making = Lock()


os.register_at_fork(after_in_child=_forget)


def side_by_side(tasks: Sequence[Callable[[], None]]) -> None:
    """Do the tasks on as many threads as torch may use; one after the other where that is one.

    Args:
        tasks: they need no gradient, and no two may write to the same place.

    Raises:
        Exception: what the first task that failed raised. On several threads the others are ended first.
    """
    threads = torch.get_num_threads()
    if min(threads, len(tasks)) < 2:
        for task in tasks:
            task()
        return
    inference = torch.is_inference_mode_enabled()
    autocast, autocast_dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    waiting: deque[Callable[[], None]] = deque(tasks)
    errors: list[BaseException] = []

    def work() -> None:
        # modes are each thread's own
        with (
            torch.inference_mode(inference),
            torch.no_grad(),
            torch.autocast("cpu", dtype=autocast_dtype, enabled=autocast),
        ):
            while True:
                try:
                    task = waiting.popleft()
                except IndexError:
                    return
                try:
                    task()
                except BaseException as error:  # also one that would end a program: it is raised where the caller is
                    errors.append(error)

    try:
        wait([_pool(threads).submit(work) for _ in range(min(threads, len(tasks)))])
    finally:
        waiting.clear()  # of an interrupted caller's nothing further is begun
    if errors:
        raise errors[0]


def _pool(threads: int) -> ThreadPoolExecutor:
    with _making:  # nobody gets a pool whose threads still have to begin
        if threads not in _pools:
            _pools[threads] = _new_pool(threads)
        return _pools[threads]


def _new_pool(threads: int) -> ThreadPoolExecutor:
    started = Barrier(threads + 1)

    def begin() -> None:
        torch.get_num_threads()  # a thread's first question sets its number to torch's; only then does ours last
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(threads, "tonearm-augment")
    try:
        for _ in range(threads):
            pool.submit(begin)
        started.wait()
    except BaseException:  # no thread to be had, or interrupted: those that wait would wait for ever
        started.abort()
        pool.shutdown(wait=False)
        raise
    finally:
        torch.set_num_threads(threads)  # threads yet to come, not ours, begin with the number that was set last
    return pool
