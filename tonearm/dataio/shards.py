"""One shard: the file format, written and read.

Shard format 1
==============

A shard is an HDF5 file of about 256 MiB. Everything in it is plain, so that h5py, h5dump and MATLAB show the audio
without tonearm::

    /               attributes: format_version, dataset, class_names, codec, sample_rate, num_channels, shard,
                    num_shards, manifest_sha256, pack_sha256, tonearm_version, soxr_version,
                    libsndfile_version (the library that holds libFLAC), hdf5_version
    /audio          one 1-D dataset, contiguous, allocated early, never filled, no filter.
                    codec pcm16: int16, the samples themselves, channels interleaved, 1.0 is 32768.
                    codec flac: uint8, one FLAC stream a clip, 16 bits. codec source: uint8, the original files.
    /clips/*        one column a fact, see tonearm.dataio.columns
    /crc32          uint32, the CRC-32 (zlib) of every 65,536-byte block of /audio, the last one shorter

    (user block)    the first 4096 bytes, which HDF5 leaves to its users: the seal, one line of ASCII, then zeros.
                    "tonearm shard 1 OFFSET NBYTES SHA256": where /audio lies in the file, in bytes, and the SHA-256
                    of every byte outside /audio and the user block

- The seal is checked before HDF5 parses the file: damaged metadata can hang or crash the HDF5 library.
- A clip begins on a 64-byte boundary of /audio, and the gap before it is zero. An /audio of 64 KiB or more begins on a
  4096-byte boundary of the file, so that clips are aligned in a memory map too. /audio is never empty: 64 zero bytes
  stand in a shard all of whose clips were rejected.
- /audio lies in the file as it lies in memory: its offset is taken once, the file is mapped, and a clip is a view.
  HDF5 itself stays off the hot path.
- HDF5 timestamps are off. The same clips, settings and library versions give the same bytes.
- A shard is written under a temporary name, flushed, fsynced and renamed. It is never changed afterwards.
"""

import hashlib
import mmap
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib

from tonearm.dataio.atomic import atomic_path
from tonearm.dataio.columns import (
    ALIGNMENT,
    CODECS,
    Array,
    ClipTable,
    check_columns,
    encode_strings,
    read_columns,
    write_columns,
)
from tonearm.dataio.manifest import Clip
from tonearm.errors import RunError, ShardError

FORMAT_VERSION = 1
CRC_BLOCK = 65_536
_FILE_ALIGNMENT = 4096
_SEAL_BYTES = 4096
_SEAL = re.compile(rb"tonearm shard (\d{1,9}) (\d{1,15}) (\d{1,15}) ([0-9a-f]{64})\n\0*")
_LIBRARIES = ("tonearm", "soxr", "libsndfile", "hdf5")


@dataclass(frozen=True)
class DatasetHeader:
    """What all shards of a dataset have in common."""

    name: str
    class_names: tuple[str, ...]
    codec: str
    sample_rate: int
    num_channels: int
    num_shards: int
    manifest_sha256: str
    pack_sha256: str  # of the manifest, the settings, the library versions and what the files' headers said
    versions: dict[str, str]


@dataclass(frozen=True)
class PackedClip:
    """A clip ready to be written: its row of the manifest and its bytes.

    Attributes:
        clip: what the manifest says.
        payload: 1-D, in the dtype of the codec.
        num_frames: samples in each channel.
        peak, rms: levels, 1 is full scale.
        num_clipped: samples that lay beyond full scale.
    """

    clip: Clip
    payload: Array
    num_frames: int
    peak: float
    rms: float
    num_clipped: int


@dataclass(frozen=True)
class Shard:
    """A shard whose metadata was read and checked; /audio itself is untouched.

    Attributes:
        path: the file.
        number: its place in the dataset.
        header: the dataset's.
        table: the columns.
        audio_offset, audio_nbytes: where /audio lies in the file.
        crc32: one checksum a block of /audio.
        metadata_sha256: of every byte outside /audio and the user block.
    """

    path: Path
    number: int
    header: DatasetHeader
    table: ClipTable
    audio_offset: int
    audio_nbytes: int
    crc32: Array
    metadata_sha256: str


SHARD_NAME = re.compile(r"shard-\d{5,}\.h5")


def shard_name(number: int) -> str:
    """The file name of a shard."""
    return f"shard-{number:05d}.h5"


def write_shard(path: Path, header: DatasetHeader, number: int, clips: list[PackedClip]) -> None:
    """Write a shard, atomically. The payloads are in memory twice for a moment.

    Raises:
        RunError: the disk is full, or the folder cannot be written to.
    """
    audio, offsets = _lay_out(clips, CODECS[header.codec])
    try:
        with atomic_path(path) as temporary:
            with _create(temporary) as file:
                attributes = {"format_version": FORMAT_VERSION, "shard": number, **_header_attributes(header)}
                for key, value in attributes.items():
                    file.attrs.create(key, value)
                _create_audio(file, audio)
                offset = file["audio"].id.get_offset()
                write_columns(file.create_group("clips"), _tabulate(clips, offsets, header, number), with_shard=False)
                file.create_dataset("crc32", data=block_crcs(audio.view(np.uint8)), track_times=False)
            seal(temporary, offset, audio.nbytes)
    except OSError as error:
        free, needed = shutil.disk_usage(path.parent).free / 1e6, audio.nbytes / 1e6
        why = error.strerror or str(error).splitlines()[0]
        raise RunError(
            f"{path}: cannot be written ({why}); the disk has {free:,.1f} MB free, this shard needs {needed:,.1f} MB. "
            "Make room and run the same command again; it goes on from there."
        ) from error


def read_shard(path: Path) -> Shard:
    """Open a shard with HDF5, read its metadata and check it; the audio is not read.

    Raises:
        ShardError: not a sealed shard, another format version, or metadata that contradicts itself.
    """
    try:
        sealed = check_seal(path)
        with h5py.File(path, "r", locking=False) as file:
            header, number = _read_header(file, path)
            audio, crc = file.get("audio"), file.get("crc32")
            if not isinstance(audio, h5py.Dataset) or not isinstance(crc, h5py.Dataset):
                raise ShardError(f"{path}: /audio or /crc32 is missing. The shard is damaged; pack it again.")
            offset = audio.id.get_offset()
            if audio.dtype != CODECS[header.codec] or audio.ndim != 1 or offset is None:
                raise ShardError(f"{path}: /audio is not the contiguous 1-D array that codec {header.codec!r} has.")
            nbytes = audio.size * audio.dtype.itemsize
            if (offset, nbytes) != sealed[:2]:
                raise ShardError(
                    f"{path}: /audio does not lie where the seal says. The shard is damaged; pack it again."
                )
            if crc.shape != (-(-nbytes // CRC_BLOCK),) or crc.dtype != np.uint32:
                raise ShardError(f"{path}: /crc32 does not have one entry for each block of /audio.")
            clips = file.get("clips")
            if not isinstance(clips, h5py.Group):
                raise ShardError(f"{path}: /clips is missing. The shard is damaged; pack it again.")
            table = read_columns(clips, where=str(path), shard=0, max_bytes=path.stat().st_size)
            check_columns(
                table, where=str(path), codec=header.codec, sample_rate=header.sample_rate,
                num_channels=header.num_channels, num_classes=len(header.class_names),
                audio_sizes=np.array([audio.size]),
            )  # fmt: skip
            table.shard[:] = number
            return Shard(path, number, header, table, int(offset), int(nbytes), crc[:], sealed[2])
    except ShardError:
        raise
    except FileNotFoundError:
        raise ShardError(f"{path}: no such file. Run tonearm pack again to complete the dataset.") from None
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ShardError(f"{path}: not a readable shard ({error}). Pack it again.") from error


def seal(path: Path, audio_offset: int, audio_nbytes: int) -> None:
    """Write the user block of a file that is otherwise complete."""
    digest = _metadata_sha256(path, audio_offset, audio_nbytes)
    with path.open("r+b") as file:
        file.write(f"tonearm shard {FORMAT_VERSION} {audio_offset} {audio_nbytes} {digest}\n".encode())


def check_seal(path: Path) -> tuple[int, int, str]:
    """Where /audio begins, how many bytes it has, and the SHA-256 of the metadata, which was found to be right.

    Raises:
        ShardError: no tonearm shard of this format, cut short, or metadata that is not what was packed.
    """
    with path.open("rb") as file:
        block = file.read(_SEAL_BYTES)
    found = _SEAL.fullmatch(block)
    if found is None or len(block) != _SEAL_BYTES:
        raise ShardError(
            f"{path}: not a tonearm shard: the seal in its first {_SEAL_BYTES} bytes is missing or damaged. Delete it "
            "and pack again."
        )
    version, offset, nbytes, digest = int(found[1]), int(found[2]), int(found[3]), found[4].decode()
    if version != FORMAT_VERSION:
        raise ShardError(
            f"{path}: shard format {version}, but this tonearm reads format {FORMAT_VERSION}. "
            "Pack the dataset again with this version, or install the version that wrote it."
        )
    if offset < _SEAL_BYTES or offset + nbytes > path.stat().st_size:
        raise ShardError(f"{path}: cut short, /audio ends beyond the file. Delete it and pack again.")
    if _metadata_sha256(path, offset, nbytes) != digest:
        raise ShardError(f"{path}: its metadata is not what was packed (SHA-256 differs). Delete it and pack again.")
    return offset, nbytes, digest


def _metadata_sha256(path: Path, audio_offset: int, audio_nbytes: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(_SEAL_BYTES)
        digest.update(file.read(audio_offset - _SEAL_BYTES))
        file.seek(audio_offset + audio_nbytes)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def map_audio(path: Path, audio_offset: int, audio_nbytes: int) -> Array:
    """Map /audio read-only as bytes; pages are read when touched."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, np.uint8, count=audio_nbytes, offset=audio_offset)


def block_crcs(audio: Array) -> Array:
    """The CRC-32 of each 65,536-byte block of ``audio`` (uint8)."""
    starts = range(0, len(audio), CRC_BLOCK)
    return np.array([isal_zlib.crc32(audio[start : start + CRC_BLOCK].data) for start in starts], np.uint32)


def damaged_clips(shard: Shard) -> list[str]:
    """Read all of /audio and return the ids of clips that lie in a block whose CRC does not match."""
    audio = map_audio(shard.path, shard.audio_offset, shard.audio_nbytes)
    bad = np.flatnonzero(block_crcs(audio) != shard.crc32)
    itemsize = CODECS[shard.header.codec].itemsize
    first = shard.table.offset * itemsize // CRC_BLOCK
    last = ((shard.table.offset + shard.table.size) * itemsize - 1) // CRC_BLOCK
    # a clip is hit when a bad block's number lies in [first, last]
    hit = np.searchsorted(bad, first, side="left") < np.searchsorted(bad, last, side="right")
    return [clip_id.decode() for clip_id in shard.table.clip_id[hit]] or (["(padding)"] if len(bad) else [])


def _lay_out(clips: list[PackedClip], dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """All payloads in one zeroed array, each on a 64-byte boundary, and where each begins, in elements."""
    unit = ALIGNMENT // dtype.itemsize
    padded = np.array([-(-len(clip.payload) // unit) * unit for clip in clips], np.int64)
    offsets = np.concatenate([[0], np.cumsum(padded)]).astype(np.int64)
    audio = np.zeros(max(int(offsets[-1]), unit), dtype)
    for clip, start in zip(clips, offsets, strict=False):
        audio[start : start + len(clip.payload)] = clip.payload
    return audio, offsets[:-1]


def _tabulate(clips: list[PackedClip], offsets: Array, header: DatasetHeader, number: int) -> ClipTable:
    def column(values: list[Any], dtype: str) -> Array:
        return np.array(values, np.dtype(dtype))

    return ClipTable(
        offset=offsets,
        size=column([len(packed.payload) for packed in clips], "<i8"),
        num_frames=column([packed.num_frames for packed in clips], "<i8"),
        sample_rate=column([header.sample_rate] * len(clips), "<i4"),
        num_channels=column([header.num_channels] * len(clips), "<i4"),
        clip_id=encode_strings([packed.clip.clip_id for packed in clips]),
        group=encode_strings([packed.clip.group for packed in clips]),
        split=encode_strings([packed.clip.split for packed in clips]),
        subset=encode_strings([packed.clip.subset for packed in clips]),
        fold=column([packed.clip.fold for packed in clips], "<i4"),
        peak=column([packed.peak for packed in clips], "<f4"),
        rms=column([packed.rms for packed in clips], "<f4"),
        num_clipped=column([packed.num_clipped for packed in clips], "<i8"),
        label_indptr=column([0, *np.cumsum([len(packed.clip.labels) for packed in clips])], "<i8"),
        label_indices=column([label for packed in clips for label in packed.clip.labels], "<i4"),
        shard=np.full(len(clips), number, np.int32),
    )


def _create(path: Path) -> h5py.File:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    # HDF5 1.10's format: class names may be more than the 64 KiB that older formats allow an attribute
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_alignment(CRC_BLOCK, _FILE_ALIGNMENT)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    creation.set_userblock(_SEAL_BYTES)
    return h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_TRUNC, fcpl=creation, fapl=access))


def _create_audio(file: h5py.File, audio: Array) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    space = h5py.h5s.create_simple(audio.shape)
    kind = h5py.h5t.py_create(audio.dtype)
    h5py.Dataset(h5py.h5d.create(file.id, b"audio", kind, space, dcpl=creation)).write_direct(audio)


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


def _read_header(file: h5py.File, path: Path) -> tuple[DatasetHeader, int]:
    attributes = file.attrs
    if attributes.get("format_version") != FORMAT_VERSION:
        raise ShardError(f"{path}: the attribute format_version is not that of the seal. Delete it and pack again.")

    def text(key: str) -> str:
        return bytes(attributes[key]).decode()

    def number(key: str) -> int:
        value = attributes[key]
        if np.ndim(value) != 0 or not np.issubdtype(np.asarray(value).dtype, np.integer):
            raise ShardError(f"{path}: the attribute {key!r} must be one integer, got {value!r}.")
        return int(value)

    header = DatasetHeader(
        name=text("dataset"),
        class_names=tuple(bytes(name).decode() for name in attributes["class_names"]),
        codec=text("codec"),
        sample_rate=number("sample_rate"),
        num_channels=number("num_channels"),
        num_shards=number("num_shards"),
        manifest_sha256=text("manifest_sha256"),
        pack_sha256=text("pack_sha256"),
        versions={library: text(f"{library}_version") for library in _LIBRARIES},
    )
    if header.codec not in CODECS:
        raise ShardError(f"{path}: codec {header.codec!r}, this tonearm reads {', '.join(CODECS)}.")
    return header, number("shard")
