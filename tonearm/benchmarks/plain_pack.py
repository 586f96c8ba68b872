"""Packing as most people write it: one process, a loop of soundfile, an HDF5 file. What packing is compared with."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import soundfile


def pack_rows(paths: Sequence[Path], out: Path) -> None:
    """Write clips of equal length as rows of one (clips, time) int16 dataset, on the disk when this returns."""
    with h5py.File(out, "w") as file:
        rows = file.create_dataset("waveform", (len(paths), soundfile.info(paths[0]).frames), np.int16)
        for place, path in enumerate(paths):
            rows[place], _ = soundfile.read(path, dtype="int16")
    _reach_the_disk(out)


def pack_flac(paths: Sequence[Path], out: Path) -> None:
    """Write clips as FLAC, each a variable-length row of bytes, on the disk when this returns."""
    with h5py.File(out, "w") as file:
        rows = file.create_dataset("flac", (len(paths),), h5py.vlen_dtype(np.uint8))
        for place, path in enumerate(paths):
            samples, rate = soundfile.read(path, dtype="int16")
            encoded = io.BytesIO()
            soundfile.write(encoded, samples, rate, format="FLAC", subtype="PCM_16")
            rows[place] = np.frombuffer(encoded.getvalue(), np.uint8)
    _reach_the_disk(out)


def _reach_the_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
