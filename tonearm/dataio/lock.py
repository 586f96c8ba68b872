"""One writer a folder: a lock that the system gives back when its holder ends, however it ends."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tonearm.errors import RequestError, RunError

LOCK_NAME = ".tonearm.lock"
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network file systems cannot lock
_TRIES = 100
_FAR = 1 << 30  # Windows forbids others to read what is locked: lock a byte behind the text
_held: set[int] = set()  # descriptors of this process's locks


def _let_go() -> None:
    """In a forked process: a copy of the descriptor would keep the lock after its holder has died."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def locked_folder(out: Path, what: str = "pack") -> Iterator[None]:
    """Keep every other process and thread that asks for the same folder's lock out of it.

    The lock is on a hidden file in the folder, which is removed at the end. What a killed process leaves of it blocks
    nobody. On file systems that cannot lock, nothing is locked.

    Args:
        out: the folder; it must be there.
        what: what is being done, for the message to those who come second.

    Raises:
        RequestError: somebody else holds the lock; says who.
        RunError: the lock file cannot be written, or does not stay the same file.
    """
    path = out / LOCK_NAME
    descriptor = _acquire(path, out)
    _held.add(descriptor)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{what}, process {os.getpid()} on {socket.gethostname()}\n".encode())
    except OSError:
        pass  # the disk is full: the lock holds without a name
    try:
        yield
    finally:
        if descriptor not in _held:
            pass  # a forked process came here: the lock is its parent's
        elif sys.platform != "win32":
            _held.discard(descriptor)
            path.unlink(missing_ok=True)  # while it is held, so that nobody locks a file that is about to go
            os.close(descriptor)
        else:
            _held.discard(descriptor)
            os.close(descriptor)
            with suppress(OSError):  # somebody else opened it in between
                path.unlink(missing_ok=True)


def _acquire(path: Path, out: Path) -> int:
    for _ in range(_TRIES):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(
                f"{path}: the lock file cannot be written ({error.strerror}). Make room on the disk, or mend the "
                "folder's rights, and run the same command again."
            ) from error
        try:
            _lock(descriptor)
            if _is_still_there(descriptor, path):
                return descriptor
        except BlockingIOError:
            holder = os.read(descriptor, 500).decode(errors="replace").strip() or "another process"
            os.close(descriptor)
            raise RequestError(
                f"{out}: somebody is writing to this folder already ({holder}). Wait until that is done or end it, "
                "then run the same command again; or give another folder."
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it between our opening and our locking it
    raise RunError(
        f"{path}: the lock file was another one each time that it was opened ({_TRIES} times). If nobody else works in "
        "this folder, its file system cannot tell files apart: give a folder on another disk."
    )


def _lock(descriptor: int) -> None:
    """Lock the file, or raise BlockingIOError."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
