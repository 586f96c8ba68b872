"""What will be packed, and into which shards: decided from the manifest and the files' headers alone."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import h5py
import soundfile

import tonearm
from tonearm.dataio.audio_file import Probe, check_length, probe
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.dataio.planned import PlannedClip as PlannedClip
from tonearm.dataio.planned import Reject as Reject
from tonearm.dataio.planned import ShardTask as ShardTask
from tonearm.dataio.recording import is_excerpt, length_is_certain, most_frames, place_clip
from tonearm.dataio.shards import DatasetHeader
from tonearm.errors import AudioError, RequestError

MAX_SHARD_BYTES = 256 << 20
MIN_SHARD_BYTES = 16 << 20
_MANY_SHARDS = 12  # as long as they are smaller than the largest: 2, 3, 4, 6 and 12 workers get equal shares
_DECODED_BY_DALI = frozenset({"WAV", "WAVEX", "FLAC", "OGG"})
_THREADS = 8  # hide the latency of a disk
_FILES_A_TASK = 64
_SLACK_SECONDS = 1.0  # how far a clip may end behind what its MP3 can hold; decoding judges more strictly
_OTHER_CODECS = "Pack with --codec flac or pcm16 instead."


def probe_all(manifest: Manifest) -> tuple[list[PlannedClip], list[Reject]]:
    """Read the header of every file once; clips come out in the manifest's order."""
    paths = list(dict.fromkeys(clip.path for clip in manifest.clips))

    def judge(part: Sequence[str]) -> list[Probe | str]:
        found: list[Probe | str] = []
        for path in part:
            try:
                found.append(probe(manifest.root / path))
            except AudioError as error:
                found.append(str(error))
        return found

    parts = [paths[start : start + _FILES_A_TASK] for start in range(0, len(paths), _FILES_A_TASK)]
    headers: dict[str, Probe | str] = {}
    with ThreadPoolExecutor(_THREADS) as threads:
        for part, found in zip(parts, threads.map(judge, parts), strict=True):
            headers.update(zip(part, found, strict=True))
    planned, rejects = [], []
    for clip in manifest.clips:
        try:
            planned.append(_plan_clip(clip, headers[clip.path]))
        except AudioError as error:
            rejects.append(Reject(clip.clip_id, clip.path, str(error)))
    return planned, rejects


def _plan_clip(clip: Clip, header: Probe | str) -> PlannedClip:
    if isinstance(header, str):
        raise AudioError(header)
    num_frames = header.num_frames
    if is_excerpt(clip):
        if not length_is_certain(header) and clip.end_seconds is not None:  # judged when it is decoded
            most_seconds = most_frames(header) / header.sample_rate
            if clip.end_seconds > most_seconds + _SLACK_SECONDS:
                raise AudioError(
                    f"the clip ends at {clip.end_seconds:g} s, its file of {header.num_bytes} bytes at "
                    f"{most_seconds:g} s at most"
                )
            num_frames = max(num_frames, round(clip.end_seconds * header.sample_rate))
        num_frames = place_clip(clip, sample_rate=header.sample_rate, num_frames=num_frames)[1]
    check_length(num_frames, header.num_channels)
    return PlannedClip(clip, header, num_frames)


def check_source(planned: Iterable[PlannedClip], sample_rate: int, num_channels: int, *,
                 advice: str = _OTHER_CODECS) -> None:  # fmt: skip
    """Refuse codec ``source`` for clips that DALI cannot take as their files are.

    Args:
        planned: the clips.
        sample_rate, num_channels: the dataset's.
        advice: what to do about it, the sentence that ends the message.

    Raises:
        RequestError: names the clips.
    """
    excerpts, offenders = [], []
    for item in planned:
        clip, header = item.clip, item.header
        if is_excerpt(clip):
            end = "its end" if clip.end_seconds is None else f"{clip.end_seconds:g} s"
            excerpts.append(f"{clip.clip_id} ({clip.path} from {clip.start_seconds:g} s to {end})")
        kind = header.sample_rate, header.num_channels
        if header.container not in _DECODED_BY_DALI or kind != (sample_rate, num_channels):
            offenders.append(f"{clip.path} ({header.container}, {kind[0]} Hz, {kind[1]} channels)")
    if excerpts:
        raise RequestError(
            f"codec source keeps whole files, but these clips are parts of one: {_some(excerpts)}. {advice}"
        )
    if offenders:
        raise RequestError(
            f"codec source keeps the files' own bytes, so every file must be WAV, FLAC or Ogg at {sample_rate} Hz with "
            f"{num_channels} channel(s). These are not: {_some(offenders)}. {advice}"
        )


def cut(planned: Sequence[PlannedClip], codec: str, sample_rate: int, num_channels: int,
        shard_bytes: int | None) -> list[list[PlannedClip]]:  # fmt: skip
    """Cut the readable clips into shards by the size that their headers promise (for flac: before compression)."""
    # a sample or two at a far higher rate round to nothing
    sizes = [max(1, item.packed_bytes(codec, sample_rate, num_channels)) for item in planned]
    total = sum(sizes)
    limit = shard_bytes or min(MAX_SHARD_BYTES, max(MIN_SHARD_BYTES, -(-total // _MANY_SHARDS)))
    num_parts = -(-total // limit)
    parts: dict[int, list[PlannedClip]] = defaultdict(list)
    start = 0
    for item, size in zip(planned, sizes, strict=True):
        parts[start * num_parts // total].append(item)  # equal shares of the bytes; a giant clip leaves gaps
        start += size
    return list(parts.values())


def fingerprint(header: DatasetHeader, parts: list[list[PlannedClip]]) -> str:
    """A hash of everything that the shards' bytes follow from, as far as headers tell."""
    facts = [
        header.manifest_sha256,  # covers where excerpts begin and end
        header.codec,
        header.sample_rate,
        header.num_channels,
        sorted(header.versions.items()),
    ]
    plan = [[_facts(item) for item in part] for part in parts]
    return hashlib.sha256(json.dumps([facts, plan]).encode()).hexdigest()


def _facts(item: PlannedClip) -> tuple[str, int, int, int, int, int]:
    header = item.header
    return (
        item.clip.clip_id, item.num_frames, header.num_frames, header.sample_rate, header.num_channels,
        header.num_bytes,
    )  # fmt: skip


def library_versions() -> dict[str, str]:
    """What a shard's bytes depend on besides its clips."""
    return {
        "tonearm": tonearm.__version__,
        "soxr": version("soxr"),
        "libsndfile": soundfile.__libsndfile_version__,
        "hdf5": h5py.version.hdf5_version,
    }


def _some(names: list[str]) -> str:
    return "; ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
