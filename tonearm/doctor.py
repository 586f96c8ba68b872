"""What this machine has, what tonearm will use of it, and what is missing, with the command that mends it."""

import importlib
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

from tonearm.benchmarks.environment import (
    DALI_PACKAGES,
    cpu_model,
    driver_version,
    memory_bytes,
    package_version,
    versions,
)
from tonearm.dataio.workers import available_cores

GIB = 2**30
# Driver branches that the builds need for a GPU; on a CPU DALI needs none. Source: NVIDIA DALI, Installation, pip.
OLDEST_DRIVER = {"nvidia-dali-cuda130": 580, "nvidia-dali-cuda120": 525}
OLDEST_CAPABILITY_OF_CUDA13 = (7, 5)
NO_TENSOR_CORES = re.compile(r"GTX 16\d\d")


@dataclass(frozen=True)
class Gpu:
    """A CUDA device.

    Attributes:
        name: of the card.
        capability: compute capability.
        memory_bytes: of the card.
        has_bf16: in hardware; emulation does not count.
    """

    name: str
    capability: tuple[int, int]
    memory_bytes: int
    has_bf16: bool


@dataclass(frozen=True)
class Dali:
    """NVIDIA DALI as it is installed.

    Attributes:
        package: the distribution.
        version: its version.
        import_error: why it cannot be imported, or None.
    """

    package: str
    version: str
    import_error: str | None


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found out; ``str()`` is what ``tonearm doctor`` prints.

    Attributes:
        versions: of Python and the packages; None for what is not installed.
        cpu: its name.
        cores: that this process may use.
        memory_bytes: of the machine.
        free_disk_bytes: where the current folder lies.
        driver: version of the NVIDIA driver.
        gpus: that torch can use.
        dali: None when it is not installed.
        backends: by codec, what ClipLoader's backend "auto" takes.
        problems: what is wrong or missing, and what to do, one sentence or two each.
    """

    versions: dict[str, str | None]
    cpu: str
    cores: int
    memory_bytes: int | None
    free_disk_bytes: int
    driver: str | None
    gpus: tuple[Gpu, ...]
    dali: Dali | None
    backends: dict[str, str]
    problems: tuple[str, ...]

    def __str__(self) -> str:
        rows = [(name, version or "not installed") for name, version in self.versions.items()]
        rows.append(("CPU", f"{self.cpu}, {self.cores} cores for this process"))
        rows.append(("memory", "unknown" if self.memory_bytes is None else f"{self.memory_bytes / GIB:.1f} GiB"))
        rows.append(("disk", f"{self.free_disk_bytes / GIB:.1f} GiB free in this folder"))
        rows.append(("driver", self.driver or "no NVIDIA driver"))
        for gpu in self.gpus:
            bf16 = "bf16 in hardware" if gpu.has_bf16 else "no bf16 in hardware"
            capability = ".".join(map(str, gpu.capability))
            rows.append(("GPU", f"{gpu.name}, {gpu.memory_bytes / GIB:.1f} GiB, capability {capability}, {bf16}"))
        if not self.gpus:
            rows.append(("GPU", "none that torch can use: everything runs on the CPU"))
        rows += [(f"{codec} by", backend) for codec, backend in self.backends.items()]
        lines = [f"{name:<12} {value}" for name, value in rows]
        verdict = [f"! {problem}" for problem in self.problems] or ["Nothing is missing."]
        return "\n".join([*lines, "", *verdict])


def diagnose() -> Diagnosis:
    """Look at the machine; needs no GPU and changes nothing."""
    driver, gpus, dali = driver_version(), _gpus(), _dali()
    decoder = "soundfile" if dali is None else "dali"
    return Diagnosis(
        versions=versions(),
        cpu=cpu_model(),
        cores=available_cores(),
        memory_bytes=memory_bytes(),
        free_disk_bytes=shutil.disk_usage(Path.cwd()).free,
        driver=driver,
        gpus=gpus,
        dali=dali,
        backends={"pcm16": "copy", "flac": decoder, "source": decoder},
        problems=(*_gpu_problems(driver, gpus), *_dali_problems(driver, gpus, dali)),
    )


def _gpus() -> tuple[Gpu, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a driver that is too old; so do we, with what to do
        if not torch.cuda.is_available():
            return ()
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        with torch.cuda.device(index):
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        gpus.append(Gpu(properties.name, (properties.major, properties.minor), properties.total_memory, has_bf16))
    return tuple(gpus)


def _dali() -> Dali | None:
    # The question that ClipLoader asks, so that both give the same answer.
    if find_spec("nvidia") is None or find_spec("nvidia.dali") is None:
        return None
    package = next((name for name in DALI_PACKAGES if package_version(name)), "nvidia-dali")
    try:
        importlib.import_module("nvidia.dali")
    except (ImportError, OSError) as error:
        return Dali(package, package_version(package) or "unknown", str(error))
    return Dali(package, package_version(package) or "unknown", None)


def _branch(driver: str) -> int:
    """580 of "580.95.05"."""
    return int(driver.partition(".")[0])


def _gpu_problems(driver: str | None, gpus: tuple[Gpu, ...]) -> Iterator[str]:
    if driver is not None and not gpus:
        yield (
            f"There is an NVIDIA driver ({driver}), but torch {torch.__version__} cannot use a GPU. Builds for CUDA 13 "
            "need driver 580 or newer: update the driver, or install the torch that "
            "https://pytorch.org/get-started/locally names for this one."
        )
    for gpu in gpus:
        if NO_TENSOR_CORES.search(gpu.name):
            yield (
                f"{gpu.name} has no tensor cores: fp16 convolutions can be many times slower there than fp32, and can "
                "give NaN. Train with train.precision=fp32 and train.channels_last=false unless you measured otherwise."
            )


def _dali_problems(driver: str | None, gpus: tuple[Gpu, ...], dali: Dali | None) -> Iterator[str]:
    old_driver = driver is not None and _branch(driver) < OLDEST_DRIVER["nvidia-dali-cuda130"]
    old_card = any(gpu.capability < OLDEST_CAPABILITY_OF_CUDA13 for gpu in gpus)
    if dali is None:
        if sys.platform == "linux":
            extra = "cuda12" if old_driver or old_card else "cuda13"
            yield (
                "NVIDIA DALI is not installed, so flac and source are decoded by soundfile, one clip at a time: "
                f"`pip install 'tonearm[{extra}]'`."
            )
        return
    if dali.import_error is not None:
        yield (
            f"{dali.package} {dali.version} is installed but cannot be imported ({dali.import_error}), so loading flac "
            f"and source fails: `pip install --force-reinstall {dali.package}`, or use backend soundfile."
        )
    oldest = OLDEST_DRIVER.get(dali.package)
    if gpus and driver is not None and oldest is not None and _branch(driver) < oldest:
        yield (
            f"{dali.package} needs driver {oldest} or newer for a GPU, and this is {driver}: update the driver, or "
            f"`pip uninstall {dali.package}` and `pip install 'tonearm[cuda12]'`."
        )
    if dali.package == "nvidia-dali-cuda130" and old_card:
        yield (
            "A GPU here is older than compute capability 7.5, which nvidia-dali-cuda130 needs: "
            "`pip uninstall nvidia-dali-cuda130` and `pip install 'tonearm[cuda12]'`."
        )
