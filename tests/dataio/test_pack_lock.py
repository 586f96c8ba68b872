"""One writer a folder, and a lock that the dead do not hold."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.dataio.recordings import folder_of
from tonearm.dataio import lock as lock_module
from tonearm.dataio import pack_dataset, read_manifest
from tonearm.dataio.lock import LOCK_NAME, locked_folder
from tonearm.errors import RequestError, RunError

HOLD = """
import sys
from pathlib import Path
from tonearm.dataio.lock import locked_folder
with locked_folder(Path(sys.argv[1]), what="append"):
    print("held", flush=True)
    input()
"""


def hold(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_pack_is_told_who_is_first(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    (tmp_path / "out").mkdir()
    process = hold(tmp_path / "out")
    who = rf"writing to this folder already \(append, process {process.pid} on {socket.gethostname()}\). Wait"
    with pytest.raises(RequestError, match=who):
        pack_dataset(manifest, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [LOCK_NAME]
    process.communicate("\n")
    assert not list((tmp_path / "out").iterdir())
    assert pack_dataset(manifest, tmp_path / "out").num_clips == 12


def test_the_lock_of_a_killed_process_blocks_nobody_and_is_cleared_away(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    (tmp_path / "out").mkdir()
    process = hold(tmp_path / "out")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.communicate()
    assert (tmp_path / "out" / LOCK_NAME).exists()
    pack_dataset(manifest, tmp_path / "out")
    assert not (tmp_path / "out" / LOCK_NAME).exists()


def test_threads_of_one_process_exclude_each_other_too(tmp_path: Path) -> None:
    inside, most = 0, 0
    counted = threading.Lock()
    refused = []

    def work() -> None:
        nonlocal inside, most
        for _ in range(5):
            try:
                with locked_folder(tmp_path):
                    with counted:
                        inside += 1
                        most = max(most, inside)
                    time.sleep(0.001)  # or the others would hardly ever come while this one is inside
                    with counted:
                        inside -= 1
            except RequestError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert 0 < len(refused) < 40
    assert not list(tmp_path.iterdir())


def test_an_error_inside_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="inside"), locked_folder(tmp_path):
        raise KeyError("inside")
    with locked_folder(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == f"pack, process {os.getpid()} on {socket.gethostname()}\n"


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the lock file cannot be written"), locked_folder(tmp_path / "missing"):
        pass


FORK = """
import os, sys, time
from pathlib import Path
from tonearm.dataio.lock import locked_folder
with locked_folder(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    input()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_hold_the_lock_of_its_dead_parent(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FORK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        with pytest.raises(RequestError, match=f"process {process.pid} on"), locked_folder(tmp_path):
            pass
        process.kill()
        process.wait()
        os.kill(child, 0)  # it lives on
        with locked_folder(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        process.communicate()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_that_leaves_the_block_does_not_unlock_it(tmp_path: Path) -> None:
    code = FORK.replace("time.sleep(60)", "pass").replace("os._exit(0)", "sys.exit(0)")
    process = subprocess.Popen(
        [sys.executable, "-c", code.replace("print(child", "os.waitpid(child, 0); print('held'"), str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(RequestError, match=f"process {process.pid} on"), locked_folder(tmp_path):
        pass
    process.communicate("\n")
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())


def test_a_lock_file_that_is_never_the_same_ends_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "_is_still_there", lambda *_: False)
    with (
        pytest.raises(RunError, match=r"another one each time that it was opened \(100 times\)"),
        locked_folder(tmp_path),
    ):
        pass
