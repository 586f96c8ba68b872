"""The smaller half of writing a shard: HDF5 around the audio that a worker has put into the file.

A rejected clip leaves its shard shorter, so that the size of /audio is known last of all. Where /audio begins depends
on what stands before it alone, which is known first of all: the audio is written there, then HDF5 makes a file with a
hole of that size in memory, and what surrounds the hole is written around the audio.
"""

import hashlib
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from tonearm.dataio.columns import CODECS, ClipTable, encode_strings, write_columns
from tonearm.dataio.manifest import Clip
from tonearm.dataio.memory_file import MemoryFile
from tonearm.dataio.planned import EncodedClip, ShardTask, WrittenAudio
from tonearm.dataio.shard_layout import CRC_BLOCK, Array, DatasetHeader
from tonearm.dataio.shards import FORMAT_VERSION, SEAL_BYTES, Seal, Shard, seal_line

_FILE_ALIGNMENT = 4096


class _Frame(NamedTuple):
    """A shard but for the content of /audio: the file, where /audio and /crc32 begin in it, and the columns."""

    image: MemoryFile
    audio_offset: int
    crc_offset: int
    table: ClipTable


def find_audio(header: DatasetHeader) -> int:
    """Where an /audio of a block or more begins in every shard of a dataset: what comes after does not change that."""
    kind = CODECS[header.codec]
    with _create(MemoryFile(), header, 0) as file:
        return _create_audio(file, CRC_BLOCK // kind.itemsize, kind)


def complete_shard(path: Path, task: ShardTask, begin: int, written: WrittenAudio) -> Shard:
    """Make a shard of a file that holds its audio.

    Args:
        path: the file, which does not have its name yet.
        task: the shard.
        begin: where the audio was put.
        written: what was put there.

    Returns:
        The shard under the name that it will have.

    Raises:
        OSError: the disk is full.
    """
    frame = _build(task.header, task.number, written)
    end = frame.audio_offset + written.num_bytes
    with path.open("r+b", buffering=0) as file:
        if frame.audio_offset != begin:
            _move(file, begin, frame.audio_offset, written.num_bytes)
        before, after = frame.image.read_at(SEAL_BYTES, frame.audio_offset - SEAL_BYTES), frame.image.read_from(end)
        digest = hashlib.sha256(before + after).hexdigest()
        facts = Seal(frame.audio_offset, written.num_bytes, frame.crc_offset, digest)
        _write_at(file, end, after)
        file.truncate(end + len(after))
        _write_at(file, 0, seal_line(facts).ljust(SEAL_BYTES, b"\0") + before)
    return Shard(
        task.path, task.number, task.header, frame.table, frame.audio_offset, written.num_bytes, written.crc32, digest
    )


def _move(file: FileIO, begin: int, target: int, num_bytes: int) -> None:
    """Move the audio of a shard of less than a block, which HDF5 aligns less."""
    if num_bytes >= CRC_BLOCK:
        raise RuntimeError(f"HDF5 put /audio at {target}, not at {begin} as it did before")
    file.seek(begin)
    audio = file.read(num_bytes)
    _write_at(file, target, audio)


def _write_at(file: FileIO, place: int, data: bytes) -> None:
    view = memoryview(data)
    file.seek(place)
    while view:
        view = view[file.write(view) :]


def _build(header: DatasetHeader, number: int, written: WrittenAudio) -> _Frame:
    image = MemoryFile()
    table = _tabulate(written.clips, header, number)
    kind = CODECS[header.codec]
    with _create(image, header, number) as file:
        audio_offset = _create_audio(file, written.num_bytes // kind.itemsize, kind)
        write_columns(file.create_group("clips"), table, with_shard=False)
        crc_offset = int(file.create_dataset("crc32", data=written.crc32, track_times=False).id.get_offset())
    return _Frame(image, audio_offset, crc_offset, table)


def _tabulate(clips: list[tuple[Clip, EncodedClip, int]], header: DatasetHeader, number: int) -> ClipTable:
    itemsize = CODECS[header.codec].itemsize

    def column(values: list[Any], dtype: str) -> Array:
        return np.array(values, np.dtype(dtype))

    return ClipTable(
        offset=column([place // itemsize for *_, place in clips], "<i8"),
        size=column([encoded.num_bytes // itemsize for _, encoded, _ in clips], "<i8"),
        num_frames=column([encoded.num_frames for _, encoded, _ in clips], "<i8"),
        sample_rate=np.full(len(clips), header.sample_rate, "<i4"),
        num_channels=np.full(len(clips), header.num_channels, "<i4"),
        clip_id=encode_strings([clip.clip_id for clip, *_ in clips]),
        group=encode_strings([clip.group for clip, *_ in clips]),
        split=encode_strings([clip.split for clip, *_ in clips]),
        subset=encode_strings([clip.subset for clip, *_ in clips]),
        fold=column([clip.fold for clip, *_ in clips], "<i4"),
        peak=column([encoded.peak for _, encoded, _ in clips], "<f4"),
        rms=column([encoded.rms for _, encoded, _ in clips], "<f4"),
        num_clipped=column([encoded.num_clipped for _, encoded, _ in clips], "<i8"),
        label_indptr=column([0, *np.cumsum([len(clip.labels) for clip, *_ in clips])], "<i8"),
        label_indices=column([label for clip, *_ in clips for label in clip.labels], "<i4"),
        shard=np.full(len(clips), number, np.int32),
    )


def _create(image: MemoryFile, header: DatasetHeader, number: int) -> h5py.File:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # HDF5 1.10's format: class names may be more than the 64 KiB that older formats allow an attribute
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_alignment(CRC_BLOCK, _FILE_ALIGNMENT)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, image)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    creation.set_userblock(SEAL_BYTES)
    file = h5py.File(h5py.h5f.create(b"shard", h5py.h5f.ACC_TRUNC, fcpl=creation, fapl=access))
    attributes = {"format_version": FORMAT_VERSION, "shard": number, **_header_attributes(header)}
    for key, value in attributes.items():
        file.attrs.create(key, value)
    return file


def _create_audio(file: h5py.File, num_elements: int, kind: np.dtype[Any]) -> int:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    space = h5py.h5s.create_simple((num_elements,))
    return int(h5py.h5d.create(file.id, b"audio", h5py.h5t.py_create(kind), space, dcpl=creation).get_offset())


def _header_attributes(header: DatasetHeader) -> dict[str, Any]:
    def text(value: str) -> Array:
        encoded = value.encode()
        return np.array(encoded, dtype=h5py.string_dtype("utf-8", len(encoded)))

    names = encode_strings(header.class_names)
    return {
        "dataset": text(header.name),
        "class_names": names.astype(h5py.string_dtype("utf-8", names.dtype.itemsize)),
        "codec": text(header.codec),
        "sample_rate": header.sample_rate,
        "num_channels": header.num_channels,
        "num_shards": header.num_shards,
        "manifest_sha256": text(header.manifest_sha256),
        "pack_sha256": text(header.pack_sha256),
        **{f"{library}_version": text(version) for library, version in header.versions.items()},
    }
