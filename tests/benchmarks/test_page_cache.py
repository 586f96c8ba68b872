import mmap
import os
import threading
from pathlib import Path

import pytest

from tonearm.benchmarks import page_cache
from tonearm.benchmarks.page_cache import available_bytes, can_drop, drop, file_system, resident_bytes, resident_share
from tonearm.errors import RunError

SIZE = 64 * mmap.PAGESIZE


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that can leave the page cache."""
    if not can_drop(tmp_path):
        pytest.skip("files do not leave the page cache on this file system")
    path = tmp_path / "file"
    path.write_bytes(os.urandom(SIZE))
    return path


def test_a_file_leaves_the_cache_and_comes_back_when_it_is_read(file: Path) -> None:
    assert resident_bytes(file) == SIZE
    assert resident_share([file]) == 1.0
    drop([file])
    assert resident_bytes(file) == 0
    assert resident_share([file]) == 0.0
    file.read_bytes()
    assert resident_bytes(file) == SIZE


def test_a_mapped_file_that_stays_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "DROP_ATTEMPTS", 2)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert len(bytes(mapped)) == SIZE  # touches every page
        with pytest.raises(
            RunError, match=rf"262,144 of 262,144 bytes did not leave .*{file.name}; is it still mapped"
        ):
            drop([file])
    drop([file])


def test_a_process_that_is_just_ending_is_waited_for(file: Path) -> None:
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    assert len(bytes(mapped)) == SIZE
    timer = threading.Timer(0.4, mapped.close)
    timer.start()
    drop([file])
    assert resident_bytes(file) == 0
    timer.join()


def test_a_file_system_where_nothing_leaves_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache.os, "posix_fadvise", lambda *_: None)
    assert not can_drop(tmp_path)
    monkeypatch.delattr(page_cache.os, "posix_fadvise")
    assert not can_drop(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_has_nothing_in_the_cache(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert resident_bytes(tmp_path / "empty") == 0
    assert resident_share([tmp_path / "empty"]) == 1.0
    drop([tmp_path / "empty"])


def test_the_file_system_is_that_of_the_innermost_mount(tmp_path: Path) -> None:
    assert file_system(Path("/proc/self")) == "proc"
    assert file_system(tmp_path) not in ("unknown", "proc")


def test_some_memory_is_available() -> None:
    available = available_bytes()
    assert available is not None
    assert 0 < available < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
