"""A packed dataset back to one file a clip, beside a table that packs them again."""

import csv
import io
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import soundfile

from tonearm.dataio.atomic import write_text
from tonearm.dataio.audio_file import encode_flac
from tonearm.dataio.clip_rows import clips_of
from tonearm.dataio.columns import Array
from tonearm.dataio.dataset import DamagedClipError, Dataset, open_dataset
from tonearm.dataio.encode import flac_limits
from tonearm.dataio.file_names import file_stems
from tonearm.dataio.free_space import room_left
from tonearm.dataio.label_cells import join_labels
from tonearm.dataio.manifest import NO_FOLD, Clip
from tonearm.dataio.workers import available_cores
from tonearm.errors import AudioError, RequestError, RunError

TABLE = "labels.csv"
FILE_FORMATS = ("wav", "flac")
_SUFFIXES = {"WAV": ".wav", "WAVEX": ".wav", "FLAC": ".flac", "OGG": ".ogg"}
_BATCH = 256  # clips handed to the threads at once

# subtype of a source -> what to read it as, and the subtypes of WAV and FLAC that hold every such value
_EXACT: dict[str, tuple[str, str, str | None]] = {
    "PCM_24": ("int32", "PCM_24", "PCM_24"),
    "PCM_32": ("int32", "PCM_32", None),
    "FLOAT": ("float32", "FLOAT", None),
    "DOUBLE": ("float64", "DOUBLE", None),
    "VORBIS": ("float32", "FLOAT", None),
    "OPUS": ("float32", "FLOAT", None),
}
_EXACT_16 = ("int16", "PCM_16", "PCM_16")  # 8 and 16 bits, and what decodes to them: mu-law, A-law, ADPCM


@dataclass(frozen=True)
class UnpackSummary:
    """What an unpack did.

    Attributes:
        num_clips: clips that were written.
        num_bytes: size of their files.
        problems: one line for each clip that was not, naming it.
    """

    num_clips: int
    num_bytes: int
    problems: tuple[str, ...]


def unpack_dataset(
    out: str | Path,
    folder: str | Path,
    *,
    file_format: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> UnpackSummary:
    """Write every clip of a packed dataset to a file of its own, and ``labels.csv`` beside them.

    The table gives each file's clip id, labels, fold, split, group and subset: the layout ``csv`` packs it again, to
    the same samples. Classes are numbered by name then, so that a label may have another number than here. A file is
    called like its clip, made harmless: see :mod:`tonearm.dataio.file_names`. A clip that is damaged is left out and
    named; the others are written. ``labels.csv`` comes last: without it the unpack is not complete. One that was
    interrupted is not taken up again: empty the folder first.

    Args:
        out: the packed dataset.
        folder: where to write, empty or not there yet.
        file_format: "wav" or "flac", without loss. By default what is nearest: WAV for codec pcm16, for flac the FLAC
            streams themselves, for source the original files.
        progress: called with (clips done, clips in all).

    Returns:
        What was done.

    Raises:
        RequestError: no packed dataset, a folder that holds something, or a format that cannot hold the clips.
        ShardError: the dataset's index is damaged.
        RunError: the disk is full, or the folder cannot be written to.
    """
    out, folder = Path(out), Path(folder)
    if file_format is not None and file_format not in FILE_FORMATS:
        raise RequestError(f"file_format (--format) is {file_format!r}; it may be {' or '.join(FILE_FORMATS)}.")
    dataset = open_dataset(out)
    limits = flac_limits(dataset.sample_rate, dataset.num_channels)
    if file_format == "flac" and limits is not None:
        raise RequestError(
            f"{out} has {dataset.num_channels} channels at {dataset.sample_rate} Hz; {limits}. Use --format wav."
        )
    _make_folder(folder, out)
    clips = clips_of(dataset.table)
    stems = file_stems(clip.clip_id for clip in clips)
    write = partial(_write_clip, dataset, folder, stems, file_format)
    written: list[tuple[str, Clip]] = []
    num_bytes, problems = 0, []
    if progress is not None:
        progress(0, len(clips))
    with ThreadPoolExecutor(available_cores()) as threads:  # libsndfile encodes outside Python's lock
        for start in range(0, len(clips), _BATCH):
            rows = range(start, min(start + _BATCH, len(clips)))
            for row, done in zip(rows, threads.map(write, rows), strict=True):
                if isinstance(done, str):
                    problems.append(done)
                else:
                    written.append((done.name, clips[row]))
                    num_bytes += done.size
                if progress is not None:
                    progress(row + 1, len(clips))
    _write_table(folder, written, dataset.class_names)
    return UnpackSummary(len(written), num_bytes, tuple(problems))


class _Written(NamedTuple):
    name: str
    size: int


def _write_clip(dataset: Dataset, folder: Path, stems: list[str], file_format: str | None, row: int) -> _Written | str:
    """Write one clip; text is why it could not be read."""
    try:
        suffix, data = _encode(dataset, row, file_format)
    except DamagedClipError as error:
        return str(error)
    except AudioError as error:
        return f"{dataset.where_is(row)}: {error}."
    except soundfile.LibsndfileError as error:
        return f"{dataset.where_is(row)}: does not decode ({error.error_string})"
    name = stems[row] + suffix
    try:
        (folder / name).write_bytes(data)
    except OSError as error:
        (folder / name).unlink(missing_ok=True)
        raise _cannot_write(folder / name, error) from error
    return _Written(name, len(data))


def _cannot_write(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path}: cannot be written ({error.strerror or error}); {room_left(path.parent)}. Make room, empty the folder "
        "and unpack again."
    )


def _encode(dataset: Dataset, row: int, file_format: str | None) -> tuple[str, bytes]:
    """Suffix and content of a clip's file."""
    rate = dataset.sample_rate
    num_frames = int(dataset.table.num_frames[row])
    if dataset.header.codec == "pcm16":
        pcm = dataset.pcm(row, 0, num_frames)
        return (".flac", encode_flac(pcm, rate)) if file_format == "flac" else (".wav", _encode_as(pcm, rate, "WAV"))
    payload = dataset.payload(row).tobytes()
    info = soundfile.info(io.BytesIO(payload))
    if info.format not in _SUFFIXES:
        raise AudioError(f"its bytes are {info.format}, which is not what is packed")
    suffix = _SUFFIXES[info.format]
    if file_format is None or suffix == f".{file_format}":
        return suffix, payload
    dtype, wav, flac = _EXACT.get(info.subtype, _EXACT_16)
    subtype = flac if file_format == "flac" else wav
    if subtype is None:
        raise AudioError(f"FLAC cannot hold its samples ({info.subtype}); unpack with --format wav")
    samples, _ = soundfile.read(io.BytesIO(payload), dtype=dtype, always_2d=True)
    if len(samples) != num_frames:
        raise AudioError(f"{len(samples)} frames decoded, {num_frames} were packed")
    return f".{file_format}", _encode_as(samples, rate, file_format.upper(), subtype)


def _encode_as(samples: Array, sample_rate: int, container: str, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format=container, subtype=subtype)
    return file.getvalue()


def _make_folder(folder: Path, out: Path) -> None:
    if folder.is_file():
        raise RequestError(f"{folder}: a file, not a folder. Give a folder for the files.")
    if folder.resolve().is_relative_to(out.resolve()):
        raise RequestError(f"{folder} lies in the packed dataset. Give a folder of its own for the files.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = next(folder.iterdir(), None)
    except OSError as error:
        raise RequestError(f"{folder}: cannot use this folder ({error.strerror}). Give another one.") from error
    if held is not None:
        raise RequestError(
            f"{folder} is not empty, it holds {held.name!r}. Give an empty folder, or one that is not there yet. If an "
            "interrupted unpack left it, empty or remove it first."
        )


def _write_table(folder: Path, written: list[tuple[str, Clip]], class_names: tuple[str, ...]) -> None:
    several = any(len(clip.labels) > 1 for _, clip in written)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["path", "labels" if several else "label", "fold", "split", "group", "subset", "clip_id"])
    for name, clip in written:
        labels = [class_names[label] for label in clip.labels]
        cell = join_labels(labels) if several else labels[0]
        fold = "" if clip.fold == NO_FOLD else clip.fold
        rows.writerow([name, cell, fold, clip.split, clip.group, clip.subset, clip.clip_id])
    if sys.platform != "win32":
        os.sync()  # the table says that all files are there: not before they are on the disk
    try:
        write_text(folder / TABLE, text.getvalue())
    except OSError as error:
        raise _cannot_write(folder / TABLE, error) from error
