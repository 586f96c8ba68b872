"""Whether what a contestant delivers is the clips: compared with the WAV files before anything is timed."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from torch import Tensor

from tonearm.batch import AudioBatch

FULL_SCALE = 32768


def first_difference(batches: Iterable[Tensor], paths: Sequence[Path]) -> str | None:
    """What is wrong with ``batches`` as the clips of ``paths`` in order; None when every sample is that of the WAV."""
    place = 0
    for batch in batches:
        for waveform in batch.cpu().numpy():
            if place == len(paths):
                return f"more than the {len(paths)} clips came."
            complaint = clip_difference(waveform, paths[place])
            if complaint is not None:
                return complaint
            place += 1
    return None if place == len(paths) else f"{place} clips came, expected {len(paths)}."


def clip_difference(waveform: NDArray[np.float32], path: Path) -> str | None:
    """What is wrong with a (1, time) waveform as the clip of a WAV file."""
    expected = read_clip(path)
    if waveform.shape != (1, len(expected)):
        return f"{path.name} came as {waveform.shape}, expected (1, {len(expected)})."
    wrong = np.flatnonzero(waveform[0] != expected)
    if not len(wrong):
        return None
    first = int(wrong[0])
    return (
        f"{path.name}, sample {first} is {waveform[0, first]:.9g}, but {expected[first]:.9g} in the WAV "
        f"({len(wrong)} samples differ)."
    )


def crop_difference(
    batches: Iterable[AudioBatch], paths: Sequence[Path], *, num_samples: int, batch_size: int
) -> str | None:
    """What is wrong with an epoch of shuffled crops.

    Each must be (1, num_samples) and lie somewhere in the clip that it is said to be of, no clip may come twice, and
    there must be as many as full batches hold.
    """
    came: Counter[int] = Counter()
    for batch in batches:
        for waveform, row in zip(batch.waveform.cpu().numpy(), batch.clip_index.tolist(), strict=True):
            came[row] += 1
            if waveform.shape != (1, num_samples):
                return f"an excerpt of {paths[row].name} came as {waveform.shape}, expected (1, {num_samples})."
            if not _holds(read_clip(paths[row]), waveform[0]):
                return f"an excerpt that is said to be of {paths[row].name} does not occur in it."
    twice = [paths[row].name for row, times in came.items() if times > 1]
    if twice:
        return f"{twice[0]} came more than once in an epoch."
    expected = len(paths) // batch_size * batch_size
    return None if came.total() == expected else f"{came.total()} clips came, expected {expected} in full batches."


def digest_difference(numbers: Sequence[int], digests: Sequence[str], expected: Sequence[str],
                      paths: Sequence[Path]) -> str | None:  # fmt: skip
    """What is wrong with clips that came in any order, each told by its number and the SHA-256 of its samples."""
    if sorted(numbers) != list(range(len(paths))):
        missing = sorted(set(range(len(paths))) - set(numbers))
        return f"{len(numbers)} clips came, expected {len(paths)}, each once; {len(missing)} did not come."
    for number, digest in zip(numbers, digests, strict=True):
        if digest != expected[number]:
            return f"the samples of {paths[number].name} are not those of the WAV."
    return None


def clip_digest(path: Path) -> str:
    """The SHA-256 of a clip's float32 samples."""
    return hashlib.sha256(read_clip(path).tobytes()).hexdigest()


def read_clip(path: Path) -> NDArray[np.float32]:
    """The samples of a mono WAV, (time,) float32."""
    samples, _ = soundfile.read(path, dtype="float32")
    found: NDArray[np.float32] = samples
    return found


def _holds(clip: NDArray[Any], excerpt: NDArray[Any]) -> bool:
    """Whether the excerpt stands in the clip, sample by sample."""
    places = np.arange(len(clip) - len(excerpt) + 1)
    for offset in range(0, len(excerpt), max(1, len(excerpt) // 64)):  # few places are left after a few samples
        places = places[clip[places + offset] == excerpt[offset]]
    return any(np.array_equal(clip[place : place + len(excerpt)], excerpt) for place in places.tolist())
