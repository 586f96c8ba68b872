"""The parent's end of a peer: a child process that is asked for passes, one JSON object a line.

The protocol is described in :mod:`tonearm.benchmarks.peers`. A child leads a process group of its own, so that its
workers end with it; when the parent is killed the child's input closes, upon which it ends by itself.
"""

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tonearm.benchmarks.harness import TimedPass
from tonearm.errors import RunError

READY_TIMEOUT_SECONDS = 120.0  # importing torch from a cold disk
PASS_TIMEOUT_SECONDS = 600.0
QUIT_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.2  # a dead child's workers can hold its output open, so its death is looked for, not only its silence
STDERR_LINES = 12


class Delivered(NamedTuple):
    """What a pass of a peer delivers: each batch's clips by number, each clip's SHA-256, and the first batches."""

    numbers: list[list[int]]
    sha256: list[str]
    first: list[NDArray[np.float32]]


class PeerProcess:
    """A running peer.

    Args:
        name: for messages.
        command: the interpreter, the script and its settings.
        pass_timeout_seconds: after which a pass or a check is given up and the child killed.
        ready_timeout_seconds: the same for the start.

    Raises:
        RunError: here and from every method: the child cannot be started, died, hung or spoke nonsense. The message
            ends with the last lines of its standard error.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        pass_timeout_seconds: float = PASS_TIMEOUT_SECONDS,
        ready_timeout_seconds: float = READY_TIMEOUT_SECONDS,
    ) -> None:
        self.name = name
        self._pass_timeout_seconds = pass_timeout_seconds
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the child
        try:
            self._process = subprocess.Popen(
                [os.fspath(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise RunError(f"peer {name}: cannot start {command[0]}: {error.strerror}.") from error
        self._end = weakref.finalize(self, _end, self._process, self._stderr)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_forward, args=(self._process.stdout, self._lines), daemon=True).start()
        self.versions: dict[str, str] = self._answer("ready", ("versions",), ready_timeout_seconds)["versions"]

    def run_pass(self) -> TimedPass:
        """One full pass, timed by the child."""
        answer = self._ask("pass", answer="pass", fields=("num_clips", "seconds"))
        return TimedPass(answer["num_clips"], answer["seconds"])

    def prepare(self) -> list[Path]:
        """Have the clips brought into the peer's own format, unless they are; the files that a pass reads."""
        return [Path(file) for file in self._ask("prepare", answer="prepared", fields=("files",))["files"]]

    def open(self, settings: Mapping[str, str | int], num_clips: int | None = None) -> None:
        """Have the next passes run with these settings, over the first ``num_clips`` clips or all."""
        self._ask("open", answer="opened", settings=dict(settings), num_clips=num_clips)

    def close_files(self) -> None:
        """Have every file closed and unmapped; ``open`` comes before the next pass."""
        self._ask("close", answer="closed")

    def check(self) -> Delivered:
        """What a full pass of a peer that loads delivers."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            self._ask("check", answer="checked", folder=name)
            clips = json.loads((folder / "clips.json").read_text())
            paths = [folder / f"{place}.npy" for place in range(len(clips["numbers"]))]
            return Delivered(
                numbers=clips["numbers"],
                sha256=clips["sha256"],
                first=[np.load(path) for path in paths if path.exists()],
            )

    def augmented(self) -> NDArray[np.float32]:
        """What the effect that is open makes of the batch."""
        with tempfile.TemporaryDirectory() as name:
            self._ask("check", answer="checked", folder=name)
            batch: NDArray[np.float32] = np.load(Path(name) / "0.npy")
            return batch

    def close(self) -> None:
        """End the child and its workers; a second call does nothing."""
        self._end()

    def _ask(self, command: str, *, answer: str, fields: Iterable[str] = (), **arguments: Any) -> dict[str, Any]:
        try:
            print(json.dumps({"command": command, **arguments}), file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise self._failure(f"died before it was asked to {command}") from error
        return self._answer(answer, fields, self._pass_timeout_seconds)

    def _answer(self, event: str, fields: Iterable[str], timeout_seconds: float) -> dict[str, Any]:
        line = self._line(event, timeout_seconds)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or answer.get("event") != event or not answer.keys() >= set(fields):
            raise self._failure(f"answered {line.strip()!r} where the event {event!r} was expected")
        return answer

    def _line(self, event: str, timeout_seconds: float) -> str:
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            # Asked before the wait: what a child wrote just before its death has the wait to arrive.
            dead = self._process.poll() is not None
            try:
                return self._lines.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if dead:
                    status = self._process.returncode
                    raise self._failure(f"died with exit status {status} instead of answering {event!r}") from None
        raise self._failure(f"did not answer {event!r} within {timeout_seconds:g} s and was killed")

    def _failure(self, what: str) -> RunError:
        """Kill the child; the error to raise."""
        _kill(self._process)
        self._stderr.seek(0)
        last = self._stderr.read().decode(errors="replace").splitlines()[-STDERR_LINES:]
        self.close()
        told = "\n".join(["It wrote last:", *last]) if last else "It wrote nothing to its standard error."
        return RunError(f"peer {self.name} {what}. {told}")


def _forward(stdout: IO[str], lines: "queue.SimpleQueue[str]") -> None:
    with stdout:
        for line in stdout:
            lines.put(line)


def _kill(process: "subprocess.Popen[str]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def _end(process: "subprocess.Popen[str]", stderr: IO[bytes]) -> None:
    try:
        if process.stdin is not None:
            process.stdin.close()
        process.wait(timeout=QUIT_TIMEOUT_SECONDS)
    except (BrokenPipeError, subprocess.TimeoutExpired):
        pass
    finally:
        _kill(process)
        stderr.close()
