"""A loader in other processes, over many epochs, and with more shards than a process may open files."""

import gc
import multiprocessing
import pickle
import resource
import subprocess
import sys
import textwrap
import threading
import warnings
import weakref
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from tests.dataio.recordings import folder_of
from tonearm.dataio import ClipLoader, Dataset, open_dataset, pack_dataset, read_manifest
from tonearm.errors import RunError

TIMEOUT_SECONDS = 120


def sums(loader: ClipLoader) -> list[float]:
    return [float(batch.waveform.double().sum()) for batch in loader]


def send_sums(loader: ClipLoader, answer: Connection) -> None:
    loader.epoch = 0
    answer.send(sums(loader))
    answer.close()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("settings", [{"backend": "copy"}, {"backend": "soundfile"}, {"backend": "dali"},
                                      {"residency": "memory"}])  # fmt: skip
def test_a_loader_that_was_used_works_in_another_process(
    recordings: Path, method: str, settings: dict[str, str]
) -> None:
    if settings.get("backend") == "dali":
        pytest.importorskip("nvidia.dali")
        if method == "fork":
            pytest.skip("DALI does not survive a fork: the next test has what is said then")
    loader = ClipLoader(open_dataset(recordings / "pcm16"), batch_size=4, shuffle=True, **settings)  # type: ignore[arg-type]
    expected = sums(loader)
    context = multiprocessing.get_context(method)
    mine, theirs = context.Pipe(duplex=False)
    child = context.Process(target=send_sums, args=(loader, theirs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 on: a process with threads was forked
        child.start()
    theirs.close()
    try:
        assert mine.poll(TIMEOUT_SECONDS)
        assert mine.recv() == expected
        child.join(TIMEOUT_SECONDS)
        assert child.exitcode == 0
    finally:
        child.kill()
    loader.epoch = 0
    assert sums(loader) == expected  # and it still works here


def test_dali_after_a_fork_is_refused(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    decode_dali = pytest.importorskip("tonearm.dataio.decode_dali")
    monkeypatch.setattr(decode_dali, "_built_in", -1)
    with pytest.raises(RunError, match="does not survive that. Start processes by spawn"):
        list(ClipLoader(dataset, batch_size=4, backend="dali"))


def test_an_iteration_does_not_cross_a_fork(dataset: Dataset) -> None:
    batches = iter(ClipLoader(dataset, batch_size=1))
    next(batches)

    def go_on(answer: Connection) -> None:
        try:
            list(batches)
        except RunError as error:
            answer.send(str(error))

    mine, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=go_on, args=(theirs,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    try:
        assert mine.poll(TIMEOUT_SECONDS)
        assert "this iteration began in another process" in mine.recv()
    finally:
        child.kill()
    assert len(list(batches)) == 13


def test_a_lock_that_was_held_at_a_fork_does_not_hold_up_the_child(dataset: Dataset) -> None:
    dataset.payload(0)
    mine, theirs = multiprocessing.Pipe(duplex=False)
    with dataset._shards._lock:  # as another thread of the parent may hold it
        child = multiprocessing.get_context("fork").Process(target=lambda: theirs.send(len(dataset.payload(0))))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child.start()
    try:
        assert mine.poll(TIMEOUT_SECONDS)
        assert mine.recv() == len(dataset.payload(0))
    finally:
        child.kill()


@pytest.mark.parametrize("settings", [{"residency": "stream"}, {"residency": "memory"}, {"backend": "dali"}])
def test_a_loader_ends_when_nobody_holds_it(dataset: Dataset, settings: dict[str, str]) -> None:
    if settings.get("backend") == "dali":
        pytest.importorskip("nvidia.dali")
    gc.disable()
    try:
        loader = ClipLoader(dataset, batch_size=4, num_threads=4, **settings)  # type: ignore[arg-type]
        list(loader)
        ended = weakref.ref(loader)
        del loader
        assert ended() is None
    finally:
        gc.enable()


def test_a_loader_pickles_small_and_whole(dataset: Dataset) -> None:
    loader = ClipLoader(dataset, batch_size=4, shuffle=True, residency="memory")
    list(loader)
    again = pickle.loads(pickle.dumps(loader))
    assert again.epoch == 1
    assert len(pickle.dumps(loader)) < 20_000  # not the samples
    for left, right in zip(loader, again, strict=True):
        assert torch.equal(left.waveform, right.waveform)


@pytest.mark.parametrize("backend", ["copy", "soundfile", "dali"])
def test_an_error_in_the_consumer_leaves_no_thread_at_work(dataset: Dataset, backend: str) -> None:
    if backend == "dali":
        pytest.importorskip("nvidia.dali")

    def consume() -> None:
        for _ in ClipLoader(dataset, batch_size=1, backend=backend):  # type: ignore[arg-type]
            raise KeyError("the consumer's own")

    with pytest.raises(KeyError, match="the consumer's own"):
        consume()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("tonearm-loader")] == []


@pytest.mark.slow
def test_memory_is_flat_over_20_epochs(tmp_path: Path) -> None:
    """Resident memory of a process of its own, after each of 20 epochs of 64 clips of half a second in random crops."""
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in", clips=64, frames=(40_000,))), tmp_path / "out")
    code = f"""
        from pathlib import Path
        from tonearm.dataio import ClipLoader, open_dataset
        loader = ClipLoader(open_dataset({str(tmp_path / "out")!r}), batch_size=8, duration_seconds=4.0, shuffle=True)
        sizes = []
        for _ in range(20):
            for batch in loader:
                batch.waveform.sum()
            sizes.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
        print(max(sizes[2:]) - sizes[2], batch.waveform.nbytes)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, capture_output=True, text=True)
    growth, batch_nbytes = map(int, done.stdout.split())
    assert growth < 3 * batch_nbytes  # an epoch makes 8 batches; 18 epochs that kept one each would be 18


def test_a_quarter_of_the_open_files_is_mapped_at_most(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_dataset(read_manifest("csv", recordings / "in" / "clips.csv"), tmp_path / "out", shard_bytes=8000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (12, 12))
    dataset = open_dataset(tmp_path / "out")
    list(ClipLoader(dataset, batch_size=4, residency="stream"))
    assert len({*dataset.table.shard.tolist()}) > 4
    assert len(dataset._shards._maps) == 3
