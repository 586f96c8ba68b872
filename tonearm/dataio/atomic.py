"""Files that appear whole or not at all: written under a temporary name, flushed to the disk, then renamed."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_SUFFIX = ".part"
_TEMPORARY = re.compile(r"\.(.+)\.(\d+)" + re.escape(TEMPORARY_SUFFIX))  # .NAME.PID.part


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; on leaving without an error it is fsynced and renamed to ``path``.

    On an error the temporary file is removed and ``path`` is as it was. A process that is killed leaves the temporary
    file, whose name ends in ``TEMPORARY_SUFFIX``.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _fsync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def remove_leftovers(folder: Path, names: Callable[[str], bool]) -> None:
    """Remove temporary files that processes which live no more left for files called as ``names`` says."""
    for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        if is_leftover(path.name, names) and not _lives(int(_TEMPORARY.fullmatch(path.name)[2])):  # type: ignore[index]
            path.unlink(missing_ok=True)


def is_leftover(name: str, names: Callable[[str], bool]) -> bool:
    """Whether ``name`` is that of a temporary file for a file called as ``names`` says."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and names(match[1])


def _lives(pid: int) -> bool:
    """Whether the process can still write: one that was killed and not yet reaped (a zombie) cannot."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is somebody else's
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):  # no /proc on this system, or gone in between
        return True
    return state not in "ZX"


def _fsync_folder(folder: Path) -> None:
    """Make the rename itself last through a power cut; a folder cannot be opened on Windows, where it need not be."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
