"""Sounds for a bank, out of a folder or a packed dataset: mono, float32, at one rate, one after the other.

    bank = SoundBank(read_folder("street-noises", sample_rate=44_100), sample_rate=44_100, name="street")

They are read as they are asked for, so a bank that is full reads no further.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

from tonearm.dataio.audio_file import probe, read_samples
from tonearm.dataio.dataset import Dataset, open_dataset
from tonearm.dataio.datasets.roots import check_root, list_recordings
from tonearm.dataio.encode import FULL_SCALE
from tonearm.dataio.shard_layout import Array
from tonearm.errors import AudioError, RequestError


def read_folder(path: str | Path, *, sample_rate: int) -> Iterator[Array]:
    """Every recording below a folder, in the order of their names.

    Silent ones are passed over: a bank has no use for them.

    Args:
        path: the folder.
        sample_rate: to resample to, in Hz.

    Yields:
        (time,) float32; channels are averaged, other rates resampled with soxr HQ.

    Raises:
        ManifestError: no such folder.
        RequestError: no recording in it, or the rate is none.
        AudioError: while reading, a file that is damaged or of an unknown kind; the message names it.
    """
    root = Path(path)
    _check_rate(sample_rate)
    check_root(root, holds="the recordings")
    names = list_recordings(root)
    if not names:
        raise RequestError(f"{root}: no recordings in it.")
    return (sound for sound in (_read(root / name, sample_rate) for name in names) if sound.any())


def read_clips(dataset: Dataset | str | Path, *, sample_rate: int) -> Iterator[Array]:
    """Every clip of a packed dataset, or of a part of one, in its order.

    Silent ones are passed over: a bank has no use for them.

    Args:
        dataset: a dataset, such as ``open_dataset(path).where(fold=[1, 2])``, or where one is. Sounds for augmentation
            come from the training part.
        sample_rate: to resample to, in Hz.

    Yields:
        (time,) float32; channels are averaged, other rates resampled with soxr HQ.

    Raises:
        RequestError: not a packed dataset, no clip in it, or the rate is none.
        ShardError: a damaged index or, while reading, a damaged clip; the message names it.
    """
    from tonearm.dataio.decode_soundfile import decode_clip  # which loads torch

    _check_rate(sample_rate)
    opened = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    if not len(opened):
        raise RequestError(f"{opened.root}: no clip in it that was asked for.")
    clips = (_resampled(decode_clip(opened, row), opened.sample_rate, sample_rate) for row in range(len(opened)))
    return (clip for clip in clips if clip.any())


def _read(path: Path, sample_rate: int) -> Array:
    try:
        header = probe(path)
        samples = read_samples(path, header)
    except AudioError as error:
        raise AudioError(f"{path}: {error}. Mend it or move it away.") from error
    if samples.dtype == np.int16:
        samples = samples / np.float32(FULL_SCALE)
    return _resampled(samples, header.sample_rate, sample_rate)


def _resampled(samples: Array, rate: int, sample_rate: int) -> Array:
    """(time,) float32 from (frames, channels) floating point."""
    mono: Array = samples.mean(axis=1, dtype=samples.dtype)
    if rate != sample_rate:
        mono = soxr.resample(mono, rate, sample_rate, quality="HQ")
    return mono.astype(np.float32, copy=False)


def _check_rate(sample_rate: object) -> None:
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int) or sample_rate < 1:
        raise RequestError(f"sample_rate: got {sample_rate!r}, may be a whole number, 1 Hz or more.")
