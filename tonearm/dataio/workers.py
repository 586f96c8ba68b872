"""The workers of a pack: this process, and as many others as it takes.

Every clip costs many short calls that take Python's lock, so that threads of one process would mostly wait for each
other. The other processes import no more than decoding needs, and are no copies of this one: a process with threads or
open HDF5 files must not be forked, and a script that packs need not guard its main module.
"""

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import tonearm
from tonearm.dataio.planned import ShardTask, WrittenAudio
from tonearm.dataio.write_audio import write_audio
from tonearm.errors import RunError

_REPORT_SECONDS = 0.05
_MAIN = "import sys; sys.path[:] = sys.argv[1:]; from tonearm.dataio.workers import serve; serve()"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Count = Callable[[int, int], None]  # (clips, bytes) that are done since the last call


class Stopped(Exception):
    """Raised in a worker that was told to stop; nobody outside gets to see it."""


class OwnWorker:
    """Works in this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # held by the thread that uses this worker

    def write_audio(self, task: ShardTask, path: Path, begin: int, count: Count) -> WrittenAudio:
        """See :func:`tonearm.dataio.write_audio.write_audio`; ``count`` may raise to stop."""
        return write_audio(task, path, begin, lambda num_bytes: count(1, num_bytes))

    def close(self) -> None:
        """Nothing to do."""


class ProcessWorker:
    """Works in a process of its own, which leaves Ctrl-C to this one and ends with it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        folders = [str(Path(tonearm.__file__).parent.parent), *sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, *folders], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD}, process_group=0 if os.name == "posix" else None,
        )  # fmt: skip

    def write_audio(self, task: ShardTask, path: Path, begin: int, count: Count) -> WrittenAudio:
        """As :class:`OwnWorker`'s.

        Raises:
            RunError: the process died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            _send(self._process.stdin, (task, path, begin))
            while True:
                answer = pickle.load(self._process.stdout)  # noqa: S301  (our own process wrote it)
                if isinstance(answer, WrittenAudio):
                    return answer
                if isinstance(answer, BaseException):
                    raise answer
                count(*answer)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise RunError(
                f"a packing process died (exit status {self._process.wait()}), out of memory perhaps. Run it again "
                "with fewer workers; it goes on from there."
            ) from error

    def close(self) -> None:
        """End the process, whatever it is at: what it writes has no name yet."""
        self._process.kill()
        self._process.communicate()


class Crew:
    """What the workers of one run share: a queue of tasks, counts of what is done, and whether to stop."""

    def __init__(self, tasks: Sequence[ShardTask]) -> None:
        self._tasks = list(reversed(tasks))
        self._lock = threading.Lock()
        self._clips = self._bytes = 0
        self._stopped = False

    def take(self) -> ShardTask | None:
        """The next task, None at the end."""
        with self._lock:
            return None if self._stopped or not self._tasks else self._tasks.pop()

    def count(self, clips: int, num_bytes: int) -> None:
        """So much more is done.

        Raises:
            Stopped: and it was the last.
        """
        with self._lock:
            self._clips += clips
            self._bytes += num_bytes
            if self._stopped:
                raise Stopped

    def done(self) -> tuple[int, int]:
        """Clips and bytes that were counted."""
        with self._lock:
            return self._clips, self._bytes

    def stop(self) -> None:
        """Tell all workers to stop at the clip that they are at."""
        with self._lock:
            self._stopped = True


def serve() -> None:
    """What a process of :class:`ProcessWorker` runs: tasks from its input, counts and results to its output."""
    source, target = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get between the answers
    try:
        while True:
            task, path, begin = pickle.load(source)  # noqa: S301  (the process that started this one wrote it)
            counter = _Counter(target)
            try:
                answer: object = write_audio(task, path, begin, counter.count)
            except BrokenPipeError:
                raise
            except Exception as error:  # whatever it is, the other process is to say it
                answer = error
            counter.tell()
            _send(target, answer)
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the process that started this one has ended


class _Counter:
    """Tells the other process now and then what is done: each message makes it take Python's lock."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._clips = self._bytes = 0
        self._told = time.monotonic()

    def count(self, num_bytes: int) -> None:
        self._clips += 1
        self._bytes += num_bytes
        if time.monotonic() - self._told > _REPORT_SECONDS:
            self.tell()

    def tell(self) -> None:
        _send(self._target, (self._clips, self._bytes))
        self._clips = self._bytes = 0
        self._told = time.monotonic()


def _send(target: IO[bytes], message: object) -> None:
    pickle.dump(message, target, pickle.HIGHEST_PROTOCOL)
    target.flush()


def available_cores() -> int:
    """The cores this process may use, which a container or a batch system may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
