"""The made-up clips that loading is measured on: WAV files with the dynamics of sound, written once, and as FLAC."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from tonearm.dataio import Dataset
from tonearm.errors import RequestError
from tonearm.seeding import numpy_generator
from tonearm.synthetic import GESTURES, synthesize

TAKES_PER_CLASS = 2


def write_clip_set(folder: Path, *, num_clips: int, sample_rate: int, duration_seconds: float) -> Path:
    """Write ``num_clips`` mono PCM16 WAVs and the table of a dataset of layout ``csv``; a set that is there is kept.

    The clips are the sounds of :mod:`tonearm.synthetic`. A few are synthesised and every file is one of them turned
    round by a random number of samples: all files differ, and writing a thousand takes seconds.

    Args:
        folder: where to; made if it is not there. One folder holds one set.
        num_clips: how many.
        sample_rate: in Hz.
        duration_seconds: of each.

    Returns:
        The table, ``labels.csv`` in the set's own folder below ``folder``.
    """
    folder = folder / f"wav-{num_clips}-{sample_rate}-{duration_seconds:g}s"
    table = folder / "labels.csv"
    if table.exists():
        return table
    folder.mkdir(parents=True, exist_ok=True)
    sounds = [
        (
            label,
            synthesize(
                label,
                sample_rate=sample_rate,
                duration_seconds=duration_seconds,
                generator=numpy_generator("clip set", label, take),
            ),
        )
        for take in range(min(TAKES_PER_CLASS, -(-num_clips // len(GESTURES))))
        for label in GESTURES
    ]
    generator = numpy_generator("clip set", "turns")
    lines = ["path,label"]
    for number in range(num_clips):
        label, sound = sounds[number % len(sounds)]
        name = f"{number:06d}.wav"
        turned = np.roll(sound, int(generator.integers(len(sound))))
        soundfile.write(folder / name, turned, sample_rate, subtype="PCM_16")
        lines.append(f"{name},{label}")
    table.write_text("\n".join(lines) + "\n")  # last, so that a set without a table is one that was interrupted
    return table


def write_flac_files(dataset: Dataset, folder: Path) -> list[Path]:
    """Write the clips of a flac dataset as FLAC files, byte by byte as they are packed; files that are there are kept.

    Args:
        dataset: of codec flac.
        folder: where to; made if it is not there.

    Returns:
        The files, in the order of the dataset, beside a table of layout ``csv``.
    """
    paths = [folder / f"{row:06d}.flac" for row in range(len(dataset))]
    table = folder / "labels.csv"
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        lines = ["path,label"]
        for row, path in enumerate(paths):
            path.write_bytes(dataset.payload(row).tobytes())
            (label,) = dataset.table.targets(np.array([row]), len(dataset.class_names))[0].nonzero()[0]
            lines.append(f"{path.name},{dataset.class_names[label]}")
        table.write_text("\n".join(lines) + "\n")  # last, as above
    return paths


def announce_size(folder: Path, needed: float, announce: Callable[[str], None]) -> None:
    """Say how many bytes a benchmark may put into a folder.

    Raises:
        RequestError: there is no room for them.
    """
    free = shutil.disk_usage(folder).free
    announce(f"the clips take up to {needed / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f} GB free")
    if needed > free:
        raise RequestError(
            f"{folder} has {free / 1e9:.1f} GB free, but the clips may take {needed / 1e9:.1f} GB in all their forms. "
            "Ask for fewer with --clips, or name another place with --folder."
        )
