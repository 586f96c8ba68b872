"""One clip to the bytes that stand in a shard."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr

from tonearm.dataio.audio_file import decode_bytes, encode_flac, judge, read_bytes
from tonearm.dataio.levels import LevelMeter
from tonearm.dataio.planned import EncodedClip as EncodedClip
from tonearm.dataio.planned import PlannedClip
from tonearm.dataio.recording import RecordingReader, is_seekable, read_int16
from tonearm.dataio.shard_layout import Array, DatasetHeader
from tonearm.errors import AudioError

FULL_SCALE = 32_768
_FLAC_CHANNELS = 8
_FLAC_RATE = 655_350  # Hz
_FLAC_RATE_IN_HZ = 65_535  # above it a frame states its rate in tens of Hz

Room = Callable[[int], Array]  # so many bytes to write to, uint8


class ClipEncoder:
    """Encodes clips with a dataset's codec, rate and channels; one for each thread.

    Args:
        root: the folder that clips' paths are relative to.
        header: the dataset's.
    """

    def __init__(self, root: Path, header: DatasetHeader) -> None:
        self._root, self._header = root, header
        self._reader, self._meter = RecordingReader(), LevelMeter()

    def encode(self, item: PlannedClip, room: Room) -> EncodedClip:
        """Decode a clip in full, judge it, and write its bytes to the room that ``room`` gives for them.

        Raises:
            AudioError: the file is damaged, or its channels cannot be brought to the dataset's.
        """
        path, wanted = self._root / item.clip.path, self._header
        if wanted.codec == "source":
            content = read_bytes(path)
            decoded = decode_bytes(content, num_frames=item.header.num_frames)  # from memory, as the loader will
            judge(decoded, item.header, path)
            return self._describe(_put(np.frombuffer(content, np.uint8), room), decoded, 1.0, 0)
        as_it_is = item.header.subtype, item.header.sample_rate, item.header.num_channels
        as_wanted = as_it_is == ("PCM_16", wanted.sample_rate, wanted.num_channels) and is_seekable(item.header)
        if wanted.codec == "pcm16" and as_wanted:
            pcm = room(2 * item.num_frames * wanted.num_channels).view("<i2").reshape(-1, wanted.num_channels)
            read_int16(path, item.header, item.clip, out=pcm)
            return self._describe(pcm.nbytes, pcm, FULL_SCALE, 0)
        samples = self._reader.read(path, item.header, item.clip)
        pcm, num_clipped = to_pcm16(
            samples, item.header.sample_rate, sample_rate=wanted.sample_rate, num_channels=wanted.num_channels
        )
        if wanted.codec == "flac":
            payload = np.frombuffer(encode_flac(pcm, wanted.sample_rate), np.uint8)
        else:
            payload = np.ascontiguousarray(pcm, "<i2").reshape(-1).view(np.uint8)
        return self._describe(_put(payload, room), pcm, FULL_SCALE, num_clipped)

    def _describe(self, num_bytes: int, samples: Array, full_scale: float, num_clipped: int) -> EncodedClip:
        peak, rms = self._meter.measure(samples, full_scale=full_scale)
        return EncodedClip(num_bytes, len(samples), peak, rms, num_clipped)


def flac_limits(sample_rate: int, num_channels: int) -> str | None:
    """Why FLAC cannot hold sound of this rate (Hz) and these channels, without a full stop; None if it can.

    Reference:
        van Beurden and Weaver: Free Lossless Audio Codec (FLAC), RFC 9639, 2024, sections 9.1.2 and 9.1.3.
    """
    if num_channels > _FLAC_CHANNELS:
        return f"FLAC holds at most {_FLAC_CHANNELS} channels, not {num_channels}"
    if sample_rate > _FLAC_RATE:
        return f"FLAC holds at most {_FLAC_RATE} Hz, not {sample_rate}"
    if sample_rate > _FLAC_RATE_IN_HZ and sample_rate % 10:
        return f"above {_FLAC_RATE_IN_HZ} Hz FLAC holds multiples of 10 Hz, not {sample_rate}"
    return None


def to_pcm16(samples: Array, rate: int, *, sample_rate: int, num_channels: int) -> tuple[Array, int]:
    """Mix, resample and quantise.

    Samples that are int16 already, at the right rate and channel count, pass unchanged. Otherwise channels are averaged
    to mono (or mono is repeated), resampled with soxr HQ, scaled by 32768, rounded half to even and clipped.

    Args:
        samples: (frames, channels), int16 or floating in [-1, 1].
        rate: its sample rate in Hz.
        sample_rate: the wanted rate in Hz.
        num_channels: the wanted channels.

    Returns:
        (frames, num_channels) int16, and how many samples were clipped.

    Raises:
        AudioError: the channels cannot be brought to ``num_channels``, or nothing is left after resampling.
    """
    if samples.dtype == np.int16 and rate == sample_rate and samples.shape[1] == num_channels:
        return samples, 0
    floating = samples / np.float32(FULL_SCALE) if samples.dtype == np.int16 else samples
    floating = _mix(floating, num_channels)
    if rate != sample_rate:
        floating = soxr.resample(np.ascontiguousarray(floating), rate, sample_rate, quality="HQ")
        if len(floating) == 0:
            raise AudioError(f"too short to resample from {rate} to {sample_rate} Hz")
    scaled = np.rint(floating * floating.dtype.type(FULL_SCALE))
    clipped = int(np.count_nonzero((scaled < -FULL_SCALE) | (scaled > FULL_SCALE - 1)))
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16), clipped


def _mix(samples: Array, num_channels: int) -> Array:
    have = samples.shape[1]
    if have == num_channels:
        return samples
    if num_channels == 1:
        mixed: Array = samples.mean(axis=1, keepdims=True, dtype=samples.dtype)
        return mixed
    if have == 1:
        return np.repeat(samples, num_channels, axis=1)
    raise AudioError(f"{have} channels, which cannot be brought to {num_channels}; pack with --channels 1")


def _put(payload: Array, room: Room) -> int:
    room(len(payload))[:] = payload
    return len(payload)
