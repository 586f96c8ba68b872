"""gpu_augment runs where nothing is installed but torch and numpy: people lift it into their own trainers."""

import subprocess
import sys
from importlib import metadata

PROGRAM = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, Blocked())
import torch
from tonearm.gpu_augment import Chain, DropBlock, FrequencyMasking, Noise, Reverb, TimeMasking, TimeShiftStretch
import tonearm.gpu_augment.reference

waveform = Chain([TimeShiftStretch(1.0), Noise(1.0), Reverb(1.0, sample_rate=8000)])(torch.randn(4, 1, 4000))
specgram = Chain([TimeMasking(20, 1.0), FrequencyMasking(8, 1.0), DropBlock(1.0)])(torch.randn(4, 1, 64, 100))
assert torch.isfinite(waveform).all() and torch.isfinite(specgram).all()
ours = sorted(name for name in sys.modules if name.startswith("tonearm"))
allowed = ("tonearm.gpu_augment", "tonearm.errors", "tonearm.batch", "tonearm.seeding")
assert all(name == "tonearm" or name.startswith(allowed) for name in ours), ours
print("ran")
"""


def needed_by(*packages: str) -> set[str]:
    """Names of the distributions that these need, and that those need, and so on."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            requirements = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in requirements:
            if "extra ==" not in requirement:
                bare = requirement.split(";")[0]
                for stop in "<>=!~ [(":
                    bare = bare.split(stop)[0]
                waiting.append(bare)
    return found


def test_imports_and_runs_with_every_package_but_torch_and_numpy_blocked():
    allowed = needed_by("torch", "numpy")
    blocked = set()
    for module, distributions in metadata.packages_distributions().items():
        names = {name.lower().replace("_", "-") for name in distributions}
        if module != "tonearm" and not names & allowed:
            blocked.add(module)
    assert {"torchaudio", "h5py", "soundfile", "pydantic"} <= blocked and "torch" not in blocked
    result = subprocess.run(
        [sys.executable, "-c", f"BLOCKED = {sorted(blocked)!r}\n{PROGRAM}"], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "ran\n"
