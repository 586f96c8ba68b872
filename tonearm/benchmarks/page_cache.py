"""The page cache: what of a file lies in memory, and making it leave.

``posix_fadvise(DONTNEED)`` is a request: dirty pages, pages that a process has mapped and some file systems ignore it.
So what is left is looked up afterwards, with ``mincore``.
"""

import ctypes
import mmap
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tonearm.errors import RunError

MAX_RESIDENT = 0.02  # of a set of files after dropping it; a page may come back, read ahead for a neighbour
DROP_ATTEMPTS, DROP_PAUSE_SECONDS = 20, 0.25
PROBE_BYTES = 2**22


def resident_bytes(path: Path) -> int:
    """How much of a file lies in the page cache, in whole pages."""
    size = path.stat().st_size
    if size == 0:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        pages = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
        view = np.frombuffer(mapped, np.uint8)
        failed = _mincore()(view.ctypes.data, size, pages.ctypes.data)
        del view  # a map that is still viewed cannot be closed
    if failed:
        raise OSError(ctypes.get_errno(), "mincore failed", str(path))
    return int(np.count_nonzero(pages & 1)) * mmap.PAGESIZE


def resident_share(paths: Iterable[Path]) -> float:
    """How much of files lies in the page cache: 1.0 is everything."""
    paths = list(paths)
    pages = sum(-(-path.stat().st_size // mmap.PAGESIZE) for path in paths)
    return sum(map(resident_bytes, paths)) / (pages * mmap.PAGESIZE) if pages else 1.0


def drop(paths: Iterable[Path]) -> None:
    """Make files leave the page cache; a process that is just ending may hold on to them a little longer.

    Raises:
        RunError: more than a fiftieth of their bytes is still there after seconds, most likely because a process maps
            them.
    """
    paths = list(paths)
    size = sum(path.stat().st_size for path in paths)
    for attempt in range(DROP_ATTEMPTS):
        time.sleep(DROP_PAUSE_SECONDS * (attempt > 0))
        for path in paths:
            _ask_to_leave(path)
        left = {path: resident_bytes(path) for path in paths}
        total = sum(left.values())
        if total <= MAX_RESIDENT * size:
            return
    worst = max(left, key=left.__getitem__)
    raise RunError(
        f"{total:,} of {size:,} bytes did not leave the page cache, {left[worst]:,} of them of {worst}; is it still "
        "mapped? A pass from a cold cache cannot be measured like this."
    )


def can_drop(folder: Path) -> bool:
    """Whether files in ``folder`` can be made to leave the page cache: tried with one."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with tempfile.NamedTemporaryFile(dir=folder, prefix="page-cache-") as file:
        file.write(os.urandom(PROBE_BYTES))
        file.flush()
        try:
            there_before = resident_bytes(Path(file.name)) > 0
            _ask_to_leave(Path(file.name))
            return there_before and resident_bytes(Path(file.name)) == 0
        except OSError:
            return False


def file_system(folder: Path) -> str:
    """The type of the file system that a folder lies on, such as "ext4"; "unknown" where the system does not tell."""
    try:
        mounts = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return "unknown"
    folder = folder.resolve()
    found, kind = Path(), "unknown"
    for line in mounts:
        _, point, this_kind, *_ = line.split(" ")
        place = Path(point.replace("\\040", " "))
        if folder.is_relative_to(place) and len(place.parts) >= len(found.parts):  # a later mount covers an earlier one
            found, kind = place, this_kind
    return kind


def available_bytes() -> int | None:
    """Memory that files may take before something has to leave it; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _ask_to_leave(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())  # what is not on the disk yet cannot leave
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _mincore() -> "ctypes._NamedFuncPointer":
    function = ctypes.CDLL(None, use_errno=True).mincore
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    return function
