"""One shard: the file format, and reading it; :mod:`tonearm.dataio.shard_writer` writes it.

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
                    "tonearm shard 1 AUDIO NBYTES CRC32 SHA256": where /audio begins in the file and how many bytes it
                    has, where /crc32 begins, and the SHA-256 of every byte outside /audio and the user block

- The seal is checked before HDF5 parses the file: damaged metadata can hang or crash the HDF5 library. To read clips,
  the seal and the index are enough: HDF5 does not parse a shard then.
- A clip begins on a 64-byte boundary of /audio, and the gap before it is zero. An /audio of 64 KiB or more begins on a
  4096-byte boundary of the file, so that clips are aligned in a memory map too. /audio is never empty: 64 zero bytes
  stand in a shard all of whose clips were rejected.
- /audio lies in the file as it lies in memory: its offset is taken once, the file is mapped, and a clip is a view.
  HDF5 itself stays off the hot path.
- HDF5 timestamps are off. The same clips, settings and library versions give the same bytes.
- A shard is written under a temporary name, flushed, fsynced and renamed. It is never changed afterwards.
"""

import hashlib
import re
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from isal import isal_zlib

from tonearm.dataio.columns import CODECS, Array, ClipTable, check_columns, read_columns
from tonearm.dataio.shard_layout import CRC_BLOCK as CRC_BLOCK
from tonearm.dataio.shard_layout import DatasetHeader as DatasetHeader
from tonearm.dataio.shard_layout import shard_name as shard_name
from tonearm.errors import ShardError

FORMAT_VERSION = 1
SEAL_BYTES = 4096
_READ_BYTES = 4 << 20
SEAL_MARK = b"tonearm shard "  # what a shard of any format begins with
_SEAL = re.compile(SEAL_MARK + rb"(\d{1,9}) (\d{1,15}) (\d{1,15}) (\d{1,15}) ([0-9a-f]{64})\n\0*")
# what to do about a damaged or missing shard, the sentence that ends a message
MADE_ANEW = "Run the `tonearm pack` or `append` that wrote it again: it is made anew."
_LIBRARIES = ("tonearm", "soxr", "libsndfile", "hdf5")


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
                raise ShardError(f"{path}: /audio or /crc32 is missing. {MADE_ANEW}")
            offset = audio.id.get_offset()
            if audio.dtype != CODECS[header.codec] or audio.ndim != 1 or offset is None:
                raise ShardError(f"{path}: /audio is not the contiguous 1-D array that codec {header.codec!r} has.")
            nbytes = audio.size * audio.dtype.itemsize
            if (offset, nbytes) != sealed[:2]:
                raise ShardError(f"{path}: /audio does not lie where the seal says. {MADE_ANEW}")
            if crc.shape != (num_blocks(nbytes),) or crc.dtype != np.uint32:
                raise ShardError(f"{path}: /crc32 does not have one entry for each block of /audio.")
            clips = file.get("clips")
            if not isinstance(clips, h5py.Group):
                raise ShardError(f"{path}: /clips is missing. {MADE_ANEW}")
            table = read_columns(clips, where=str(path), shard=0, max_bytes=path.stat().st_size)
            check_columns(
                table, where=str(path), codec=header.codec, sample_rate=header.sample_rate,
                num_channels=header.num_channels, num_classes=len(header.class_names),
                audio_sizes=np.array([audio.size]),
            )  # fmt: skip
            table.shard[:] = number
            return Shard(path, number, header, table, int(offset), int(nbytes), crc[:], sealed.metadata_sha256)
    except ShardError:
        raise
    except FileNotFoundError:
        raise ShardError(f"{path}: no such file. {MADE_ANEW}") from None
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, OverflowError, MemoryError) as error:
        raise ShardError(f"{path}: not a readable shard ({error}). {MADE_ANEW}") from error


class Seal(NamedTuple):
    """What the user block of a shard says: places in the file, in bytes, and the hash of its metadata."""

    audio_offset: int
    audio_nbytes: int
    crc_offset: int
    metadata_sha256: str


def seal(path: Path, audio_offset: int, audio_nbytes: int, crc_offset: int) -> None:
    """Write the user block of a file that is otherwise complete."""
    digest = _metadata_sha256(path, audio_offset, audio_nbytes)
    with path.open("r+b") as file:
        file.write(seal_line(Seal(audio_offset, audio_nbytes, crc_offset, digest)))


def seal_line(facts: Seal) -> bytes:
    """What the user block begins with."""
    return SEAL_MARK + f"{FORMAT_VERSION} {' '.join(map(str, facts))}\n".encode()


def check_seal(path: Path) -> Seal:
    """Read the seal of a shard, and find its metadata to be what was sealed.

    Raises:
        ShardError: no tonearm shard of this format, cut short, or metadata that is not what was packed.
    """
    with path.open("rb") as file:
        block = file.read(SEAL_BYTES)
    found = _SEAL.fullmatch(block)
    if found is None or len(block) != SEAL_BYTES:
        foreign = "" if block.startswith(SEAL_MARK) or not block else "Delete it. "  # such a file is not written over
        raise ShardError(
            f"{path}: not a tonearm shard: the seal in its first {SEAL_BYTES} bytes is missing or damaged. "
            f"{foreign}{MADE_ANEW}"
        )
    if int(found[1]) != FORMAT_VERSION:
        raise ShardError(
            f"{path}: shard format {int(found[1])}, but this tonearm reads format {FORMAT_VERSION}. "
            "Pack the dataset again with this version, or install the version that wrote it."
        )
    sealed = Seal(int(found[2]), int(found[3]), int(found[4]), found[5].decode())
    end, crc_end = sealed.audio_offset + sealed.audio_nbytes, sealed.crc_offset + 4 * num_blocks(sealed.audio_nbytes)
    if sealed.audio_offset < SEAL_BYTES or max(end, crc_end) > path.stat().st_size:
        raise ShardError(f"{path}: cut short, /audio or /crc32 ends beyond the file. {MADE_ANEW}")
    if sealed.crc_offset < end and crc_end > sealed.audio_offset:
        raise ShardError(f"{path}: /crc32 lies within /audio. {MADE_ANEW}")
    if _metadata_sha256(path, sealed.audio_offset, sealed.audio_nbytes) != sealed.metadata_sha256:
        raise ShardError(f"{path}: its metadata is not what was packed (SHA-256 differs). {MADE_ANEW}")
    return sealed


def read_crc32(path: Path, sealed: Seal) -> Array:
    """The CRC-32 of each block of /audio, read without HDF5 from where the seal says."""
    return np.fromfile(path, "<u4", count=num_blocks(sealed.audio_nbytes), offset=sealed.crc_offset)


def num_blocks(audio_nbytes: int) -> int:
    """How many blocks, each with a CRC, there are in so many bytes of /audio."""
    return -(-audio_nbytes // CRC_BLOCK)


def _metadata_sha256(path: Path, audio_offset: int, audio_nbytes: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(SEAL_BYTES)
        digest.update(file.read(audio_offset - SEAL_BYTES))
        file.seek(audio_offset + audio_nbytes)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def block_crcs(audio: Array) -> Array:
    """The CRC-32 of each 65,536-byte block of ``audio`` (uint8)."""
    starts = range(0, len(audio), CRC_BLOCK)
    return np.array([isal_zlib.crc32(audio[start : start + CRC_BLOCK].data) for start in starts], np.uint32)


def stored_crcs(shard: Shard) -> Array:
    """Read all of /audio and return the CRC-32 of its blocks as it is now.

    Raises:
        ShardError: the disk cannot read it.
    """
    crcs: list[Array] = []
    buffer = np.empty(_READ_BYTES, np.uint8)
    left = shard.audio_nbytes
    try:
        with shard.path.open("rb", buffering=0) as file:
            file.seek(shard.audio_offset)
            while left:
                count = _fill(file, buffer[: min(left, len(buffer))])
                crcs.append(block_crcs(buffer[:count]))
                left -= count
    except OSError as error:
        if isinstance(error, ShardError):
            raise
        raise ShardError(f"{shard.path}: cannot be read ({error.strerror}).") from error
    return np.concatenate(crcs)


def _fill(file: FileIO, buffer: Array) -> int:
    view, done = buffer.data, 0
    while done < len(view):
        count = file.readinto(view[done:])
        if not count:
            raise ShardError(f"{file.name}: cut short, /audio ends beyond the file. {MADE_ANEW}")
        done += count
    return done


def damaged_clips(shard: Shard) -> list[str]:
    """Read all of /audio and return the ids of clips that lie in a block whose CRC does not match.

    Raises:
        ShardError: the disk cannot read it.
    """
    bad = np.flatnonzero(stored_crcs(shard) != shard.crc32)
    itemsize = CODECS[shard.header.codec].itemsize
    first = shard.table.offset * itemsize // CRC_BLOCK
    last = ((shard.table.offset + shard.table.size) * itemsize - 1) // CRC_BLOCK
    # a clip is hit when a bad block's number lies in [first, last]
    hit = np.searchsorted(bad, first, side="left") < np.searchsorted(bad, last, side="right")
    names = [clip_id.decode(errors="replace") for clip_id in shard.table.clip_id[hit]]
    return names or (["(padding)"] if len(bad) else [])


def _read_header(file: h5py.File, path: Path) -> tuple[DatasetHeader, int]:
    attributes = file.attrs
    if attributes.get("format_version") != FORMAT_VERSION:
        raise ShardError(f"{path}: the attribute format_version is not that of the seal. {MADE_ANEW}")

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
