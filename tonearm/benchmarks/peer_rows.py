"""The peers as contestants: started, swept, and measured with their best settings, warm and cold."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import soundfile
import torch

from tonearm.benchmarks import page_cache
from tonearm.benchmarks.groups import FLAC_COLD, FLAC_WARM, PCM_COLD, PCM_WARM
from tonearm.benchmarks.harness import Contestant, Role
from tonearm.benchmarks.peer_environment import PEERS_FOLDER
from tonearm.benchmarks.peer_process import PeerProcess
from tonearm.benchmarks.sample_check import clip_difference, digest_difference
from tonearm.benchmarks.sweep import Settings, Value, describe, sweep

SWEPT_CLIPS = 256  # at least, and as many as give every worker two batches
SWEPT_PASSES = 2  # timed, after one that starts the workers


@dataclass(frozen=True)
class PeerSpec:
    """A peer on one kind of file.

    Attributes:
        name: in the table.
        script: in the folder of peers.
        kind: "wav" or "flac": what it gets to begin with.
        axes: the settings to sweep.
        reopen: whether it keeps files mapped, so that they can leave the page cache only while it is closed.
    """

    name: str
    script: str
    kind: str
    axes: Mapping[str, Sequence[Value]]
    reopen: bool = False


@dataclass(frozen=True)
class StartedPeer:
    """A peer that runs with its best settings; ``files`` are what a pass reads."""

    spec: PeerSpec
    process: PeerProcess
    settings: Settings
    files: tuple[Path, ...]

    @property
    def note(self) -> str:
        """Settings and versions."""
        versions = ", ".join(f"{package} {version}" for package, version in self.process.versions.items())
        return f"{describe(self.spec.axes, self.settings)}; {versions}"


def peer_workers(cores: int) -> list[int]:
    """The worker counts that a peer is swept over: 1 to 8, and half and all of the cores that tonearm decodes on."""
    return sorted({1, 2, 3, 4, 6, 8, max(1, cores // 2), cores})


def peer_specs(cores: int) -> list[PeerSpec]:
    """Every peer, with what is swept on a machine of so many cores."""
    workers = {"workers": peer_workers(cores), "samples": ("float32", "int16")}
    threads = {"threads": peer_workers(cores), "stage": ("batch", "clip")}
    return [
        PeerSpec("DataLoader + soundfile, WAV", "dataloader_soundfile.py", "wav", workers),
        PeerSpec("WebDataset + soundfile, WAV", "webdataset_soundfile.py", "wav", workers),
        PeerSpec("LitData, int16 tensors", "litdata_chunks.py", "wav", workers, reopen=True),
        PeerSpec("SPDL, WAV", "spdl_threads.py", "wav", threads | {"decoder": ("load_wav", "load_audio")}),
        PeerSpec("h5py, int16 rows", "h5py_rows.py", "wav", {"read": ("row", "batch")} | workers),
        PeerSpec("DataLoader + soundfile, FLAC", "dataloader_soundfile.py", "flac", workers),
        PeerSpec("WebDataset + soundfile, FLAC", "webdataset_soundfile.py", "flac", workers),
        PeerSpec("LitData + soundfile, FLAC", "litdata_chunks.py", "flac", workers, reopen=True),
        PeerSpec("SPDL, FLAC", "spdl_threads.py", "flac", threads | {"decoder": ("load_audio",)}),
    ]


def swept_clips(spec: PeerSpec, batch_size: int) -> int:
    """How many clips a pass of the sweep takes."""
    most = max(int(value) for name in ("workers", "threads") for value in spec.axes.get(name, (1,)))
    return max(SWEPT_CLIPS, 2 * batch_size * most)


def start_peer(
    stack: ExitStack,
    spec: PeerSpec,
    python: Path,
    clips: Sequence[Path],
    *,
    folder: Path,
    batch_size: int,
    device: torch.device,
    announce: Callable[[str], None],
) -> StartedPeer:
    """Start a peer, have it prepare its format in ``folder``, and sweep its settings; ``stack`` ends it."""
    folder.mkdir(exist_ok=True)
    listing = folder / f"{spec.kind}.txt"
    listing.write_text("\n".join(map(str, clips)) + "\n")
    arguments = {
        "--paths": listing,
        "--folder": folder,
        "--batch-size": batch_size,
        "--num-samples": soundfile.info(clips[0]).frames,
        "--device": device,
    }
    words = [str(word) for argument in arguments.items() for word in argument]
    process = stack.enter_context(closing(PeerProcess(spec.name, [python, PEERS_FOLDER / spec.script, *words])))
    announce(f"preparing the files of {spec.name}")
    files = tuple(process.prepare())
    announce(f"sweeping the settings of {spec.name}")
    num_clips = min(swept_clips(spec, batch_size), len(clips))
    settings = sweep(spec.axes, partial(_rate, process, num_clips=num_clips))
    process.open(settings)
    return StartedPeer(spec, process, settings, files)


def warm_contestant(peer: StartedPeer, paths: Sequence[Path], digests: Sequence[str], ceiling: str) -> Contestant:
    """A peer as it runs when everything lies in the page cache, checked over all its clips."""
    return Contestant(
        peer.spec.name,
        peer.process.run_pass,
        role=Role.PEER,
        group=PCM_WARM if peer.spec.kind == "wav" else FLAC_WARM,
        ceiling=ceiling,
        check=lambda: difference(peer.process, paths, digests),
        note=peer.note,
    )


def cold_contestant(peer: StartedPeer) -> Contestant:
    """The same from the disk: its files leave the page cache before each pass. It was checked when it ran warm."""

    def prepare() -> None:
        if peer.spec.reopen:
            peer.process.close_files()
        page_cache.drop(peer.files)
        if peer.spec.reopen:
            peer.process.open(peer.settings)

    workers = "its workers start within the pass, since only ended ones let go of their maps; "
    return Contestant(
        f"{peer.spec.name}, cold",
        peer.process.run_pass,
        role=Role.PEER,
        group=PCM_COLD if peer.spec.kind == "wav" else FLAC_COLD,
        prepare=prepare,
        note=(workers if peer.spec.reopen else "") + describe(peer.spec.axes, peer.settings),
    )


def difference(process: PeerProcess, paths: Sequence[Path], digests: Sequence[str]) -> str | None:
    """What is wrong with a peer's clips: the first batches sample by sample, then all by their SHA-256."""
    delivered = process.check()
    for numbers, batch in zip(delivered.numbers, delivered.first, strict=False):
        for number, waveform in zip(numbers, batch, strict=True):
            complaint = clip_difference(waveform, paths[number]) if number < len(paths) else f"clip {number} came."
            if complaint is not None:
                return complaint
    numbers = [number for batch in delivered.numbers for number in batch]
    return digest_difference(numbers, delivered.sha256, digests, paths)


def _rate(process: PeerProcess, settings: Settings, *, num_clips: int) -> float:
    """Clips/s of a few short passes."""
    process.open(settings, num_clips)
    process.run_pass()
    passes = [process.run_pass() for _ in range(SWEPT_PASSES)]
    return sum(each.num_clips for each in passes) / sum(each.seconds for each in passes)
