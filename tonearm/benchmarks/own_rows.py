"""tonearm's own rows of the loading benchmark, and the ceilings that bound them."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tonearm.benchmarks import page_cache
from tonearm.benchmarks.copy_ceiling import CopyCeiling
from tonearm.benchmarks.dali_ceiling import DaliCeiling
from tonearm.benchmarks.environment import versions
from tonearm.benchmarks.groups import FLAC_COLD, FLAC_WARM, PCM_COLD, PCM_TRAINING, PCM_WARM
from tonearm.benchmarks.harness import Contestant, Role
from tonearm.benchmarks.sample_check import crop_difference, first_difference
from tonearm.benchmarks.sweep import Settings, describe, sweep
from tonearm.dataio import ClipLoader, Dataset, open_dataset
from tonearm.dataio.workers import available_cores

COPY_CEILING = "ceiling: copy"
DALI_CEILING = "ceiling: DALI, FLAC bytes in memory"
CROP = 0.8  # of a clip's length: 4 of 5 seconds
SWEPT_CLIPS = 256


def warm_rows(
    folders: dict[str, Path], paths: Sequence[Path], *, batch_size: int, device: torch.device
) -> list[Contestant]:
    """Each codec, backend and residency, in the clips' order; and one row as training loads.

    Each row opens the dataset for itself: whose CRCs were checked is kept in it, and no row shall find them checked by
    another.

    Args:
        folders: of the packed datasets, by codec.
        paths: the WAV files.
        batch_size: clips a batch.
        device: where batches are delivered.
    """

    def load(codec: str, **settings: Any) -> ClipLoader:
        return ClipLoader(open_dataset(folders[codec]), batch_size=batch_size, device=device, **settings)

    pcm, flac_stream = partial(load, "pcm16", residency="stream"), partial(load, "flac", residency="stream")

    def row(name: str, loader: ClipLoader, group: str, ceiling: str, note: str = "") -> Contestant:
        return Contestant(
            name,
            lambda: consume(loader),
            group=group,
            ceiling=ceiling,
            check=lambda: first_difference(_waveforms(loader), paths),
            note=note,
        )

    bound = flac_ceiling()
    rows = [
        row("tonearm pcm16, copy", pcm(backend="copy"), PCM_WARM, COPY_CEILING,
            "CRCs when first touched, in its check"),
        row("tonearm pcm16, copy, CRC each pass", pcm(backend="copy", verify="always"), PCM_WARM, COPY_CEILING,
            "as every first epoch"),
        row("tonearm pcm16, soundfile", pcm(backend="soundfile"), PCM_WARM, COPY_CEILING),
        row("tonearm pcm16, memory", load("pcm16", residency="memory"), PCM_WARM, COPY_CEILING, "decoded once, int16"),
        row("tonearm flac, soundfile", flac_stream(backend="soundfile"), FLAC_WARM, bound),
        row("tonearm flac, memory", load("flac", residency="memory"), FLAC_WARM, COPY_CEILING,
            "decoded once, int16; its ceiling is the copy"),
    ]  # fmt: skip
    if has_dali():
        rows += [
            row("tonearm pcm16, dali", pcm(backend="dali"), PCM_WARM, COPY_CEILING),
            row("tonearm flac, dali", flac_stream(backend="dali"), FLAC_WARM, bound),
        ]
    if len(paths) >= batch_size:
        dataset = open_dataset(folders["pcm16"])
        num_samples = round(CROP * int(dataset.table.num_frames.max()))
        seconds = num_samples / dataset.sample_rate
        training = pcm(backend="copy", shuffle=True, duration_seconds=seconds)
        rows.append(
            Contestant(
                "tonearm pcm16, copy, shuffled crops",
                lambda: consume(training),
                group=PCM_TRAINING,
                check=lambda: crop_difference(training, paths, num_samples=num_samples, batch_size=batch_size),
                note=f"a random {seconds:g} s of each clip in random order, full batches only; no peer takes part",
            )
        )
    return rows


def has_dali() -> bool:
    """Whether DALI is installed; without it its rows are left out."""
    return versions()["dali"] is not None


def flac_ceiling() -> str:
    """The name of what bounds decoding FLAC."""
    return DALI_CEILING if has_dali() else COPY_CEILING


def cold_rows(
    folders: dict[str, Path], paths: Sequence[Path], *, batch_size: int, device: torch.device
) -> list[Contestant]:
    """The streams as they run when nothing of the dataset lies in the page cache.

    Args:
        folders: of the packed datasets, by codec.
        paths: the WAV files.
        batch_size: clips a batch.
        device: where batches are delivered.
    """
    rows = []
    for codec, group in (("pcm16", PCM_COLD), ("flac", FLAC_COLD)):
        make = partial(ClipLoader, batch_size=batch_size, device=device, residency="stream")
        reopened = Reopened(folders[codec], make)
        rows.append(
            Contestant(
                f"tonearm {codec}, cold",
                lambda reopened=reopened: consume(reopened),  # type: ignore[misc]
                group=group,
                setup=reopened.open,
                check=lambda reopened=reopened: first_difference(_waveforms(reopened), paths),  # type: ignore[misc]
                prepare=reopened.reopen_cold,
                teardown=reopened.close,
                note="opened anew for each pass, so every CRC is checked in it",
            )
        )
    return rows


class Reopened:
    """A packed dataset and its loader, opened again for each pass: what is mapped cannot leave the page cache."""

    def __init__(self, folder: Path, make: Callable[[Dataset], ClipLoader]) -> None:
        self._folder, self._make = folder, make
        self._loader: ClipLoader | None = None

    def __iter__(self) -> Iterator[Any]:
        assert self._loader is not None
        return iter(self._loader)

    def open(self) -> None:
        """Open the dataset and make its loader."""
        self._loader = self._make(open_dataset(self._folder))

    def close(self) -> None:
        """Let go of the loader, the dataset and its maps."""
        self._loader = None
        gc.collect()

    def reopen_cold(self) -> None:
        """Close, empty the page cache of the dataset's files, and open again."""
        self.close()
        page_cache.drop(path for path in self._folder.iterdir() if path.is_file())
        self.open()


def ceilings(
    stack: ExitStack,
    pcm16: Dataset,
    flac: Dataset,
    paths: Sequence[Path],
    *,
    batch_size: int,
    device: torch.device,
    announce: Callable[[str], None],
) -> list[Contestant]:
    """What bounds the rows: the copy, the loop alone, and DALI on FLAC bytes where it is installed."""
    frames = pcm16.table.num_frames
    clips = [np.array(pcm16.pcm(row, 0, int(frames[row]))[:, 0]) for row in range(len(pcm16))]  # nothing mapped
    threads = available_cores()
    copy = stack.enter_context(closing(CopyCeiling(clips, batch_size=batch_size, device=device, num_threads=threads)))
    cached = next(iter(ClipLoader(pcm16, batch_size=batch_size, device=device, residency="stream"))).waveform
    full, rest = divmod(len(pcm16), batch_size)
    cached_batches = [cached] * full + [cached[:rest]] * (rest > 0)
    found = [
        Contestant(
            COPY_CEILING,
            lambda: consume(copy),
            role=Role.CEILING,
            group=PCM_WARM,
            check=lambda: first_difference(copy, paths),
            note=f"int16 in memory to float32, {threads} plain threads",
        ),
        Contestant(
            "ceiling: cached batch",
            lambda: consume(cached_batches),
            role=Role.CEILING,
            group=PCM_WARM,
            note="the same batch again and again: the loop alone",
        ),
    ]
    if has_dali():
        announce("sweeping the settings of the DALI ceiling")
        found.append(_dali_ceiling(stack, flac, paths, threads, batch_size=batch_size, device=device))
    return found


def _dali_ceiling(
    stack: ExitStack, flac: Dataset, paths: Sequence[Path], cores: int, *, batch_size: int, device: torch.device
) -> Contestant:
    payloads = [np.array(flac.payload(row)) for row in range(len(flac))]  # nothing mapped
    num_samples = int(flac.table.num_frames.max())

    def make(settings: Settings, num_clips: int) -> DaliCeiling:
        return DaliCeiling(
            payloads[:num_clips],
            num_samples=num_samples,
            batch_size=batch_size,
            device=device,
            lanes=int(settings["lanes"]),
            num_threads=int(settings["threads"]),
            depth=int(settings["depth"]),
        )

    def rate(settings: Settings) -> float:
        with closing(make(settings, SWEPT_CLIPS)) as batches:
            consume(batches)
            start = perf_counter()
            return consume(batches) / (perf_counter() - start)

    axes = {"lanes": (1, cores), "threads": (cores, cores + 1), "depth": (1, 2, 3)}
    best = sweep(axes, rate)
    ceiling = stack.enter_context(closing(make(best, len(payloads))))
    return Contestant(
        DALI_CEILING,
        lambda: consume(ceiling),
        role=Role.CEILING,
        group=FLAC_WARM,
        check=lambda: first_difference(ceiling, paths),
        note=f"to int16, then float32; no file, no CRC, no loader; {describe(axes, best)}",
    )


def consume(batches: Iterable[Any]) -> int:
    """Take every batch; the number of clips."""
    return sum(len(batch) for batch in batches)


def _waveforms(batches: Iterable[Any]) -> Iterator[Tensor]:
    return (batch.waveform for batch in batches)
