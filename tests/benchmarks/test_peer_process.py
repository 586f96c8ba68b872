import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from tonearm.benchmarks.peer_environment import PEERS_FOLDER
from tonearm.benchmarks.peer_process import PeerProcess
from tonearm.benchmarks.peers import dataloader_soundfile
from tonearm.errors import RunError

READY = 'import json, os, sys, time\nprint(json.dumps({"event": "ready", "versions": {}}), flush=True)\n'
NUM_SAMPLES = 800


def child(tmp_path: Path, source: str) -> list[str | Path]:
    script = tmp_path / "child.py"
    script.write_text(source)
    return [sys.executable, "-S", script]


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "\nState:\tZ" not in status  # a process that nobody has waited for yet is dead all the same


def wait_until_gone(pid: int) -> bool:
    for _ in range(100):
        if not alive(pid):
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five WAVs; the last is shorter than the others."""
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.Generator(np.random.Philox(0))
    paths = [folder / f"{number}.wav" for number in range(5)]
    for number, path in enumerate(paths):
        samples = generator.uniform(-1, 1, NUM_SAMPLES // 2 if number == 4 else NUM_SAMPLES)
        soundfile.write(path, samples, 8000, subtype="PCM_16")
    return paths


@pytest.fixture(scope="module")
def peer(clips: list[Path]) -> Iterator[PeerProcess]:
    """The real peer, run by the project's own interpreter, which has torch and soundfile as well."""
    listing = clips[0].with_name("paths.txt")
    listing.write_text("\n".join(map(str, clips)) + "\n")
    settings = ("--paths", listing, "--batch-size", "5", "--num-samples", str(NUM_SAMPLES), "--workers", "2")
    process = PeerProcess("real", [sys.executable, PEERS_FOLDER / "dataloader_soundfile.py", *settings])
    yield process
    process.close()


def test_the_first_batch_is_the_wav_files_padded(peer: PeerProcess, clips: list[Path]) -> None:
    batch = peer.first_batch()
    assert batch.shape == (5, 1, NUM_SAMPLES)
    assert batch.dtype == np.float32
    for waveform, path in zip(batch[:, 0], clips, strict=True):
        expected, _ = soundfile.read(path, dtype="float32")
        np.testing.assert_array_equal(waveform[: len(expected)], expected)
        np.testing.assert_array_equal(waveform[len(expected) :], 0)


def test_a_pass_is_timed_by_the_child_and_can_be_repeated(peer: PeerProcess) -> None:
    for _ in range(2):
        begin = time.perf_counter()
        timed = peer.run_pass()
        assert timed.num_clips == 5
        assert 0 < timed.seconds < time.perf_counter() - begin


def test_the_workers_stay_from_pass_to_pass(peer: PeerProcess) -> None:
    def group() -> set[int]:
        pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
        return {pid for pid in pids if alive(pid) and group_of(pid) == peer._process.pid}

    peer.run_pass()
    workers = group()
    assert len(workers) >= 3  # the peer and its two
    peer.run_pass()
    assert group() == workers


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def test_a_pass_loads_each_batch_once() -> None:
    loaded = []

    class Loader:
        def __iter__(self) -> Iterator[Tensor]:
            for number in range(3):
                loaded.append(number)
                yield torch.zeros(4, 1, 8)

    num_clips, _ = dataloader_soundfile.one_pass(Loader(), torch.device("cpu"))  # type: ignore[no-untyped-call]
    assert num_clips == 12
    assert loaded == [0, 1, 2]


def test_the_versions_are_the_childs(peer: PeerProcess) -> None:
    assert peer.versions["soundfile"] == soundfile.__version__
    assert set(peer.versions) == {"torch", "numpy", "soundfile"}


def test_a_peer_imports_nothing_of_tonearm() -> None:
    for script in PEERS_FOLDER.glob("*.py"):
        for line in script.read_text().splitlines():
            assert not line.startswith(("import tonearm", "from tonearm"))


def test_a_child_that_dies_gives_its_last_words(tmp_path: Path) -> None:
    source = READY + "sys.stdin.readline()\nfor n in range(20): print('line', n, file=sys.stderr)\nos._exit(3)\n"
    process = PeerProcess("dying", child(tmp_path, source))
    with pytest.raises(RunError, match=r"peer dying died with exit status 3 instead of answering 'pass'") as caught:
        process.run_pass()
    assert str(caught.value).endswith("It wrote last:\n" + "\n".join(f"line {number}" for number in range(8, 20)))


def test_a_child_that_was_dead_already_is_reported_too(tmp_path: Path) -> None:
    process = PeerProcess("dead", child(tmp_path, READY))
    assert wait_until_gone(process._process.pid)
    with pytest.raises(RunError, match=r"peer dead died .*It wrote nothing to its standard error\."):
        process.run_pass()


def test_a_child_that_never_starts_working_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"peer broken died with exit status 1[\s\S]*No module named 'not_there'"):
        PeerProcess("broken", child(tmp_path, "import not_there\n"))


def test_a_child_that_hangs_is_killed_with_its_workers(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    source = READY + f"worker = os.fork()\nopen({str(pids)!r}, 'a').write(f'{{os.getpid()}}\\n')\ntime.sleep(60)\n"
    process = PeerProcess("hanging", child(tmp_path, source), pass_timeout_seconds=1.0)
    begin = time.monotonic()
    with pytest.raises(RunError, match=r"peer hanging did not answer 'pass' within 1 s and was killed"):
        process.run_pass()
    assert time.monotonic() - begin < 30
    both = [int(pid) for pid in pids.read_text().split()]
    assert len(both) == 2
    assert all(wait_until_gone(pid) for pid in both)


def test_a_child_that_hangs_at_its_start_is_killed(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"peer asleep did not answer 'ready' within 0\.5 s"):
        PeerProcess("asleep", child(tmp_path, "import time\ntime.sleep(60)\n"), ready_timeout_seconds=0.5)


@pytest.mark.parametrize("answer", ["nonsense", "[1]", '{"event": "checked"}', '{"event": "pass", "seconds": 1.0}'])
def test_a_child_that_answers_something_else_is_refused(tmp_path: Path, answer: str) -> None:
    source = READY + f"sys.stdin.readline()\nprint({answer!r}, flush=True)\ntime.sleep(60)\n"
    process = PeerProcess("babbling", child(tmp_path, source))
    with pytest.raises(RunError, match=r"peer babbling answered .* where the event 'pass' was expected"):
        process.run_pass()
    assert wait_until_gone(process._process.pid)


def test_closing_ends_the_child_and_may_be_done_twice(tmp_path: Path) -> None:
    process = PeerProcess("idle", child(tmp_path, READY + "sys.stdin.read()\n"))
    process.close()
    assert process._process.returncode == 0
    process.close()


def test_a_child_that_does_not_listen_is_killed_on_closing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tonearm.benchmarks.peer_process.QUIT_TIMEOUT_SECONDS", 0.2)
    process = PeerProcess("deaf", child(tmp_path, READY + "time.sleep(60)\n"))
    process.close()
    assert process._process.returncode == -signal.SIGKILL


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    (tmp_path / "child.py").write_text(READY + "sys.stdin.read()\n")
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import os, signal, sys\nfrom tonearm.benchmarks.peer_process import PeerProcess\n"
        f"peer = PeerProcess('orphan', [sys.executable, '-S', {str(tmp_path / 'child.py')!r}])\n"
        f"open({str(pid_file)!r}, 'w').write(str(peer._process.pid))\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, str(parent)) == -signal.SIGKILL
    assert wait_until_gone(int(pid_file.read_text()))


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"peer nobody: cannot start .*python9: No such file or directory"):
        PeerProcess("nobody", [tmp_path / "python9", "x.py"])
