"""Where a figure was measured: the machine, the versions and the commit, as far as each can be known.

What cannot be found out is None, never a guess.
"""

import datetime
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
import soundfile
import soxr
import torch

import tonearm
from tonearm.dataio.workers import available_cores
from tonearm.strict_model import StrictModel

DALI_PACKAGES = ("nvidia-dali-cuda130", "nvidia-dali-cuda120")
COMMAND_TIMEOUT_SECONDS = 10  # git and nvidia-smi answer at once or hang on a broken file system or driver


class Environment(StrictModel):
    """The circumstances of a benchmark.

    Attributes:
        commit: of the working tree tonearm runs from; None when it is installed from a package.
        dirty: whether that tree had uncommitted changes.
        date: UTC, ISO 8601, to the second.
        device: the name of the GPU, or of the CPU when the run was on the CPU.
        driver: version of the NVIDIA driver.
        cpu: model name.
        cores: cores this process may use.
        threads: of torch's operators on the CPU.
        memory_bytes: the machine's.
        load_average: runnable processes over the last minute when the run began: what else the machine was doing.
        operating_system: as the platform names itself.
        versions: of everything that could make a difference.
    """

    commit: str | None
    dirty: bool | None
    date: str
    device: str
    driver: str | None
    cpu: str
    cores: int
    threads: int
    memory_bytes: int | None
    load_average: float | None
    operating_system: str
    versions: dict[str, str | None]


def current_environment(device: torch.device | str = "cpu") -> Environment:
    """What this process runs on; it starts git and nvidia-smi, so call it outside the timed part."""
    device = torch.device(device)
    commit, dirty = _commit()
    return Environment(
        commit=commit,
        dirty=dirty,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model(),
        driver=driver_version(),
        cpu=cpu_model(),
        cores=available_cores(),
        threads=torch.get_num_threads(),
        memory_bytes=memory_bytes(),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        operating_system=platform.platform(),
        versions=versions(),
    )


def versions() -> dict[str, str | None]:
    """Versions by name; None for what is not installed."""
    return {
        "tonearm": tonearm.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "torchaudio": package_version("torchaudio"),
        "dali": next(filter(None, map(package_version, DALI_PACKAGES)), None),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "hdf5": h5py.version.hdf5_version,
        "soundfile": soundfile.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
        "soxr": soxr.__version__,
    }


def package_version(name: str) -> str | None:
    """The installed version of a distribution, without importing it."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cpu_model() -> str:
    """The CPU's own name, or the architecture where the system does not tell."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int | None:
    """Physical memory of the machine."""
    if sys.platform == "win32":
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def driver_version() -> str | None:
    """Version of the NVIDIA driver, such as "580.95.05"; None without one."""
    answer = _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return answer.splitlines()[0].strip() if answer else None


def _commit() -> tuple[str | None, bool | None]:
    package = Path(tonearm.__file__).parent
    # An installed package may lie in a virtual environment inside some other project's repository: only a tree that
    # tracks our own files has our commit.
    if _output("git", "-C", str(package), "ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    commit = _output("git", "-C", str(package), "rev-parse", "HEAD")
    changes = _output("git", "-C", str(package), "status", "--porcelain")
    return commit, None if changes is None else changes != ""


def _output(*command: str) -> str | None:
    """What a command prints; None when it is missing, fails or hangs."""
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # asking for the state must not write to the index
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
