"""What will be packed, and into which shards: decided from the manifest and the files' headers alone."""

import hashlib
import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

import h5py
import soundfile

import tonearm
from tonearm.dataio.audio_file import Probe, probe
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.dataio.shards import DatasetHeader
from tonearm.errors import AudioError, RequestError

MAX_SHARD_BYTES = 256 << 20
MIN_SHARD_BYTES = 16 << 20
_DECODED_BY_DALI = frozenset({"WAV", "WAVEX", "FLAC", "OGG"})


@dataclass(frozen=True)
class Reject:
    """A clip that was left out, and why."""

    clip_id: str
    path: str
    reason: str


def probe_all(manifest: Manifest) -> tuple[dict[str, Probe], list[Reject]]:
    """Read every header; a few threads hide the disk's latency."""

    def judge(clip: Clip) -> Probe | str:
        try:
            return probe(manifest.root / clip.path)
        except AudioError as error:
            return str(error)

    probes: dict[str, Probe] = {}
    rejects = []
    with ThreadPoolExecutor(8) as threads:
        for clip, result in zip(manifest.clips, threads.map(judge, manifest.clips), strict=True):
            if isinstance(result, Probe):
                probes[clip.clip_id] = result
            else:
                rejects.append(Reject(clip.clip_id, clip.path, result))
    return probes, rejects


def check_source(manifest: Manifest, probes: dict[str, Probe], rate: int, num_channels: int) -> None:
    """Refuse codec ``source`` for files that DALI cannot take as they are, naming them."""
    offenders = []
    for clip in manifest.clips:
        p = probes.get(clip.clip_id)
        if p and (p.container not in _DECODED_BY_DALI or (p.sample_rate, p.num_channels) != (rate, num_channels)):
            offenders.append(f"{clip.path} ({p.container}, {p.sample_rate} Hz, {p.num_channels} channels)")
    if offenders:
        shown = "; ".join(offenders[:5]) + (f" and {len(offenders) - 5} more" if len(offenders) > 5 else "")
        raise RequestError(
            f"codec source keeps the files' own bytes, so every file must be WAV, FLAC or Ogg at {rate} Hz with "
            f"{num_channels} channel(s). These are not: {shown}. Pack with --codec flac or pcm16 instead."
        )


def cut(manifest: Manifest, probes: dict[str, Probe], codec: str, rate: int, num_channels: int,
         shard_bytes: int | None) -> list[list[tuple[Clip, Probe]]]:  # fmt: skip
    """Cut the readable clips into shards by the size that their headers promise (for flac: before compression)."""
    sized = []
    for clip in manifest.clips:
        if p := probes.get(clip.clip_id):
            pcm = 2 * num_channels * -(-p.num_frames * rate // p.sample_rate)
            sized.append((clip, p, p.num_bytes if codec == "source" else pcm))
    total = sum(size for *_, size in sized)
    limit = shard_bytes or min(MAX_SHARD_BYTES, max(MIN_SHARD_BYTES, -(-total // 8)))
    num_parts = -(-total // limit)
    parts: dict[int, list[tuple[Clip, Probe]]] = defaultdict(list)
    start = 0
    for clip, p, size in sized:
        parts[start * num_parts // total].append((clip, p))  # equal shares of the bytes; a giant clip leaves gaps
        start += size
    return list(parts.values())


def fingerprint(header: DatasetHeader, parts: list[list[tuple[Clip, Probe]]]) -> str:
    """A hash of everything that the shards' bytes follow from, as far as headers tell."""
    facts = [
        header.manifest_sha256,
        header.codec,
        header.sample_rate,
        header.num_channels,
        sorted(header.versions.items()),
    ]
    plan = [[(c.clip_id, p.num_frames, p.sample_rate, p.num_channels, p.num_bytes) for c, p in part] for part in parts]
    return hashlib.sha256(json.dumps([facts, plan]).encode()).hexdigest()


def library_versions() -> dict[str, str]:
    """What a shard's bytes depend on besides its clips."""
    return {
        "tonearm": tonearm.__version__,
        "soxr": version("soxr"),
        "libsndfile": soundfile.__libsndfile_version__,
        "hdf5": h5py.version.hdf5_version,
    }
