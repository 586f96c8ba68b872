"""Reading one recording, and judging it: a file is whole and finite, or it is refused with a reason.

Decoders are forgiving in ways that ruin a dataset: libsndfile and DALI read a WAV that was cut short without a word,
as if it had been shorter all along, and hand NaN through. Here everything is decoded once, before it is packed.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tonearm.errors import AudioError

# A container whose header announces more bytes than the file has; libsndfile writes this into its log and reads on.
_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0xFFFFFF00  # sizes from here to 2**32 - 1 mean "not known when the header was written"
_MAX_SAMPLES = 2**30  # 2 GiB as int16: more is not a clip, and headers can claim anything
_BEYOND_FLOAT32 = frozenset({"PCM_32", "DOUBLE"})


@dataclass(frozen=True)
class Probe:
    """What a file's header says.

    Attributes:
        num_frames: samples in each channel, as announced.
        sample_rate: Hz.
        num_channels: channels.
        container: libsndfile's name of the format: WAV, WAVEX, FLAC, OGG, MP3 …
        subtype: PCM_16, FLOAT, VORBIS …
        num_bytes: the file's size.
    """

    num_frames: int
    sample_rate: int
    num_channels: int
    container: str
    subtype: str
    num_bytes: int


def probe(path: Path) -> Probe:
    """Read a file's header.

    Raises:
        AudioError: missing, empty, not audio, cut short, or too long to be a clip. The message is the reason alone:
            the caller knows the name.
    """
    if not path.is_file():
        raise AudioError("no such file")
    num_bytes = path.stat().st_size
    if num_bytes == 0:
        raise AudioError("the file is empty")
    try:
        info = soundfile.info(str(path), verbose=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(f"not readable as audio ({_plain(error)})") from error
    announced = [(int(got), int(there)) for got, there in _SHORT.findall(info.extra_info)]
    if any(there < got < _STREAMED for got, there in announced):
        got, there = announced[0]
        raise AudioError(f"cut short: its header announces {got} bytes, {there} are there")
    if info.format == "OGG" and not _ogg_has_end(path, num_bytes):
        raise AudioError("cut short: the Ogg stream has no last page")
    if info.frames <= 0:
        raise AudioError("it holds no samples")
    if info.frames * info.channels > _MAX_SAMPLES:
        raise AudioError(f"{info.frames} frames of {info.channels} channels are too many for one clip; cut it up")
    return Probe(info.frames, info.samplerate, info.channels, info.format, info.subtype, num_bytes)


def read_samples(path: Path, header: Probe) -> np.ndarray[Any, Any]:
    """Decode a whole file.

    Args:
        path: the file.
        header: what :func:`probe` said of it.

    Returns:
        (frames, channels): int16 as stored for 16-bit PCM and 16-bit FLAC, otherwise float32 or, for 32-bit integers
        and doubles, float64, in [-1, 1] nominally.

    Raises:
        AudioError: it does not decode, ends before the announced length, or holds NaN or infinity.
    """
    if header.subtype == "PCM_16":
        dtype = "int16"
    else:
        dtype = "float64" if header.subtype in _BEYOND_FLOAT32 else "float32"
    try:
        samples, _ = soundfile.read(str(path), dtype=dtype, always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(f"does not decode ({_plain(error)})") from error
    if len(samples) < header.num_frames:
        raise AudioError(f"cut short: {header.num_frames} frames announced, {len(samples)} decoded")
    if samples.dtype != np.int16 and not np.isfinite(samples).all():
        raise AudioError("it holds NaN or infinite samples")
    return samples  # type: ignore[no-any-return]


def decode_bytes(payload: bytes) -> np.ndarray[Any, Any]:
    """Decode an encoded clip held in memory to float32 (frames, channels).

    Raises:
        AudioError: it does not decode.
    """
    try:
        samples, _ = soundfile.read(io.BytesIO(payload), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(f"does not decode ({_plain(error)})") from error
    return samples  # type: ignore[no-any-return]


def encode_flac(samples: np.ndarray[Any, Any], sample_rate: int) -> bytes:
    """Encode int16 (frames, channels) losslessly."""
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _ogg_has_end(path: Path, num_bytes: int) -> bool:
    """Whether the last Ogg page carries the end-of-stream flag (RFC 3533, section 6: header type bit 0x04)."""
    with path.open("rb") as file:
        file.seek(max(0, num_bytes - 65_536))  # a page is at most 65,307 bytes
        tail = file.read()
    page = tail.rfind(b"OggS")
    return page >= 0 and page + 5 < len(tail) and bool(tail[page + 5] & 4)


def _plain(error: Exception) -> str:
    """libsndfile's own words, without the prefix that repeats the path."""
    return str(error).rsplit(": ", 1)[-1].strip().rstrip(".")
