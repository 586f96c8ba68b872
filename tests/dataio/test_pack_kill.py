"""A pack that is killed, interrupted or loses a worker: nothing is lost, and the next one completes it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from tests.dataio.recordings import folder_of
from tonearm.dataio import pack_dataset, read_manifest
from tonearm.dataio import shard_tasks as shard_tasks_module
from tonearm.dataio.pack_progress import PackProgress
from tonearm.dataio.planned import ShardTask
from tonearm.dataio.shard_layout import DatasetHeader
from tonearm.dataio.workers import ProcessWorker
from tonearm.errors import RunError

NUM_KILLS = 20
SHARD_BYTES = 1 << 18
SCRIPT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore otherwise
from tonearm.dataio import pack_dataset, read_manifest
manifest = read_manifest("folder", sys.argv[1])
print("begins", flush=True)
try:
    pack_dataset(manifest, sys.argv[2], sample_rate=16_000, num_workers=2, shard_bytes=1 << 18)
except KeyboardInterrupt:
    sys.exit("interrupted")
print("done", flush=True)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def begin(root: Path, out: Path) -> subprocess.Popen[str]:
    """A process that is about to pack with two workers."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(root), str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begins\n"
    return process


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("in"), clips=60, frames=(120_000, 80_000))


def resume(root: Path, out: Path) -> int:
    manifest = read_manifest("folder", root)
    return pack_dataset(manifest, out, sample_rate=16_000, num_workers=2, shard_bytes=SHARD_BYTES).num_kept


@pytest.mark.slow
def test_killed_at_20_random_moments_it_completes_to_the_same_bytes(tmp_path: Path, root: Path) -> None:
    process = begin(root, tmp_path / "whole")
    began = time.perf_counter()
    assert process.communicate() == ("done\n", "")
    took = time.perf_counter() - began
    whole = contents(tmp_path / "whole")
    generator = np.random.default_rng(0)
    kept = []
    for attempt in range(NUM_KILLS):
        out = tmp_path / f"out{attempt}"
        process = begin(root, out)
        time.sleep(float(generator.uniform(0, took)))
        process.kill()
        process.communicate()
        kept.append(resume(root, out))
        assert contents(out) == whole
    num_shards = len(whole) - 3
    assert sum(0 < number < num_shards for number in kept) >= 5, kept  # they were killed in the midst of it


@pytest.mark.slow
def test_ctrl_c_leaves_whole_shards_and_nothing_else(tmp_path: Path, root: Path) -> None:
    resume(root, tmp_path / "whole")
    whole = contents(tmp_path / "whole")
    process = begin(root, tmp_path / "out")
    while not list((tmp_path / "out").glob("shard-*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert (stdout, stderr) == ("", "interrupted\n")
    left = contents(tmp_path / "out")
    assert "index.json" not in left
    assert all(content == whole[name] for name, content in left.items())
    assert resume(root, tmp_path / "out") == len(left)
    assert contents(tmp_path / "out") == whole


def die_at_the_third(task: ShardTask) -> object:
    if task.number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return shard_tasks_module.pack_shard(task)


@pytest.mark.slow
def test_a_process_of_an_executor_that_dies_is_one_paragraph(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume(root, tmp_path / "whole")
    manifest = read_manifest("folder", root)
    settings = {"sample_rate": 16_000, "shard_bytes": SHARD_BYTES}
    died = pytest.raises(RunError, match="a packing process died, out of memory")
    with ProcessPoolExecutor(1, get_context("spawn")) as executor, monkeypatch.context() as patch, died:
        patch.setattr(shard_tasks_module, "pack_shard", die_at_the_third)
        pack_dataset(manifest, tmp_path / "out", executor=executor, **settings)  # type: ignore[arg-type]
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        summary = pack_dataset(manifest, tmp_path / "out", executor=executor, **settings)  # type: ignore[arg-type]
    assert summary.num_kept == 2
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


class RecordedWorker(ProcessWorker):
    """Remembers the processes that were started."""

    processes: ClassVar[list["subprocess.Popen[bytes]"]] = []

    def __init__(self) -> None:
        super().__init__()
        self.processes.append(self._process)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    RecordedWorker.processes.clear()
    monkeypatch.setattr(shard_tasks_module, "ProcessWorker", RecordedWorker)
    return RecordedWorker.processes


def test_a_worker_that_is_killed_alone_is_one_paragraph(
    tmp_path: Path, root: Path, processes: list["subprocess.Popen[bytes]"]
) -> None:
    manifest = read_manifest("folder", root)
    settings = {"sample_rate": 16_000, "shard_bytes": SHARD_BYTES, "num_workers": 3}

    def kill_one(now: PackProgress) -> None:
        if processes and now.clips_done:
            processes[0].kill()

    with pytest.raises(
        RunError, match=r"a packing process died \(exit status -9\), out of memory perhaps. Run it again"
    ):
        pack_dataset(manifest, tmp_path / "out", progress=kill_one, **settings)  # type: ignore[arg-type]
    assert len(processes) == 2
    assert all(process.poll() is not None for process in processes)
    assert not list((tmp_path / "out").glob(".*"))
    pack_dataset(manifest, tmp_path / "out", **settings)  # type: ignore[arg-type]
    assert len(processes) == 4
    assert all(process.poll() is not None for process in processes)
    resume(root, tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path, root: Path) -> None:
    process = begin(root, tmp_path / "out")
    children: list[int] = []
    while not children:
        children = children_of(process.pid)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def test_what_fails_in_a_worker_is_raised_here(tmp_path: Path) -> None:
    header = DatasetHeader("made", ("thing",), "pcm16", 8000, 1, 1, "0" * 64, "0" * 64, {})
    task = ShardTask(tmp_path, tmp_path, header, 0, ())
    worker = ProcessWorker()
    try:
        with pytest.raises(FileNotFoundError, match="No such file"):
            worker.write_audio(task, tmp_path / "missing" / "file", 4096, lambda clips, num_bytes: None)
        written = worker.write_audio(task, tmp_path / "file", 4096, lambda clips, num_bytes: None)
    finally:
        worker.close()
    assert (written.clips, written.num_bytes, len(written.crc32)) == ([], 64, 1)


def test_a_script_needs_no_guard_for_several_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from tonearm.dataio import pack_dataset, read_manifest\n"
        f"manifest = read_manifest('folder', {str(folder_of(tmp_path / 'in'))!r})\n"
        f"pack_dataset(manifest, {str(tmp_path / 'out')!r}, num_workers=2, shard_bytes=30_000)\n"
    )
    subprocess.run([sys.executable, str(script)], check=True)
    assert (tmp_path / "out" / "index.json").exists()
