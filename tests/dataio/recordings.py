"""Recordings that the tests of dataio make: known samples in true formats."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from tonearm.dataio.manifest import Clip, Manifest

RATE = 8000


def sound(frames: int = 4000, *, seed: int = 0, channels: int = 1) -> np.ndarray:
    """Noise of known int16 values, (frames, channels)."""
    return np.random.default_rng(seed).integers(-20_000, 20_000, (frames, channels)).astype(np.int16)


def write(path: Path, samples: np.ndarray, *, rate: int = RATE, **kinds: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **kinds)
    return path


def folder_of(root: Path, *, clips: int = 12, classes: int = 3, frames: Sequence[int] = (4000, 2500, 5001)) -> Path:
    """A folder a class with 16-bit WAVs of several lengths."""
    for number in range(clips):
        samples = sound(frames[number % len(frames)], seed=number)
        write(root / f"class{number % classes}" / f"clip{number:02d}.wav", samples)
    return root


def manifest_of(root: Path, names: Sequence[str], **facts: object) -> Manifest:
    """A manifest of single-class clips at ``names`` below ``root``."""
    clips = tuple(Clip(name, name, (0,), **facts) for name in names)  # type: ignore[arg-type]
    return Manifest("made", root, ("thing",), clips)
