import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from tonearm import doctor
from tonearm.dataio import ClipLoader, open_dataset, pack_dataset, read_manifest
from tonearm.doctor import Dali, Gpu, diagnose

CARD_1660 = Gpu("NVIDIA GeForce GTX 1660 SUPER", (7, 5), 6 * 2**30, has_bf16=False)
CARD_H200 = Gpu("NVIDIA H200", (9, 0), 141 * 2**30, has_bf16=True)
CARD_1080 = Gpu("NVIDIA GeForce GTX 1080", (6, 1), 8 * 2**30, has_bf16=False)
DALI_13 = Dali("nvidia-dali-cuda130", "2.4.0", None)
DALI_12 = Dali("nvidia-dali-cuda120", "2.4.0", None)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> "Machine":
    return Machine(monkeypatch)


class Machine:
    """The machine that doctor sees: Linux, no GPU, DALI for CUDA 13, until told otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(sys, "platform", "linux")
        self.has()

    def has(self, *gpus: Gpu, driver: str | None = None, dali: Dali | None = DALI_13) -> None:
        self._monkeypatch.setattr(doctor, "_gpus", lambda: gpus)
        self._monkeypatch.setattr(doctor, "driver_version", lambda: driver)
        self._monkeypatch.setattr(doctor, "_dali", lambda: dali)


def test_a_machine_without_a_gpu_misses_nothing(machine: Machine) -> None:
    diagnosis = diagnose()
    assert diagnosis.problems == ()
    assert diagnosis.backends == {"pcm16": "copy", "flac": "dali", "source": "dali"}
    text = str(diagnosis)
    assert "none that torch can use: everything runs on the CPU" in text
    assert f"torch        {torch.__version__}" in text
    assert text.endswith("Nothing is missing.")


def test_a_current_card_misses_nothing_and_is_described(machine: Machine) -> None:
    machine.has(CARD_H200, driver="580.95.05")
    diagnosis = diagnose()
    assert diagnosis.problems == ()
    assert "GPU          NVIDIA H200, 141.0 GiB, capability 9.0, bf16 in hardware" in str(diagnosis)
    assert "driver       580.95.05" in str(diagnosis)


def test_a_gtx_1660_is_warned_of_fp16_and_named_without_bf16(machine: Machine) -> None:
    machine.has(CARD_1660, driver="580.95.05")
    (problem,) = diagnose().problems
    assert problem.startswith("NVIDIA GeForce GTX 1660 SUPER has no tensor cores")
    assert "train.precision=fp32" in problem
    assert "capability 7.5, no bf16 in hardware" in str(diagnose())


@pytest.mark.parametrize(
    ("driver", "gpus", "extra"),
    [(None, (), "cuda13"), ("580.95.05", (CARD_H200,), "cuda13"), ("550.54", (CARD_H200,), "cuda12"),
     ("580.95.05", (CARD_1080,), "cuda12")],
)  # fmt: skip
def test_without_dali_the_command_for_this_driver_is_given(
    machine: Machine, driver: str | None, gpus: tuple[Gpu, ...], extra: str
) -> None:
    machine.has(*gpus, driver=driver, dali=None)
    diagnosis = diagnose()
    assert diagnosis.backends == {"pcm16": "copy", "flac": "soundfile", "source": "soundfile"}
    (problem,) = diagnosis.problems
    assert f"`pip install 'tonearm[{extra}]'`" in problem


def test_off_linux_nobody_is_told_to_install_dali(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    machine.has(dali=None)
    assert diagnose().problems == ()


@pytest.mark.parametrize(
    ("driver", "dali", "told"),
    [("570.10", DALI_13, True), ("580.10", DALI_13, False), ("570.10", DALI_12, False), ("520.10", DALI_12, True)],
)
def test_dali_needs_a_driver_of_its_own_branch(machine: Machine, driver: str, dali: Dali, told: bool) -> None:
    machine.has(CARD_H200, driver=driver, dali=dali)
    assert any("needs driver" in problem for problem in diagnose().problems) == told


def test_dali_for_cuda_13_is_too_new_for_an_old_card(machine: Machine) -> None:
    machine.has(CARD_1080, driver="580.10")
    (problem,) = diagnose().problems
    assert "older than compute capability 7.5" in problem
    machine.has(CARD_1080, driver="580.10", dali=DALI_12)
    assert diagnose().problems == ()


def test_a_dali_that_cannot_be_imported_says_why(machine: Machine) -> None:
    machine.has(dali=Dali("nvidia-dali-cuda130", "2.4.0", "libfoo.so: cannot open shared object file"))
    (problem,) = diagnose().problems
    assert "cannot be imported (libfoo.so: cannot open shared object file)" in problem
    assert "`pip install --force-reinstall nvidia-dali-cuda130`" in problem


def test_a_driver_that_torch_cannot_use_is_a_problem(machine: Machine) -> None:
    machine.has(driver="470.10")
    (problem,) = diagnose().problems
    assert "There is an NVIDIA driver (470.10), but torch" in problem


def test_what_torch_says_of_a_card_is_read_without_emulated_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(name="NVIDIA GeForce GTX 1660 SUPER", major=7, minor=5, total_memory=6 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert doctor._gpus() == (CARD_1660,)


def test_a_broken_dali_is_found_by_importing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError(f"{name} is broken")

    monkeypatch.setattr(doctor, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "importlib", SimpleNamespace(import_module=broken))
    monkeypatch.setattr(doctor, "package_version", {"nvidia-dali-cuda120": "2.3.0"}.get)
    assert doctor._dali() == Dali("nvidia-dali-cuda120", "2.3.0", "nvidia.dali is broken")


def test_the_backends_are_those_that_the_loader_takes(tmp_path: Path) -> None:
    (tmp_path / "audio" / "hum").mkdir(parents=True)
    soundfile.write(tmp_path / "audio" / "hum" / "a.wav", np.full(800, 0.25), 8000, subtype="PCM_16")
    for codec, backend in diagnose().backends.items():
        pack_dataset(read_manifest("folder", tmp_path / "audio"), tmp_path / codec, codec=codec, num_workers=1)
        assert ClipLoader(open_dataset(tmp_path / codec), batch_size=1).backend == backend


@pytest.mark.gpu
def test_a_real_gpu_is_described() -> None:
    diagnosis = diagnose()
    assert diagnosis.driver is not None
    assert diagnosis.gpus[0].name == torch.cuda.get_device_name(0)
