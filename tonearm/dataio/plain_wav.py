"""The commonest recording there is, a WAV of 16-bit samples, read without libsndfile: it opens in half the time.

Only files in which nothing is unusual are taken; all others are None here and libsndfile's to judge. What is taken
means the same to libsndfile: the tests compare.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tonearm.dataio.shard_layout import Array
from tonearm.errors import AudioError

HEADER_BYTES = 1024  # the samples begin within these, or the file is left to libsndfile

_FORMAT = struct.Struct("<HHIIHH")  # tag, channels, rate, bytes a second, bytes a frame, bits a sample
_PCM = 1
_PASSED_OVER = frozenset((b"LIST", b"fact", b"JUNK"))
_MAX_CHANNELS = 64
_MAX_RATE = 768_000


@dataclass(frozen=True)
class PlainWav:
    """Where the samples lie in a plain WAV, and what they are; little-endian int16, channels interleaved."""

    data_offset: int
    num_frames: int
    sample_rate: int
    num_channels: int


def parse_plain_wav(head: bytes, num_bytes: int) -> PlainWav | None:
    """Read the header of a plain WAV: RIFF, one fmt chunk of PCM with 16 bits, and samples that end with the file.

    Args:
        head: the file's first ``HEADER_BYTES``.
        num_bytes: the file's size.

    Returns:
        None for everything else, cut-short files among it.

    Reference:
        IBM and Microsoft: Multimedia Programming Interface and Data Specifications 1.0, 1991, chapter 3 (RIFF, WAVE).
    """
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    if int.from_bytes(head[4:8], "little") + 8 != num_bytes:
        return None
    place = 12
    kind: tuple[int, int] | None = None
    while place + 8 <= len(head):
        name, size, body = head[place : place + 4], int.from_bytes(head[place + 4 : place + 8], "little"), place + 8
        if name == b"fmt ":
            if kind is not None or size != _FORMAT.size or body + size > len(head):
                return None
            tag, channels, rate, byte_rate, frame_bytes, bits = _FORMAT.unpack_from(head, body)
            if (tag, bits, frame_bytes, byte_rate) != (_PCM, 16, 2 * channels, 2 * channels * rate):
                return None
            if not 1 <= channels <= _MAX_CHANNELS or not 1 <= rate <= _MAX_RATE:
                return None
            kind = rate, channels
        elif name == b"data":
            if kind is None or size == 0 or size % (2 * kind[1]) or body + size != num_bytes:
                return None
            return PlainWav(body, size // (2 * kind[1]), *kind)
        elif name not in _PASSED_OVER:
            return None
        place = body + size + size % 2
    return None


def read_plain_wav(path: Path, header: PlainWav, *, start: int, out: Array) -> None:
    """Read samples from the frame ``start`` on, straight into ``out``.

    Args:
        path: the file.
        header: what was found in it before; looked at again, because the file may have been written to since.
        start: the first frame.
        out: (frames, channels) int16, contiguous.

    Raises:
        AudioError: the file cannot be read, or has changed.
    """
    wanted = out.reshape(-1).view(np.uint8).data
    done = 0
    try:
        with path.open("rb", buffering=0) as file:
            num_bytes = header.data_offset + 2 * header.num_channels * header.num_frames
            if parse_plain_wav(file.read(HEADER_BYTES), num_bytes) != header:
                raise AudioError("it changed while the dataset was packed")
            file.seek(header.data_offset + 2 * header.num_channels * start)
            while done < len(wanted) and (count := file.readinto(wanted[done:])):
                done += count
    except AudioError:
        raise
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror})") from error
    if done < len(wanted):
        raise AudioError(f"cut short: {len(wanted)} bytes of samples announced, {done} are there")
