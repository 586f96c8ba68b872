"""Clips side by side on threads: the same results, and nothing of a thread's own gets lost or stays behind."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.gpu_augment import Gain, Noise, workers
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.workers import side_by_side


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_tasks_run_on_two_threads_at_once_each_with_one_of_torchs(two_threads):
    both = threading.Barrier(2, timeout=60)  # passed only if the two tasks run at the same time
    seen = []

    def task():
        both.wait()
        seen.append((threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))

    side_by_side([task, task])
    assert len({name for name, *_ in seen}) == 2
    assert [rest for _, *rest in seen] == [[1, False], [1, False]]
    assert torch.get_num_threads() == 2 and torch.is_grad_enabled()
    assert threading.get_ident() not in {name for name, *_ in seen}


def test_threads_that_begin_later_have_torchs_number(two_threads):
    side_by_side([lambda: None, lambda: None])
    seen = []
    later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert seen == [2]


def test_with_one_thread_tasks_run_here_in_order():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    seen = []
    side_by_side([lambda i=i: seen.append((i, threading.get_ident())) for i in range(3)])
    torch.set_num_threads(before)
    assert seen == [(i, threading.get_ident()) for i in range(3)]


def test_an_error_comes_out_after_all_have_ended(two_threads):
    done = []

    def fail():
        raise ValueError("the second")

    with pytest.raises(ValueError, match="the second"):
        side_by_side([lambda: done.append(1), fail, lambda: done.append(3)])
    assert sorted(done) == [1, 3]


def test_what_would_end_a_program_is_not_lost(two_threads):
    def leave():
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        side_by_side([leave, leave])


class Slow(ThreadPoolExecutor):
    """Its threads take a while to begin, and a second user comes meanwhile."""

    def submit(self, task, *args):
        if task.__name__ == "begin":
            time.sleep(0.05)
        return super().submit(task, *args)


def test_two_users_at_once_share_threads_that_have_begun(two_threads, monkeypatch):
    monkeypatch.setattr(workers, "_pools", {})
    monkeypatch.setattr(workers, "ThreadPoolExecutor", Slow)
    both, seen = threading.Barrier(2, timeout=60), []

    def user():
        torch.set_num_threads(2)
        both.wait()
        side_by_side([lambda: seen.append(torch.get_num_threads())] * 4)

    users = [threading.Thread(target=user) for _ in range(2)]
    for one in users:
        one.start()
    for one in users:
        one.join()
    assert seen == [1] * 8 and len(workers._pools) == 1


class OneThreadOnly(ThreadPoolExecutor):
    """As where a process may start no more threads."""

    def submit(self, task, *args):
        if self._threads:
            raise RuntimeError("can't start new thread")
        return super().submit(task, *args)


def test_where_a_thread_cannot_be_started_none_is_left_waiting(two_threads, monkeypatch):
    monkeypatch.setattr(workers, "_pools", {})
    monkeypatch.setattr(workers, "ThreadPoolExecutor", OneThreadOnly)
    before = set(threading.enumerate())
    with pytest.raises(RuntimeError, match="can't start new thread"):
        side_by_side([lambda: None, lambda: None])
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=60)
        assert not thread.is_alive()
    assert not workers._pools and torch.get_num_threads() == 2


def test_of_an_interrupted_callers_tasks_none_is_begun_any_more(two_threads, monkeypatch):
    interrupted, done = threading.Event(), []

    def interrupt(futures):
        raise KeyboardInterrupt

    def task():
        interrupted.wait(60)
        done.append(1)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(workers, "wait", interrupt)
        side_by_side([task] * 10)
    interrupted.set()
    side_by_side([lambda: None, lambda: None])
    assert len(done) <= 2


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_effects_give_the_same_in_any_mode(threads, mode, monkeypatch):
    monkeypatch.setattr(blocks, "CLIPS_BYTES", 4000)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    with mode():
        batch = torch.randn(9, 1, 1000, generator=seeded(0))
        effect = Noise(0.7)
        params = effect.sample(9, 1000, generator=seeded(1))
        out = effect.apply(batch, params)
        again = Gain(1.0).apply(out, Gain(1.0, min_gain_db=0.0, max_gain_db=0.0).sample(9, 1000))
    torch.set_num_threads(before)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    torch.testing.assert_close(out, effect.apply(batch, params), rtol=0, atol=2e-6)
    assert torch.equal(out, again)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(two_threads):
    """As in a DataLoader's worker; the threads of the parent are not there."""
    side_by_side([lambda: None, lambda: None])
    child = os.fork()
    if child == 0:
        done = []
        side_by_side([lambda: done.append(1), lambda: done.append(2)])
        os._exit(0 if sorted(done) == [1, 2] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
