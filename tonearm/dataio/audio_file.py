"""Reading one recording, and judging it: a file is whole and finite, or it is refused with a reason.

Decoders are forgiving in ways that ruin a dataset: libsndfile and DALI read a WAV that was cut short without a word,
as if it had been shorter all along, and hand NaN through. Here everything is decoded once, before it is packed.
"""

import io
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from tonearm.dataio.containers import announces_length, check_ogg, count_mpeg_frames
from tonearm.dataio.plain_wav import HEADER_BYTES, parse_plain_wav
from tonearm.errors import AudioError

# A container whose header announces more bytes than the file has; libsndfile writes this into its log and reads on.
_SHORT = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7FFFF000  # sizes from here on mean "not known when the header was written" (sox, ffmpeg)
_UNKNOWN_LENGTH = 2**62  # libsndfile's number of frames for a FLAC that was streamed is 2**63 - 1
_MPEG_SLACK = 4 * 1152  # samples by which an MP3's counts differ: encoder delay, padding, the Xing frame
MAX_SAMPLES = 2**30  # 2 GiB as int16: more is not a clip, and headers can claim anything
_MAX_CHUNKS = 10_000  # looked at to find the samples; libsndfile gives up there too
# Containers that a file which was cut short gives itself away in, by their sizes or when it is decoded
_JUDGED = frozenset(("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"))
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
        data_offset: where the samples begin in a plain WAV of 16 bits, which is read without a decoder; else None.
    """

    num_frames: int
    sample_rate: int
    num_channels: int
    container: str
    subtype: str
    num_bytes: int
    data_offset: int | None = None


def probe(path: Path) -> Probe:
    """Read a file's header.

    Raises:
        AudioError: missing, empty, not audio, cut short, or of a kind that does not tell whether it was. The message is
            the reason alone: the caller knows the name.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):
            raise AudioError("not a file")
        if facts.st_size == 0:
            raise AudioError("the file is empty")
        with path.open("rb", buffering=0) as file:
            plain = parse_plain_wav(file.read(HEADER_BYTES), facts.st_size)
        if plain is not None:
            rate, channels = plain.sample_rate, plain.num_channels
            return Probe(plain.num_frames, rate, channels, "WAV", "PCM_16", facts.st_size, plain.data_offset)
        info = soundfile.info(str(path), verbose=True)
    except AudioError:
        raise
    except FileNotFoundError as error:
        raise AudioError("no such file") from error
    except (soundfile.SoundFileError, OSError, RuntimeError, TypeError) as error:  # TypeError: a name that ends in .raw
        raise AudioError(f"not readable as audio ({_plain(error)})") from error
    if info.format not in _JUDGED:
        raise AudioError(f"nobody can tell whether a {info.format} file is whole; convert it to WAV or FLAC")
    _check_size(path, info.extra_info)
    if info.frames <= 0:
        if info.format == "OGG":
            check_ogg(read_bytes(path))  # one that lost its last page has no length
        raise AudioError("it holds no samples")
    if info.frames >= _UNKNOWN_LENGTH:
        raise AudioError("its header does not give its length; write it to WAV or FLAC again")
    return Probe(info.frames, info.samplerate, info.channels, info.format, info.subtype, facts.st_size)


def _check_size(path: Path, log: str) -> None:
    """Refuse a container that announces more bytes than there are."""
    announced = [(int(got), int(there)) for got, there in _SHORT.findall(log)]
    if not any(there < got < _STREAMED for got, there in announced):
        try:
            with path.open("rb") as file:
                announced = _find_samples(file)  # libsndfile's log ends after 2 KiB, in the midst of long metadata
        except OSError as error:
            raise AudioError(f"cannot be read ({error.strerror})") from error
    if any(there < got < _STREAMED for got, there in announced):
        got, there = announced[0]
        raise AudioError(f"cut short: its header announces {got} bytes, {there} are there")


def _find_samples(file: BinaryIO) -> list[tuple[int, int]]:
    """The announced size of the chunk of samples in a RIFF, RIFX or AIFF file, and how many bytes there are for it.

    Reference:
        IBM and Microsoft: Multimedia Programming Interface and Data Specifications 1.0, 1991, chapter 2 (RIFF). Apple:
        Audio Interchange File Format 1.3, 1989 (FORM, SSND).
    """
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    mark = file.read(12)[:4]
    if mark not in (b"RIFF", b"RIFX", b"FORM"):
        return []
    place = 12
    for _ in range(_MAX_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return []
        size = int.from_bytes(head[4:], "little" if mark == b"RIFF" else "big")
        if head[:4] in (b"data", b"SSND"):
            return [(size, end - place - 8)]
        place += 8 + size + size % 2
    return []


def read_samples(path: Path, header: Probe) -> np.ndarray[Any, Any]:
    """Decode a whole file.

    Args:
        path: the file.
        header: what :func:`probe` said of it.

    Returns:
        (frames, channels), a new array of the type that :func:`sample_type` names, in [-1, 1] nominally unless int16.

    Raises:
        AudioError: it is too long, does not decode, ends before the announced length, or holds NaN or infinity.
    """
    check_length(header.num_frames, header.num_channels)
    samples = _decode(str(path), sample_type(header))
    judge(samples, header, path)
    return samples


def read_part(path: Path, header: Probe, *, start: int, out: np.ndarray[Any, Any]) -> None:
    """Decode a part of a file into ``out``.

    Args:
        path: the file.
        header: what :func:`probe` said of it.
        start: the first frame.
        out: (frames, channels) of the type that :func:`sample_type` names.

    Raises:
        AudioError: it does not decode, ends too early, or holds NaN or infinity there.
    """
    try:
        with soundfile.SoundFile(str(path)) as file:
            file.seek(start)
            decoded = len(file.read(dtype=out.dtype.name, always_2d=True, out=out))
    except (soundfile.SoundFileError, OSError, RuntimeError, ValueError) as error:
        raise AudioError(f"does not decode ({_plain(error)})") from error
    if decoded < len(out):
        raise AudioError(f"cut short: {start + len(out)} frames announced, {start + decoded} decoded")
    _check_finite(out)


def sample_type(header: Probe) -> str:
    """The type to decode to that loses nothing: int16 for 16-bit samples, else float32, for finer samples float64."""
    if header.subtype == "PCM_16":
        return "int16"
    return "float64" if header.subtype in _BEYOND_FLOAT32 else "float32"


def check_length(num_frames: int, num_channels: int) -> None:
    """Refuse what is too long for one clip.

    Raises:
        AudioError: more samples than 2 GiB hold.
    """
    if num_frames * num_channels > MAX_SAMPLES:
        raise AudioError(f"{num_frames} frames of {num_channels} channels are too many for one clip; cut it up")


def judge(samples: np.ndarray[Any, Any], header: Probe, path: Path) -> None:
    """Refuse samples that are not the whole recording.

    Raises:
        AudioError: fewer than announced, a container that is cut short or holds more, NaN or infinity.
    """
    if header.container == "MP3":
        _judge_mp3(len(samples), header.num_frames, read_bytes(path))
    elif len(samples) < header.num_frames:
        raise AudioError(f"cut short: {header.num_frames} frames announced, {len(samples)} decoded")
    if header.container == "OGG":
        check_ogg(read_bytes(path))
    _check_finite(samples)


def _check_finite(samples: np.ndarray[Any, Any]) -> None:
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


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        AudioError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror})") from error


def decode_bytes(payload: bytes, *, num_frames: int) -> np.ndarray[Any, Any]:
    """Decode an encoded clip held in memory to float32 (frames, channels).

    Args:
        payload: the encoded clip.
        num_frames: what its header must announce, so that a damaged one does not claim all memory.

    Raises:
        AudioError: it does not decode, or announces another length.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(payload)) as file:
            if file.frames != num_frames:
                raise AudioError(f"its header announces {file.frames} frames, not {num_frames}")
            samples: np.ndarray[Any, Any] = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise AudioError(f"does not decode ({_plain(error)})") from error
    return samples


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
