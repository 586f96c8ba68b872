"""What a pack would take, before it is made: the size and time of each codec, from all headers and a sample of clips.

The sizes of pcm16 and source follow from the headers. That of flac is the sample's in proportion, and the times are
what reading and encoding the sample took on this machine. Nothing is written.
"""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tonearm.dataio.columns import CODECS, Array
from tonearm.dataio.encode import ClipEncoder, EncodedClip, flac_limits
from tonearm.dataio.manifest import Manifest
from tonearm.dataio.pack import check_request, none_readable
from tonearm.dataio.plan import PlannedClip, Reject, check_source, cut, probe_all
from tonearm.dataio.shards import DatasetHeader, block_crcs
from tonearm.errors import AudioError, RequestError

_MAX_SAMPLE = 128  # clips
_MIN_SAMPLE = 16
_MAX_SECONDS = 10.0  # after this long the clips that were encoded must do


@dataclass(frozen=True)
class CodecEstimate:
    """One codec.

    Attributes:
        num_bytes: of all clips' audio; None where the codec is not possible. Shards take up to 63 bytes a clip and some
            KiB each on top.
        exact: whether ``num_bytes`` follows from the headers; otherwise it was estimated from the sample.
        seconds: how long the pack would take.
        reason: why the codec is not possible.
    """

    num_bytes: int | None
    exact: bool
    seconds: float | None
    reason: str = ""


@dataclass(frozen=True)
class PackEstimate:
    """What :func:`estimate_pack` found.

    Attributes:
        num_clips: clips whose headers can be read.
        hours: their length.
        sample_rate: Hz, as asked for or the files' most common one.
        num_channels: as asked for.
        num_workers: as asked for.
        num_sampled: clips that were encoded to measure.
        rejects: clips that cannot be read, as far as headers and the sample tell.
        codecs: by name.
    """

    num_clips: int
    hours: float
    sample_rate: int
    num_channels: int
    num_workers: int
    num_sampled: int
    rejects: tuple[Reject, ...]
    codecs: dict[str, CodecEstimate]


def estimate_pack(
    manifest: Manifest,
    *,
    sample_rate: int | None = None,
    num_channels: int = 1,
    num_workers: int = 1,
    shard_bytes: int | None = None,
) -> PackEstimate:
    """Say how large a pack would become and how long it would take, for each codec.

    Args:
        manifest: the clips, from :func:`tonearm.dataio.read_manifest`.
        sample_rate, num_channels, num_workers, shard_bytes: as for :func:`tonearm.dataio.pack_dataset`.

    Returns:
        The estimate. Times are those of an idle machine whose disk writes as fast as clips are encoded.

    Raises:
        RequestError: arguments that make no sense.
        RunError: no clip can be read.
    """
    check_request("pcm16", sample_rate, num_channels, num_workers, shard_bytes, "quarantine")
    began = time.perf_counter()
    planned, rejects = probe_all(manifest)
    probe_seconds = time.perf_counter() - began
    if not planned:
        raise none_readable(manifest, rejects)
    rate = sample_rate or Counter(item.header.sample_rate for item in planned).most_common(1)[0][0]
    impossible = {}
    try:
        check_source(planned, rate, num_channels)
    except RequestError as error:
        impossible["source"] = str(error)
    limits = flac_limits(rate, num_channels)
    if limits is not None:
        impossible["flac"] = f"{limits}. Pack with --codec pcm16 instead."
    encoders = {
        codec: ClipEncoder(manifest.root, DatasetHeader("", ("",), codec, rate, num_channels, 1, "", "", {}))
        for codec in CODECS
        if codec not in impossible
    }
    sample = _encode_sample(manifest.root, planned, encoders)

    num_bytes = {
        "pcm16": sum(item.pcm_bytes(rate, num_channels) for item in planned),
        "source": sum(item.header.num_bytes for item in planned),
    }
    if "flac" in encoders:
        num_bytes["flac"] = round(num_bytes["pcm16"] * sample.num_bytes["flac"] / max(sample.num_bytes["pcm16"], 1))
    num_samples = sum(map(_num_samples, planned))
    estimates = {codec: CodecEstimate(None, False, None, reason) for codec, reason in impossible.items()}
    for codec in encoders:
        workers = min(num_workers, len(cut(planned, codec, rate, num_channels, shard_bytes)))
        encode_seconds = sample.seconds[codec] * num_samples / max(sample.num_samples, 1)
        estimates[codec] = CodecEstimate(num_bytes[codec], codec != "flac", probe_seconds + encode_seconds / workers)
    order = {clip.clip_id: place for place, clip in enumerate(manifest.clips)}
    return PackEstimate(
        num_clips=len(planned),
        hours=sum(item.num_frames / item.header.sample_rate for item in planned) / 3600,
        sample_rate=rate,
        num_channels=num_channels,
        num_workers=num_workers,
        num_sampled=sample.num_clips,
        rejects=tuple(sorted([*rejects, *sample.rejects], key=lambda reject: order[reject.clip_id])),
        codecs={codec: estimates[codec] for codec in CODECS},
    )


@dataclass
class _Sample:
    """Sums over the clips that were encoded; ``num_samples`` are those of the files, over all channels."""

    num_clips: int
    num_samples: int
    num_bytes: dict[str, int]
    seconds: dict[str, float]
    rejects: list[Reject]


def _encode_sample(root: Path, planned: list[PlannedClip], encoders: dict[str, ClipEncoder]) -> _Sample:
    """Encode a clip of each of many equal parts of the dataset, in a random order: stopped early, it is spread too."""
    sample = _Sample(0, 0, dict.fromkeys(encoders, 0), dict.fromkeys(encoders, 0.0), [])
    generator = np.random.default_rng(0)
    edges = np.linspace(0, len(planned), min(len(planned), _MAX_SAMPLE) + 1).astype(np.int64)
    began = time.perf_counter()
    for place in generator.permutation(generator.integers(edges[:-1], edges[1:])):
        if sample.num_clips >= _MIN_SAMPLE and time.perf_counter() - began > _MAX_SECONDS:
            break
        item = planned[place]
        try:
            read_seconds = _read(root / item.clip.path) if item.num_frames == item.header.num_frames else 0.0
            encoded = {codec: _encode(encoder, item) for codec, encoder in encoders.items()}
        except AudioError as error:
            sample.rejects.append(Reject(item.clip.clip_id, item.clip.path, str(error)))
            continue
        sample.num_clips += 1
        sample.num_samples += _num_samples(item)
        for codec, (result, seconds) in encoded.items():
            sample.num_bytes[codec] += result.num_bytes
            sample.seconds[codec] += read_seconds + seconds
    return sample


def _read(path: Path) -> float:
    """How long the disk takes; the codecs then find the file in memory, each as the others do."""
    began = time.perf_counter()
    try:
        path.read_bytes()
    except OSError as error:
        raise AudioError(f"cannot be read ({error.strerror})") from error
    return time.perf_counter() - began


def _encode(encoder: ClipEncoder, item: PlannedClip) -> tuple[EncodedClip, float]:
    rooms: list[Array] = []

    def room(num_bytes: int) -> Array:
        rooms.append(np.empty(num_bytes, np.uint8))
        return rooms[-1]

    began = time.perf_counter()
    encoded = encoder.encode(item, room)
    block_crcs(rooms[-1])
    return encoded, time.perf_counter() - began


def _num_samples(item: PlannedClip) -> int:
    return item.num_frames * item.header.num_channels
