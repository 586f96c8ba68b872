"""Reading clips that are whole files or parts of one, without decoding a long recording again for each of its clips."""

from pathlib import Path

import numpy as np

from tonearm.dataio.audio_file import Probe, check_length, read_part, read_samples, sample_type
from tonearm.dataio.manifest import Clip
from tonearm.dataio.plain_wav import PlainWav, read_plain_wav
from tonearm.dataio.shard_layout import Array
from tonearm.errors import AudioError

# libsndfile finds any frame of these exactly, in these containers; of Vorbis, MP3 or 8 bits in VOC it may find another
# one, in others it cannot seek
_SEEKABLE = frozenset(
    ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM",
     "ALAC_16", "ALAC_20", "ALAC_24", "ALAC_32")
)  # fmt: skip
_EXACT_CONTAINERS = frozenset(("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"))
_MP3_BYTES = 1000  # a second, at least: 8 kbit/s is the lowest rate
_FLAC_FRAME = (65_535, 11)  # samples at most, and bytes at least; Vorbis, Opus and ALAC have more bytes a sample
_SLACK_SECONDS = 0.1  # by which a table's end may lie behind the file's


def is_excerpt(clip: Clip) -> bool:
    """Whether a clip is part of its file."""
    return clip.start_seconds != 0 or clip.end_seconds is not None


def place_clip(clip: Clip, *, sample_rate: int, num_frames: int) -> tuple[int, int]:
    """A clip's first frame in its file and how many frames it has.

    Args:
        clip: what the manifest says.
        sample_rate, num_frames: of the file.

    Raises:
        AudioError: the clip begins or ends behind the file's end. A tenth of a second is forgiven: the clip ends there.
    """
    begin = round(clip.start_seconds * sample_rate)
    end = num_frames if clip.end_seconds is None else round(clip.end_seconds * sample_rate)
    seconds = num_frames / sample_rate
    if end > num_frames + _SLACK_SECONDS * sample_rate:
        raise AudioError(f"the clip ends at {clip.end_seconds:g} s, its file at {seconds:g} s")
    if begin >= num_frames:
        raise AudioError(f"the clip begins at {clip.start_seconds:g} s, its file ends at {seconds:g} s")
    if end <= begin:
        raise AudioError(f"the clip from {clip.start_seconds:g} to {clip.end_seconds:g} s holds no sample")
    return begin, min(end, num_frames) - begin


def length_is_certain(header: Probe) -> bool:
    """Whether a file's length is known before it is decoded: that of an MP3 may be a guess."""
    return header.container != "MP3"


def most_frames(header: Probe) -> int:
    """How many frames a file of its size can hold at most, whatever its header says."""
    if header.container == "MP3":
        return header.num_bytes * header.sample_rate // _MP3_BYTES
    samples, num_bytes = _FLAC_FRAME
    return -(-header.num_bytes // num_bytes) * samples


def is_seekable(header: Probe) -> bool:
    """Whether any frame can be read without those before it."""
    return header.subtype in _SEEKABLE and header.container in _EXACT_CONTAINERS


class RecordingReader:
    """Reads clips, best in the manifest's order: keeps the last file that could only be decoded as a whole."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._whole: Array = np.empty((0, 1), np.int16)

    def read(self, path: Path, header: Probe, clip: Clip) -> Array:
        """Decode a clip.

        Args:
            path: its file.
            header: what :func:`tonearm.dataio.audio_file.probe` said of it.
            clip: what the manifest says.

        Returns:
            (frames, channels): int16 as stored for 16-bit PCM and 16-bit FLAC, otherwise float32 or, for 32-bit
            integers and doubles, float64, in [-1, 1] nominally. May be a view of what this reader keeps.

        Raises:
            AudioError: the file is damaged, shorter than announced or than the clip needs, or holds NaN or infinity.
        """
        if not is_excerpt(clip):
            return read_samples(path, header)
        if is_seekable(header):
            start, count = place_clip(clip, sample_rate=header.sample_rate, num_frames=header.num_frames)
            check_length(count, header.num_channels)
            samples = np.empty((count, header.num_channels), sample_type(header))
            read_part(path, header, start=start, out=samples)
            return samples
        if path != self._path:
            self._whole, self._path = read_samples(path, header), path
        start, count = place_clip(clip, sample_rate=header.sample_rate, num_frames=len(self._whole))
        return self._whole[start : start + count]


def read_int16(path: Path, header: Probe, clip: Clip, *, out: Array) -> None:
    """Read a clip of 16-bit PCM or FLAC straight into ``out``, (frames, channels) as :func:`place_clip` says.

    Raises:
        AudioError: the file is damaged or shorter than announced, or was written to since it was probed.
    """
    start, _ = place_clip(clip, sample_rate=header.sample_rate, num_frames=header.num_frames)
    if header.data_offset is None:
        read_part(path, header, start=start, out=out)
        return
    plain = PlainWav(header.data_offset, header.num_frames, header.sample_rate, header.num_channels)
    read_plain_wav(path, plain, start=start, out=out)
