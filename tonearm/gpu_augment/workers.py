"""Clips side by side on a CPU: each thread takes clips of its own, instead of all threads sharing every operation.

An operation on one clip is over so soon that sharing it between threads, which must be woken and waited for, costs
about as much as it saves; and a thread that keeps a clip keeps it in its own cache. Large operations of torch's own
just before should be avoided: its threads go on spinning for a while after each of them.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier

import torch

_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)  # their threads are not there


def side_by_side(tasks: Sequence[Callable[[], None]]) -> None:
    """Do the tasks on as many threads as torch may use; one after the other where that is one.

    Args:
        tasks: they need no gradient, and no two may write to the same place.

    Raises:
        Exception: what the first task that failed raised, after all have ended.
    """
    threads = torch.get_num_threads()
    if min(threads, len(tasks)) < 2:
        for task in tasks:
            task()
        return
    inference = torch.is_inference_mode_enabled()
    waiting, errors = deque(tasks), []

    def work() -> None:
        with torch.inference_mode(inference), torch.no_grad():  # modes are each thread's own
            while True:
                try:
                    task = waiting.popleft()
                except IndexError:
                    return
                try:
                    task()
                except Exception as error:
                    errors.append(error)

    wait([_pool(threads).submit(work) for _ in range(min(threads, len(tasks)))])
    if errors:
        raise errors[0]


def _pool(threads: int) -> ThreadPoolExecutor:
    pool = _pools.get(threads)
    if pool is None:
        started = Barrier(threads + 1)

        def begin() -> None:
            torch.get_num_threads()  # a thread's first question sets its number to torch's; only then does ours last
            torch.set_num_threads(1)
            started.wait()

        pool = _pools[threads] = ThreadPoolExecutor(threads, "tonearm-augment")
        for _ in range(threads):
            pool.submit(begin)
        started.wait()
        torch.set_num_threads(threads)  # threads yet to come, not ours, begin with the number that was set last
    return pool
