import hashlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from tonearm.benchmarks.peer_environment import PEERS_FOLDER
from tonearm.benchmarks.peer_process import PeerProcess
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
    """Seven WAVs; the fifth is shorter than the others."""
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.Generator(np.random.Philox(0))
    paths = [folder / f"{number}.wav" for number in range(7)]
    for number, path in enumerate(paths):
        samples = generator.uniform(-1, 1, NUM_SAMPLES // 2 if number == 4 else NUM_SAMPLES)
        soundfile.write(path, samples, 8000, subtype="PCM_16")
    return paths


@pytest.fixture(scope="module")
def peer(clips: list[Path]) -> Iterator[PeerProcess]:
    """The real peer, run by the project's own interpreter, which has torch and soundfile as well."""
    process = start("dataloader_soundfile.py", clips)
    process.open({"workers": 2, "samples": "float32"})
    yield process
    process.close()


def start(script: str, clips: list[Path]) -> PeerProcess:
    folder = clips[0].parent
    listing = folder / "paths.txt"
    listing.write_text("\n".join(map(str, clips)) + "\n")
    settings = ("--paths", listing, "--folder", folder, "--batch-size", "3", "--num-samples", str(NUM_SAMPLES))
    return PeerProcess("real", [sys.executable, PEERS_FOLDER / script, *settings])


@pytest.fixture
def loading(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What the loading peers share, imported as their scripts do."""
    monkeypatch.syspath_prepend(PEERS_FOLDER)
    return importlib.import_module("loading")


def expected(clips: list[Path]) -> list[np.ndarray]:
    """The clips, padded."""
    samples = [soundfile.read(path, dtype="float32")[0] for path in clips]
    return [np.pad(each, (0, NUM_SAMPLES - len(each))) for each in samples]


@pytest.mark.parametrize("samples", ["float32", "int16"])
@pytest.mark.parametrize(
    ("script", "more"),
    [("dataloader_soundfile.py", {}), ("h5py_rows.py", {"read": "row"}), ("h5py_rows.py", {"read": "batch"})],
)
def test_a_check_shows_the_first_batches_and_a_hash_of_every_clip(
    script: str, more: dict[str, str], samples: str, clips: list[Path]
) -> None:
    process = start(script, clips)
    files = process.prepare()
    assert all(path.stat().st_size > NUM_SAMPLES for path in files)
    process.open({"workers": 1, "samples": samples, **more})
    delivered = process.check()
    process.close()
    wanted = expected(clips)
    assert delivered.numbers == [[0, 1, 2], [3, 4, 5], [6]]
    assert [batch.shape for batch in delivered.first] == [(3, 1, NUM_SAMPLES)] * 2
    np.testing.assert_array_equal(np.concatenate(delivered.first)[:, 0], wanted[:6])
    assert delivered.sha256 == [hashlib.sha256(each.tobytes()).hexdigest() for each in wanted]


def test_what_a_peer_prepared_is_kept(clips: list[Path]) -> None:
    process = start("h5py_rows.py", clips)
    (file,) = process.prepare()
    made = file.stat().st_mtime_ns
    assert process.prepare() == [file]
    assert file.stat().st_mtime_ns == made
    process.close()


def test_a_pass_is_timed_by_the_child_and_can_be_repeated(peer: PeerProcess) -> None:
    for _ in range(2):
        begin = time.perf_counter()
        timed = peer.run_pass()
        assert timed.num_clips == 7
        assert 0 < timed.seconds < time.perf_counter() - begin


def test_a_pass_over_the_first_clips(clips: list[Path]) -> None:
    process = start("dataloader_soundfile.py", clips)
    process.open({"workers": 1, "samples": "int16"}, 4)
    assert process.run_pass().num_clips == 4
    process.open({"workers": 2, "samples": "int16"})
    assert process.run_pass().num_clips == 7
    process.close()


def group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def group(peer: PeerProcess) -> set[int]:
    """The peer and its workers."""
    pids = [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]
    return {pid for pid in pids if alive(pid) and group_of(pid) == peer._process.pid}


def test_the_workers_stay_from_pass_to_pass_and_go_when_files_are_closed(peer: PeerProcess) -> None:
    peer.run_pass()
    workers = group(peer)
    assert len(workers) >= 3  # the peer and its two
    peer.run_pass()
    assert group(peer) == workers
    peer.close_files()
    assert len(group(peer)) == len(workers) - 2
    peer.open({"workers": 2, "samples": "float32"})
    assert peer.run_pass().num_clips == 7


def test_a_pass_loads_each_batch_once_and_converts_int16(loading: ModuleType) -> None:
    loaded = []

    def batches() -> Iterator[tuple[list[int], Tensor]]:
        for number in range(3):
            loaded.append(number)
            yield [0, 1, 2, 3], torch.full((4, 1, 8), -16384, dtype=torch.int16)

    num_clips, _ = loading.one_pass(batches(), torch.device("cpu"))
    assert num_clips == 12
    assert loaded == [0, 1, 2]
    assert loading.deliver(next(batches())[1], torch.device("cpu")).tolist() == [[[-0.5] * 8]] * 4


def test_what_was_made_half_is_made_again(loading: ModuleType, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        loading.make_once(tmp_path / "data", fail)
    files = loading.make_once(tmp_path / "data", lambda folder: (folder / "whole").touch())
    assert files == [str(tmp_path / "data" / "whole")]
    assert loading.make_once(tmp_path / "data", fail) == files


def test_the_versions_are_the_childs(peer: PeerProcess) -> None:
    assert peer.versions["soundfile"] == soundfile.__version__
    assert set(peer.versions) == {"torch", "soundfile"}


@pytest.mark.parametrize("script", sorted(PEERS_FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_a_peer_compiles(script: Path) -> None:
    compile(script.read_text(), script, "exec")


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
