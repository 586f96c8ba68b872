"""The interpreters that peers run on: environments of their own, made on demand and kept in the user's cache."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tonearm.errors import RequestError, RunError

PEERS_FOLDER = Path(__file__).parent / "peers"
LOADING = "requirements.txt"
AUGMENTATION = "augment-requirements.txt"
OVERRIDE = "TONEARM_PEERS_PYTHON"
STDERR_LINES = 12


def peers_python(requirements: str = LOADING, *, announce: Callable[[str], None] = lambda _: None) -> Path:
    """The peers' interpreter; the first call makes their environment, which downloads torch (minutes, about 6 GB).

    The environment lies in ``$XDG_CACHE_HOME`` or ``~/.cache`` under ``tonearm/peers-<hash>``, the hash being that of
    the requirements and the Python version. An interpreter named by TONEARM_PEERS_PYTHON is taken instead, whatever the
    requirements are.

    Args:
        requirements: a file in the folder of peers.
        announce: told before something slow begins.

    Raises:
        RequestError: TONEARM_PEERS_PYTHON names no file.
        RunError: the environment could not be made; nothing is left behind.
    """
    named = os.environ.get(OVERRIDE)
    if named:
        if not Path(named).is_file():
            raise RequestError(
                f"{OVERRIDE} is {named!r}, but there is no such file. Name a Python interpreter, or unset it."
            )
        return Path(named)
    folder = environment_folder(requirements)
    if not folder.exists():
        announce(f"making the peers' environment in {folder} (once; downloads torch)")
        _create(folder, requirements)
    return folder / "bin" / "python"


def environment_folder(requirements: str = LOADING) -> Path:
    """Where the environment for these requirements and this Python lies, made or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pins = (PEERS_FOLDER / requirements).read_bytes()
    digest = hashlib.sha256(pins + platform.python_version().encode()).hexdigest()[:12]
    return cache / "tonearm" / f"peers-{digest}"


def _create(folder: Path, requirements: str) -> None:
    """Build beside the final name and rename, so that an interrupted build never passes for a whole one."""
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    python = partial / "bin" / "python"
    install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r")
    try:
        _run([sys.executable, "-m", "venv", partial], requirements)
        _run([python, *install, PEERS_FOLDER / requirements], requirements)
        try:
            partial.rename(folder)
        except OSError:
            # Another process was faster; its environment is as good.
            if not folder.exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _run(command: Sequence[str | Path], requirements: str = LOADING) -> None:
    words = [os.fspath(word) for word in command]
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.splitlines()[-STDERR_LINES:])
        raise RunError(
            f"the peers' environment could not be made: `{' '.join(words)}` ended with status {done.returncode}. "
            f"Mend that, or name an interpreter that has peers/{requirements} in {OVERRIDE}.\n{last}"
        )
