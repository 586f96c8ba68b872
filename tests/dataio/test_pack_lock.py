"""One writer a folder, and a lock that the dead do not hold."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.dataio.recordings import folder_of
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
        for _ in range(50):
            try:
                with locked_folder(tmp_path):
                    with counted:
                        inside += 1
                        most = max(most, inside)
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
    assert len(refused) < 400
    assert not list(tmp_path.iterdir())


def test_an_error_inside_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="inside"), locked_folder(tmp_path):
        raise KeyError("inside")
    with locked_folder(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == f"pack, process {os.getpid()} on {socket.gethostname()}\n"


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the lock file cannot be written"), locked_folder(tmp_path / "missing"):
        pass
