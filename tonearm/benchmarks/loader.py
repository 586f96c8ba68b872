"""Loading, measured: tonearm's backends on the same clips as their ceilings and as other ways of loading.

Every contestant delivers the same clips as float32 batches on the same device; what each delivers is compared with the
WAV files before anything is timed. A row is compared with the fastest peer on the same kind of data, PCM or FLAC, and
from the same page cache, warm or cold.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch

from tonearm.benchmarks import own_rows, page_cache, peer_rows
from tonearm.benchmarks.clip_set import announce_size, write_clip_set, write_flac_files
from tonearm.benchmarks.environment import current_environment
from tonearm.benchmarks.harness import measure
from tonearm.benchmarks.peer_environment import peers_python
from tonearm.benchmarks.report import BenchmarkReport, Setting, build_report
from tonearm.benchmarks.sample_check import clip_digest
from tonearm.dataio import open_dataset, pack_dataset, read_manifest
from tonearm.dataio.workers import available_cores
from tonearm.errors import RequestError

MIN_SECONDS = 1.0  # of a timed pass, about what the fastest peers take for one: what the last left weighs alike on all
WARMUP = 2  # at least: the first pass fills buffers, and the last tells how many make up the least length
STEADY = 0.15  # the last two warm-up passes differ by less, or there are as many as the harness allows
COLD_REPEATS = 3  # at most: each empties the cache and reads everything from the disk
OWN_SIZE, PEERS_SIZE = 2.8, 5.4  # of the folder, in sizes of the clips as WAV, with 0.8 for each copy as FLAC


def bench_loader(
    *,
    num_clips: int = 2000,
    sample_rate: int = 44100,
    duration_seconds: float = 5.0,
    batch_size: int = 32,
    repeats: int = 5,
    device: torch.device | str = "cpu",
    peers: bool = False,
    cold: bool = True,
    folder: Path | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> BenchmarkReport:
    """Measure clips/s of every codec and backend, beside the ceilings and, if asked, the peers.

    First from a warm page cache: all clips have just been written or read, and the settings say how much of them still
    lay there at the end. Each contestant is warmed up until its rate is steady. Then, in an interleaved run of its own,
    from a cold one: before each pass what it reads is made to leave the cache. Where the file system does not let it
    leave, there are no such rows, and the settings say so.

    Args:
        num_clips: of the made-up set; 5 s at 44.1 kHz are 0.44 MB each as WAV.
        sample_rate: in Hz.
        duration_seconds: of each clip.
        batch_size: clips a batch.
        repeats: timed passes over the set; from a cold cache at most three.
        device: where batches are delivered.
        peers: also measure the peers; the first time this makes their environment.
        cold: also measure from a cold page cache.
        folder: keeps the clips, in every format, for the next run; by default they are written to a temporary folder.
        announce: told what is about to run.

    Returns:
        The report, settings included.

    Raises:
        RequestError: numbers that make no set, or a disk that has no room for it.
        RunError: a contestant's samples are not those of the WAV files, or a peer failed.
    """
    if num_clips < 1 or batch_size < 1 or not duration_seconds > 0:
        raise RequestError(
            f"bench loader: num_clips is {num_clips}, batch_size {batch_size} and duration_seconds {duration_seconds}; "
            "all must be positive."
        )
    device = torch.device(device)
    environment = current_environment(device)
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tonearm-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
        wav_bytes = num_clips * duration_seconds * sample_rate * 2
        announce_size(folder, wav_bytes * (OWN_SIZE + PEERS_SIZE * peers), announce)
        announce(f"writing and packing {num_clips} clips in {folder}")
        table = write_clip_set(folder, num_clips=num_clips, sample_rate=sample_rate, duration_seconds=duration_seconds)
        manifest = read_manifest("csv", table)
        wav = [table.parent / clip.path for clip in manifest.clips]
        packed = {codec: table.parent.with_name(f"{table.parent.name}-{codec}") for codec in ("pcm16", "flac")}
        for codec, out in packed.items():
            pack_dataset(manifest, out, codec=codec, num_workers=available_cores())

        contestants = own_rows.warm_rows(packed, wav, batch_size=batch_size, device=device)
        # Apart from the rows' own: each row pays for the CRCs of its dataset.
        pcm16, flac = open_dataset(packed["pcm16"]), open_dataset(packed["flac"])
        contestants += own_rows.ceilings(
            stack, pcm16, flac, wav, batch_size=batch_size, device=device, announce=announce
        )
        started = []
        if peers:
            python = peers_python(announce=announce)
            clips = {"wav": wav, "flac": write_flac_files(flac, table.parent.with_name(f"{table.parent.name}-files"))}
            digests = [clip_digest(path) for path in wav]
            bounds = {"wav": own_rows.COPY_CEILING, "flac": own_rows.flac_ceiling()}
            for spec in peer_rows.peer_specs(available_cores()):
                peer = peer_rows.start_peer(
                    stack,
                    spec,
                    python,
                    clips[spec.kind],
                    folder=table.parent.with_name(f"{table.parent.name}-peers"),
                    batch_size=batch_size,
                    device=device,
                    announce=announce,
                )
                started.append(peer)
                contestants.append(peer_rows.warm_contestant(peer, wav, digests, bounds[spec.kind]))
        settings: dict[str, Setting] = {
            "num_clips": num_clips,
            "sample_rate": sample_rate,
            "duration_seconds": duration_seconds,
            "batch_size": batch_size,
            "device": str(device),
            "file_system": page_cache.file_system(folder),
            "data_gb": round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9, 2),
            "memory_available_gb": _gigabytes(page_cache.available_bytes()),
        }
        measurements = measure(
            contestants,
            repeats=repeats,
            warmup=WARMUP,
            min_seconds=MIN_SECONDS,
            steady=STEADY,
            device=device,
            announce=announce,
        )
        # Nothing of the warm run may still map the files: what is mapped stays in the cache.
        del contestants, pcm16, flac
        settings["cold_page_cache"] = "not measured"
        if cold and page_cache.can_drop(folder):
            read = {path for peer in started for path in peer.files}
            read |= {path for out in packed.values() for path in out.iterdir()}
            settings["in_page_cache_when_warm"] = round(page_cache.resident_share(read), 3)
            settings["cold_page_cache"] = "this system's, emptied before each pass; a host's below it may not be cold"
            chilled = own_rows.cold_rows(packed, wav, batch_size=batch_size, device=device)
            chilled += [peer_rows.cold_contestant(peer) for peer in started]
            measurements += measure(
                chilled,
                repeats=min(repeats, COLD_REPEATS),
                warmup=0,  # a peer ran warm, our rows ran for their check
                device=device,
                announce=lambda what: announce(f"cold: {what}"),
            )
        elif cold:
            settings["cold_page_cache"] = "not measured: here files do not leave the page cache when asked to"
    return build_report("loader", measurements, settings=settings, environment=environment)


def _gigabytes(size: int | None) -> float | None:
    return None if size is None else round(size / 1e9, 2)
