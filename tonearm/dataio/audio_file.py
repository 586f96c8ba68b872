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

from tonearm.dataio.containers import announces_length, check_ogg, count_mpeg_frames
from tonearm.errors import AudioError

# A container whose header announces more bytes than the file has; libsndfile writes this into its log and reads on.
_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7FFFF000  # sizes from here on mean "not known when the header was written" (sox, ffmpeg)
_UNKNOWN_LENGTH = 2**62  # libsndfile's number of frames for a FLAC that was streamed is 2**63 - 1
_MPEG_SLACK = 4 * 1152  # samples by which an MP3's counts differ: encoder delay, padding, the Xing frame
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
    try:
        if not path.is_file():
            raise AudioError("not a file" if path.exists() else "no such file")
        num_bytes = path.stat().st_size
        if num_bytes == 0:
            raise AudioError("the file is empty")
        info = soundfile.info(str(path), verbose=True)
    except AudioError:
        raise
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(f"not readable as audio ({_plain(error)})") from error
    announced = [(int(got), int(there)) for got, there in _SHORT.findall(info.extra_info)]
    if any(there < got < _STREAMED for got, there in announced):
        got, there = announced[0]
        raise AudioError(f"cut short: its header announces {got} bytes, {there} are there")
    if info.frames <= 0:
        if info.format == "OGG":
            check_ogg(path.read_bytes())  # one that lost its last page has no length
        raise AudioError("it holds no samples")
    if info.frames >= _UNKNOWN_LENGTH:
        raise AudioError("its header does not give its length; write it to WAV or FLAC again")
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
    samples = _decode(str(path), dtype)
    judge(samples, header, path)
    return samples


def judge(samples: np.ndarray[Any, Any], header: Probe, path: Path) -> None:
    """Refuse samples that are not the whole recording.

    Raises:
        AudioError: fewer than announced, a container that is cut short or holds more, NaN or infinity.
    """
    if header.container == "MP3":
        _judge_mp3(len(samples), header.num_frames, path.read_bytes())
    elif len(samples) < header.num_frames:
        raise AudioError(f"cut short: {header.num_frames} frames announced, {len(samples)} decoded")
    if header.container == "OGG":
        check_ogg(path.read_bytes())
    if samples.dtype != np.int16 and not np.isfinite(samples).all():
        raise AudioError("it holds NaN or infinite samples")


def _judge_mp3(decoded: int, announced: int, data: bytes) -> None:
    """An MP3's length is announced by a Xing or VBRI header, or else guessed from its first frame."""
    if announces_length(data) and decoded < announced - _MPEG_SLACK:
        raise AudioError(f"cut short: {announced} frames announced, {decoded} decoded")
    there = count_mpeg_frames(data)
    if decoded < there - _MPEG_SLACK:
        raise AudioError(
            f"its header does not give its length, so decoding stops after {decoded} of {there} frames; write it to "
            "WAV or FLAC first"
        )


def decode_bytes(payload: bytes) -> np.ndarray[Any, Any]:
    """Decode an encoded clip held in memory to float32 (frames, channels).

    Raises:
        AudioError: it does not decode.
    """
    return _decode(io.BytesIO(payload), "float32")


def encode_flac(samples: np.ndarray[Any, Any], sample_rate: int) -> bytes:
    """Encode int16 (frames, channels) losslessly."""
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def _decode(file: str | io.BytesIO, dtype: str) -> np.ndarray[Any, Any]:
    try:
        samples, _ = soundfile.read(file, dtype=dtype, always_2d=True)
    except (soundfile.SoundFileError, OSError, RuntimeError) as error:
        raise AudioError(f"does not decode ({_plain(error)})") from error
    return samples  # type: ignore[no-any-return]


def _plain(error: Exception) -> str:
    """libsndfile's own words, without the prefix that repeats the path."""
    words = str(error).rsplit(": ", 1)[-1].strip().rstrip(".")
    return "Format not recognised" if words.startswith("File does not exist") else words  # the file is there
