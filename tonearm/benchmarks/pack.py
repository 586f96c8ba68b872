"""Packing, measured: each codec with one worker and more, beside the plain loop that most people write.

Both leave durable bytes: the time includes the flush to the disk. Each pass writes where nothing was, and what is
written is compared with the recordings before anything is timed.
"""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import soundfile
import torch
from torch import Tensor

from tonearm.benchmarks import page_cache
from tonearm.benchmarks.clip_set import announce_size, write_clip_set, write_flac_files
from tonearm.benchmarks.environment import current_environment
from tonearm.benchmarks.harness import Contestant, Measurement, Role, measure
from tonearm.benchmarks.plain_pack import pack_flac, pack_rows
from tonearm.benchmarks.report import BenchmarkReport, Setting, build_report
from tonearm.benchmarks.sample_check import FULL_SCALE, first_difference
from tonearm.dataio import ClipLoader, open_dataset, pack_dataset, read_manifest
from tonearm.dataio.manifest import Manifest
from tonearm.dataio.workers import available_cores
from tonearm.errors import RequestError

SIZE = 4.4  # of the folder at its fullest, in sizes of the clips as WAV: those, the FLAC files, what is being packed


def bench_pack(
    *,
    num_clips: int = 2000,
    sample_rate: int = 44100,
    duration_seconds: float = 5.0,
    repeats: int = 5,
    folder: Path | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> BenchmarkReport:
    """Measure packing in clips/s and in MB/s of recordings read, from a warm page cache.

    Args:
        num_clips: of the made-up set.
        sample_rate: in Hz.
        duration_seconds: of each clip.
        repeats: timed passes of each.
        folder: keeps the recordings for the next run; by default they are written to a temporary folder.
        announce: told what is about to run.

    Returns:
        The report, settings included. A note says how many times the rate with one worker a row reached.

    Raises:
        RequestError: numbers that make no set, or a disk that has no room for it.
        RunError: what was packed is not what the recordings hold.
    """
    if num_clips < 1 or not duration_seconds > 0:
        raise RequestError(
            f"bench pack: num_clips is {num_clips} and duration_seconds {duration_seconds}; both must be positive."
        )
    environment = current_environment()
    with ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tonearm-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
        announce_size(folder, num_clips * duration_seconds * sample_rate * 2 * SIZE, announce)
        announce(f"writing {num_clips} clips in {folder}")
        table = write_clip_set(folder, num_clips=num_clips, sample_rate=sample_rate, duration_seconds=duration_seconds)
        wav = read_manifest("csv", table)
        with tempfile.TemporaryDirectory(dir=folder, prefix="packed-") as scratch:
            packed = Path(scratch) / "flac"
            pack_dataset(wav, packed, codec="flac", num_workers=available_cores())
            files = table.parent.with_name(f"{table.parent.name}-files")
            write_flac_files(open_dataset(packed), files)
        flac = read_manifest("csv", files / "labels.csv")
        passes = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=folder, prefix="passes-")))
        contestants = [
            *_group(wav, "pcm16", "WAV to pcm16", wav, passes),
            *_group(wav, "flac", "WAV to flac", wav, passes),
            *_group(flac, "pcm16", "FLAC to pcm16", wav, passes),
        ]
        measurements = measure(contestants, repeats=repeats, announce=announce)
        megabytes = {
            "WAV to pcm16": _megabytes(wav),
            "WAV to flac": _megabytes(wav),
            "FLAC to pcm16": _megabytes(flac),
        }
        settings: dict[str, Setting] = {
            "num_clips": num_clips,
            "sample_rate": sample_rate,
            "duration_seconds": duration_seconds,
            "page_cache": "warm",
            "file_system": page_cache.file_system(folder),
        }
    noted = [_with_note(each, measurements, megabytes[each.group]) for each in measurements]
    return build_report("pack", noted, settings=settings, environment=environment)


def worker_counts(cores: int) -> list[int]:
    """The worker counts that packing is measured with: 1, 2 and all cores."""
    return sorted({1, 2, max(2, cores)})


class Pass:
    """One contestant's packing: each pass into a place that is empty, which is emptied outside the clock."""

    def __init__(self, out: Path, pack: Callable[[Path], Any], read: Callable[[Path], Iterator[Tensor]]) -> None:
        self._out, self._pack, self._read = out, pack, read

    def clear(self) -> None:
        """Remove what the last pass wrote."""
        if self._out.is_dir():
            shutil.rmtree(self._out)
        else:
            self._out.unlink(missing_ok=True)

    def pack(self, num_clips: int) -> int:
        """Pack the clips; how many."""
        self._pack(self._out)
        return num_clips

    def check(self, paths: Sequence[Path]) -> str | None:
        """Pack, and compare what is there with the recordings."""
        self.clear()
        self._pack(self._out)
        return first_difference(self._read(self._out), paths)


def _group(source: Manifest, codec: str, group: str, wav: Manifest, folder: Path) -> list[Contestant]:
    """Packing one kind of recording with each number of workers, and the plain loop."""
    name = group.replace(" ", "-")
    sources = [source.root / clip.path for clip in source.clips]
    recordings = [wav.root / clip.path for clip in wav.clips]

    def contestant(name: str, packing: Pass, role: Role, note: str) -> Contestant:
        return Contestant(
            name,
            partial(packing.pack, len(sources)),
            role=role,
            group=group,
            check=partial(packing.check, recordings),
            prepare=packing.clear,
            teardown=packing.clear,
            note=note,
        )

    rows = [
        contestant(
            f"tonearm, {group}, {workers} worker{'s' * (workers > 1)}",
            Pass(
                folder / f"{name}-{workers}",
                partial(_pack, source, codec=codec, num_workers=workers),
                _packed_clips,
            ),
            Role.OWN,
            "",
        )
        for workers in worker_counts(available_cores())
    ]
    plain = Pass(folder / f"{name}.h5", partial(pack_flac if codec == "flac" else pack_rows, sources), _plain_clips)
    what = "FLAC bytes" if codec == "flac" else "int16 rows"
    return [
        *rows,
        contestant(f"plain loop, {group}", plain, Role.PEER, f"soundfile and h5py {what}, one process, fsync"),
    ]


def _pack(manifest: Manifest, out: Path, *, codec: str, num_workers: int) -> None:
    pack_dataset(manifest, out, codec=codec, num_workers=num_workers, on_error="fail")


def _packed_clips(out: Path) -> Iterator[Tensor]:
    loader = ClipLoader(open_dataset(out), residency="stream", verify="always")
    return (batch.waveform for batch in loader)


def _plain_clips(out: Path) -> Iterator[Tensor]:
    """What the plain loop wrote, a clip at a time."""
    with h5py.File(out) as file:
        (rows,) = file.values()
        for row in rows:
            samples = soundfile.read(io.BytesIO(row.tobytes()), dtype="int16")[0] if row.dtype == np.uint8 else row
            yield torch.from_numpy(samples.astype(np.float32) / FULL_SCALE)[None, None]


def _megabytes(manifest: Manifest) -> float:
    return sum((manifest.root / clip.path).stat().st_size for clip in manifest.clips) / 1e6


def _with_note(measurement: Measurement, measurements: Sequence[Measurement], megabytes: float) -> Measurement:
    """The note with MB/s of recordings and, for more than one worker, the ratio to one, paired by repeat."""
    rate = measurement.clips_per_second().median * megabytes / measurement.num_clips
    parts = [measurement.note, f"{rate:,.0f} MB/s read"]
    one = next(each for each in measurements if each.group == measurement.group and each.role is Role.OWN)
    if measurement.role is Role.OWN and measurement is not one:
        parts.append(f"{measurement.ratio_to(one).median:.3g} times one worker")
    return replace(measurement, note="; ".join(filter(None, parts)))
