"""The made-up clips that loading is measured on: WAV files with the dynamics of sound, written once."""

from pathlib import Path

import numpy as np
import soundfile

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
