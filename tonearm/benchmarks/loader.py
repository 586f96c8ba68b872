"""Loading, measured: tonearm's backends on the same clips as their ceilings and as other ways of loading.

Every contestant delivers the same clips in the same order as float32 batches on the same device; what each delivers is
compared with the WAV files sample by sample before anything is timed.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from tonearm.benchmarks.clip_set import write_clip_set
from tonearm.benchmarks.copy_ceiling import CopyCeiling
from tonearm.benchmarks.environment import current_environment, versions
from tonearm.benchmarks.harness import Contestant, Role, measure
from tonearm.benchmarks.peer_environment import PEERS_FOLDER, peers_python
from tonearm.benchmarks.peer_process import PeerProcess
from tonearm.benchmarks.report import BenchmarkReport, build_report
from tonearm.dataio import ClipLoader, Dataset, open_dataset, pack_dataset, read_manifest
from tonearm.dataio.loader import Backend
from tonearm.dataio.workers import available_cores
from tonearm.errors import RequestError

BACKENDS: dict[str, tuple[Backend, ...]] = {"pcm16": ("copy", "dali", "soundfile"), "flac": ("dali", "soundfile")}
MIN_SECONDS = 0.25  # of a timed pass: the loop over one cached batch takes only microseconds
COPY_CEILING = "ceiling: copy"


def bench_loader(
    *,
    num_clips: int = 1000,
    sample_rate: int = 44100,
    duration_seconds: float = 5.0,
    batch_size: int = 32,
    repeats: int = 5,
    device: torch.device | str = "cpu",
    peers: bool = False,
    folder: Path | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> BenchmarkReport:
    """Measure clips/s of every codec and backend, beside the ceilings and, if asked, the peers.

    The page cache is warm: the clips are written or read just before. Two ceilings stand in the table: the loop fed
    from one cached batch, which is what the measuring itself costs, and the same samples turned from int16 to float32
    by plain threads, which the ratios are taken to.

    Args:
        num_clips: of the made-up set; 5 s at 44.1 kHz are 0.44 MB each, held as WAV, pcm16 and FLAC.
        sample_rate: in Hz.
        duration_seconds: of each clip.
        batch_size: clips a batch.
        repeats: timed passes over the set.
        device: where batches are delivered.
        peers: also measure the peers; the first time this makes their environment.
        folder: keeps the clips for the next run; by default they are written to a temporary folder.
        announce: told what is about to run.

    Returns:
        The report, settings included.

    Raises:
        RequestError: numbers that make no set.
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
        announce(f"writing and packing {num_clips} clips in {folder}")
        table = write_clip_set(folder, num_clips=num_clips, sample_rate=sample_rate, duration_seconds=duration_seconds)
        manifest = read_manifest("csv", table)
        paths = [table.parent / clip.path for clip in manifest.clips]
        datasets = {}
        for codec in BACKENDS:
            packed = table.parent.with_name(f"{table.parent.name}-{codec}")
            pack_dataset(manifest, packed, codec=codec)
            datasets[codec] = open_dataset(packed)

        contestants = _own(datasets, paths, batch_size, device)
        contestants += _ceilings(stack, datasets["pcm16"], paths, batch_size, device)
        if peers:
            announce("starting the peers")
            contestants += _peers(stack, paths, table.parent, batch_size, device, announce)
        measurements = measure(contestants, repeats=repeats, min_seconds=MIN_SECONDS, device=device, announce=announce)
    return build_report(
        "loader",
        measurements,
        settings={
            "num_clips": num_clips,
            "sample_rate": sample_rate,
            "duration_seconds": duration_seconds,
            "batch_size": batch_size,
            "device": str(device),
            "page_cache": "warm",
        },
        environment=environment,
    )


def first_difference(batches: Iterable[Tensor], paths: Sequence[Path]) -> str | None:
    """What is wrong with ``batches`` as the clips of ``paths`` in order; None when every sample is that of the WAV."""
    place = 0
    for batch in batches:
        for waveform in batch.cpu().numpy():
            if place == len(paths):
                return f"more than the {len(paths)} clips came."
            expected, _ = soundfile.read(paths[place], dtype="float32")
            if waveform.shape != (1, len(expected)):
                return f"{paths[place].name} came as {waveform.shape}, expected (1, {len(expected)})."
            wrong = np.flatnonzero(waveform[0] != expected)
            if len(wrong):
                first = int(wrong[0])
                return (
                    f"{paths[place].name}, sample {first} is {waveform[0, first]:.9g}, but {expected[first]:.9g} in "
                    f"the WAV ({len(wrong)} samples differ)."
                )
            place += 1
    return None if place == len(paths) else f"{place} clips came, expected {len(paths)}."


def _consume(batches: Iterable[Any]) -> int:
    return sum(len(batch) for batch in batches)


def _own(
    datasets: dict[str, Dataset], paths: Sequence[Path], batch_size: int, device: torch.device
) -> list[Contestant]:
    contestants = []
    for codec, backends in BACKENDS.items():
        for backend in backends:
            if backend == "dali" and versions()["dali"] is None:
                continue
            loader = ClipLoader(datasets[codec], batch_size=batch_size, device=device, backend=backend)
            contestants.append(_contestant(f"tonearm {codec}, {backend}", loader, paths))
    always = ClipLoader(datasets["pcm16"], batch_size=batch_size, device=device, verify="always")
    contestants.append(
        _contestant(f"tonearm pcm16, {always.backend}, CRC each pass", always, paths, note="as every first epoch")
    )
    return contestants


def _contestant(name: str, loader: ClipLoader, paths: Sequence[Path], note: str = "") -> Contestant:
    return Contestant(
        name,
        lambda: _consume(loader),
        ceiling=COPY_CEILING,
        check=lambda: first_difference((batch.waveform for batch in loader), paths),
        note=note,
    )


def _ceilings(
    stack: ExitStack, dataset: Dataset, paths: Sequence[Path], batch_size: int, device: torch.device
) -> list[Contestant]:
    frames = dataset.table.num_frames
    clips = [dataset.pcm(row, 0, int(frames[row]))[:, 0] for row in range(len(dataset))]
    threads = available_cores()
    copy = stack.enter_context(closing(CopyCeiling(clips, batch_size=batch_size, device=device, num_threads=threads)))
    cached = next(iter(ClipLoader(dataset, batch_size=batch_size, device=device))).waveform
    full, rest = divmod(len(dataset), batch_size)
    cached_batches = [cached] * full + [cached[:rest]] * (rest > 0)
    return [
        Contestant(
            COPY_CEILING,
            lambda: _consume(copy),
            role=Role.CEILING,
            check=lambda: first_difference(copy, paths),
            note=f"int16 in memory to float32, {threads} plain threads",
        ),
        Contestant(
            "ceiling: cached batch",
            lambda: _consume(cached_batches),
            role=Role.CEILING,
            note="the same batch again and again: the loop alone",
        ),
    ]


def peer_workers(cores: int) -> list[int]:
    """The worker counts that a peer is measured with: 1 to 4, and half and all of the cores that tonearm decodes on."""
    return sorted({1, 2, 3, 4, max(1, cores // 2), cores})


def _peers(
    stack: ExitStack,
    paths: Sequence[Path],
    folder: Path,
    batch_size: int,
    device: torch.device,
    announce: Callable[[str], None],
) -> list[Contestant]:
    python = peers_python(announce=announce)
    listing = folder / "paths.txt"
    listing.write_text("\n".join(map(str, paths)) + "\n")
    contestants = []
    for workers in peer_workers(available_cores()):
        name = f"DataLoader + soundfile, WAV, workers={workers}"
        settings = {
            "--paths": listing,
            "--batch-size": batch_size,
            "--num-samples": soundfile.info(paths[0]).frames,
            "--workers": workers,
            "--device": device,
        }
        words = [str(word) for setting in settings.items() for word in setting]
        peer = stack.enter_context(
            closing(PeerProcess(name, [python, PEERS_FOLDER / "dataloader_soundfile.py", *words]))
        )
        contestants.append(
            Contestant(
                name,
                peer.run_pass,
                role=Role.PEER,
                ceiling=COPY_CEILING,
                check=_peer_check(peer, paths[:batch_size]),
                note=", ".join(f"{package} {version}" for package, version in peer.versions.items()),
            )
        )
    return contestants


def _peer_check(peer: PeerProcess, paths: Sequence[Path]) -> Callable[[], str | None]:
    return lambda: first_difference([torch.from_numpy(peer.first_batch())], paths)
