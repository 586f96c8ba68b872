"""One recording to the bytes that stand in a shard."""

from pathlib import Path
from typing import Any

import numpy as np
import soxr

from tonearm.dataio.audio_file import Probe, decode_bytes, encode_flac, judge, read_samples
from tonearm.dataio.columns import Array
from tonearm.dataio.manifest import Clip
from tonearm.dataio.shards import DatasetHeader, PackedClip
from tonearm.errors import AudioError

FULL_SCALE = 32_768


def encode_clip(root: Path, clip: Clip, probe: Probe, header: DatasetHeader) -> PackedClip:
    """Decode a clip in full, judge it, and encode it with the dataset's codec, rate and channels.

    Raises:
        AudioError: the file is damaged, or its channels cannot be brought to the dataset's.
    """
    path = root / clip.path
    if header.codec == "source":
        payload = np.fromfile(path, np.uint8)
        decoded = decode_bytes(payload.tobytes())  # from memory, as the loader will
        judge(decoded, probe, path)
        return PackedClip(clip, payload, len(decoded), *_levels(decoded), num_clipped=0)
    samples = read_samples(path, probe)
    pcm, num_clipped = to_pcm16(
        samples, probe.sample_rate, sample_rate=header.sample_rate, num_channels=header.num_channels
    )
    peak, rms = _levels(pcm.astype(np.float32) / FULL_SCALE)
    if header.codec == "flac":
        payload = np.frombuffer(encode_flac(pcm, header.sample_rate), np.uint8)
    else:
        payload = pcm.reshape(-1)
    return PackedClip(clip, payload, len(pcm), peak, rms, num_clipped)


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


def _levels(samples: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Peak and root mean square, the sum in float64."""
    flat = samples.reshape(-1)
    return float(np.abs(flat).max()), float(np.sqrt(np.mean(np.square(flat, dtype=np.float64))))
