import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from isal import isal_zlib

from tonearm.batch import AudioBatch
from tonearm.benchmarks import loader as bench
from tonearm.benchmarks import own_rows, page_cache, peer_rows
from tonearm.benchmarks.copy_ceiling import CopyCeiling
from tonearm.benchmarks.groups import FLAC_COLD, FLAC_WARM, PCM_COLD, PCM_TRAINING, PCM_WARM
from tonearm.benchmarks.harness import Contestant, Measurement, Role, measure
from tonearm.benchmarks.loader import bench_loader
from tonearm.benchmarks.own_rows import COPY_CEILING, DALI_CEILING, has_dali
from tonearm.benchmarks.peer_environment import OVERRIDE
from tonearm.benchmarks.peer_process import Delivered, PeerProcess
from tonearm.benchmarks.peer_rows import PeerSpec
from tonearm.benchmarks.report import BenchmarkReport
from tonearm.dataio import ClipLoader, mapped_shards
from tonearm.errors import RequestError, RunError


@pytest.fixture(autouse=True)
def short_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(peer_rows, "SWEPT_PASSES", 1)


@pytest.fixture
def two_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the project's own interpreter can run."""
    monkeypatch.setenv(OVERRIDE, sys.executable)
    specs = [
        PeerSpec("on WAV", "dataloader_soundfile.py", "wav", {"workers": (1,), "samples": ("float32", "int16")}),
        PeerSpec("on FLAC", "dataloader_soundfile.py", "flac", {"workers": (1,), "samples": ("int16",)}, reopen=True),
    ]
    monkeypatch.setattr(peer_rows, "peer_specs", lambda cores: specs)


def small_run(folder: Path, *, num_clips: int = 3, **more: object) -> BenchmarkReport:
    return bench_loader(
        num_clips=num_clips, sample_rate=8000, duration_seconds=1.5, batch_size=2, repeats=1, folder=folder, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def cache_that_obeys(monkeypatch: pytest.MonkeyPatch, obeys: bool) -> list[list[Path]]:
    dropped: list[list[Path]] = []
    monkeypatch.setattr(page_cache, "can_drop", lambda folder: obeys)
    monkeypatch.setattr(page_cache, "drop", lambda paths: dropped.append(list(paths)))
    return dropped


@pytest.mark.usefixtures("two_peers")
def test_a_whole_run_with_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = cache_that_obeys(monkeypatch, True)
    told: list[str] = []
    report = bench_loader(
        num_clips=10, sample_rate=8000, duration_seconds=1.5, batch_size=4, repeats=4, peers=True, folder=tmp_path,
        announce=told.append,
    )  # fmt: skip
    by_name = {result.name: result for result in report.results}
    dali = has_dali()
    groups = {group: [r.name for r in report.results if r.group == group] for group in by_group(report)}
    assert groups == {
        PCM_WARM: [
            "tonearm pcm16, copy",
            "tonearm pcm16, copy, CRC each pass",
            "tonearm pcm16, soundfile",
            "tonearm pcm16, memory",
            *["tonearm pcm16, dali"] * dali,
            COPY_CEILING,
            "ceiling: cached batch",
            "on WAV",
        ],
        FLAC_WARM: [
            "tonearm flac, soundfile",
            "tonearm flac, memory",
            *["tonearm flac, dali", DALI_CEILING] * dali,
            "on FLAC",
        ],
        PCM_TRAINING: ["tonearm pcm16, copy, shuffled crops"],
        PCM_COLD: ["tonearm pcm16, cold", "on WAV, cold"],
        FLAC_COLD: ["tonearm flac, cold", "on FLAC, cold"],
    }
    for result in report.results:
        compared = result.role is not Role.CEILING and result.group != PCM_TRAINING
        assert (result.ratio_to_best_peer is not None) == compared, result.name
        assert len(result.seconds) == (3 if "cold" in result.group else 4)
        assert result.num_clips == (8 if result.group == PCM_TRAINING else 10)
    assert by_name["tonearm flac, soundfile"].ceiling == by_name["on FLAC"].ceiling == own_rows.flac_ceiling()
    assert by_name["tonearm flac, memory"].ceiling == by_name["on WAV"].ceiling == COPY_CEILING
    assert "samples " in by_name["on WAV"].note
    assert "of float32, int16; torch 2." in by_name["on WAV"].note
    assert report.settings["in_page_cache_when_warm"] == 1.0
    assert "checking tonearm pcm16, copy" in told
    assert told[0].startswith("the clips take up to 0.0 GB in ")
    assert len(dropped) == 4 * 3  # each cold row: three repeats, no warm-up
    suffixes = {frozenset(path.suffix for path in paths) for paths in dropped}
    assert {frozenset({".wav"}), frozenset({".flac"})} <= suffixes
    assert any(".h5" in each for each in suffixes)


def by_group(report: BenchmarkReport) -> list[str]:
    return list(dict.fromkeys(result.group for result in report.results))


def test_without_a_cache_that_obeys_there_are_no_cold_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped = cache_that_obeys(monkeypatch, False)
    report = small_run(tmp_path)
    assert by_group(report) == [PCM_WARM, FLAC_WARM, PCM_TRAINING]
    assert report.settings["cold_page_cache"] == "not measured: here files do not leave the page cache when asked to"
    assert dropped == []


def test_the_cold_run_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_that_obeys(monkeypatch, True)
    report = small_run(tmp_path, cold=False)
    assert by_group(report) == [PCM_WARM, FLAC_WARM, PCM_TRAINING]
    assert report.settings["cold_page_cache"] == "not measured"


def test_nothing_maps_the_shards_when_they_are_to_leave_the_cache(tmp_path: Path) -> None:
    if not page_cache.can_drop(tmp_path):
        pytest.skip("files do not leave the page cache on this file system")
    report = small_run(tmp_path)  # drop() refuses where more than a few pages stay
    assert {PCM_COLD, FLAC_COLD} <= set(by_group(report))


@pytest.mark.parametrize("row", ["copy", "copy, CRC each pass", "soundfile", "memory"])
def test_a_row_that_gives_other_samples_is_not_timed(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ClipLoader.__iter__
    wrong = {
        "copy": {"backend": "copy", "_verify": "first", "residency": "stream"},
        "copy, CRC each pass": {"_verify": "always"},
        "soundfile": {"backend": "soundfile"},
        "memory": {"residency": "memory"},
    }[row]

    def louder(self: ClipLoader) -> Iterator[AudioBatch]:
        spoilt = all(vars(self)[name] == value for name, value in wrong.items())
        for number, batch in enumerate(original(self)):
            if spoilt and number == 1:
                batch.waveform[0, 0, 100] += 1 / 32768
            yield batch

    monkeypatch.setattr(ClipLoader, "__iter__", louder)
    message = rf"tonearm pcm16, {row} gives a wrong output, so nothing was timed: 000002\.wav, sample 100 is"
    with pytest.raises(RunError, match=message):
        small_run(tmp_path)


def test_crops_of_other_samples_are_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ClipLoader.__iter__

    def louder(self: ClipLoader) -> Iterator[AudioBatch]:
        for batch in original(self):
            batch.waveform.mul_(1.5 if self.shuffle else 1.0)
            yield batch

    monkeypatch.setattr(ClipLoader, "__iter__", louder)
    with pytest.raises(RunError, match=r"shuffled crops gives a wrong output, .* does not occur in it"):
        small_run(tmp_path)


def test_a_cold_row_that_gives_other_samples_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_that_obeys(monkeypatch, True)
    original = own_rows.Reopened.__iter__

    def louder(self: own_rows.Reopened) -> Iterator[AudioBatch]:
        for batch in original(self):
            batch.waveform.mul_(1.5)
            yield batch

    monkeypatch.setattr(own_rows.Reopened, "__iter__", louder)
    with pytest.raises(RunError, match=r"tonearm pcm16, cold gives a wrong output"):
        small_run(tmp_path)


def test_a_copy_ceiling_that_gives_other_samples_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = CopyCeiling.__iter__
    monkeypatch.setattr(CopyCeiling, "__iter__", lambda self: (batch * 0.5 for batch in original(self)))
    with pytest.raises(RunError, match=r"ceiling: copy gives a wrong output, so nothing was timed: 000000\.wav"):
        small_run(tmp_path)


def test_crops_of_another_length_are_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ClipLoader.__iter__

    def shorter(self: ClipLoader) -> Iterator[AudioBatch]:
        for batch in original(self):
            yield replace(batch, waveform=batch.waveform[..., :1]) if self.shuffle else batch

    monkeypatch.setattr(ClipLoader, "__iter__", shorter)
    with pytest.raises(
        RunError, match=r"shuffled crops gives a wrong output, .* came as \(1, 1\), expected \(1, 9600\)"
    ):
        small_run(tmp_path)


def test_an_epoch_without_crops_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ClipLoader.__iter__
    monkeypatch.setattr(ClipLoader, "__iter__", lambda self: iter(()) if self.shuffle else original(self))
    with pytest.raises(RunError, match=r"shuffled crops gives a wrong output, .* 0 clips came, expected 2"):
        small_run(tmp_path)


@pytest.mark.usefixtures("two_peers")
def test_a_peer_that_gives_other_samples_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = PeerProcess.check

    def swapped(self: PeerProcess) -> Delivered:
        delivered = original(self)
        return delivered._replace(numbers=[[1, 0], *delivered.numbers[1:]])

    monkeypatch.setattr(PeerProcess, "check", swapped)
    with pytest.raises(RunError, match=r"on WAV gives a wrong output, so nothing was timed: 000001\.wav"):
        small_run(tmp_path, peers=True)


def test_passes_are_steady_and_have_a_least_length_and_the_device_is_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def spy(contestants: object, **more: object) -> object:
        asked.update(more)
        return measure(contestants, repeats=1)  # type: ignore[arg-type]

    monkeypatch.setattr(bench, "MIN_SECONDS", 0.125)
    monkeypatch.setattr(bench, "measure", spy)
    small_run(tmp_path, cold=False)
    assert (asked["min_seconds"], asked["device"]) == (0.125, torch.device("cpu"))
    assert (asked["warmup"], asked["steady"]) == (2, 0.15)


def test_each_row_checks_its_own_crcs_before_it_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = 0
    of_check: dict[str, int] = {}
    of_pass: dict[str, int] = {}

    def crc32(data: memoryview) -> int:
        nonlocal checked
        checked += 1
        return isal_zlib.crc32(data)

    def spy(contestants: list[Contestant], **more: object) -> list[Measurement]:
        nonlocal checked
        for contestant in contestants:
            for action, counts in ((contestant.check, of_check), (contestant.run, of_pass)):
                checked = 0
                action()
                counts[contestant.name] = checked
        return measure(contestants, repeats=1)

    monkeypatch.setattr(mapped_shards, "isal_zlib", SimpleNamespace(crc32=crc32))
    monkeypatch.setattr(bench, "measure", spy)
    report = small_run(tmp_path, cold=False)
    own = {result.name for result in report.results if result.role is Role.OWN}
    assert all(of_check[name] > 0 for name in own), of_check
    crops = "tonearm pcm16, copy, shuffled crops"  # another epoch may touch another block
    assert {name for name in own - {crops} if of_pass[name]} == {"tonearm pcm16, copy, CRC each pass"}


def test_crcs_are_checked_when_first_touched_and_in_one_row_each_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[object, ...]] = []

    def make(dataset: object, **settings: object) -> ClipLoader:
        loader = ClipLoader(dataset, **settings)  # type: ignore[arg-type]
        made.append((loader.dataset.header.codec, loader.backend, loader.residency, loader._verify))
        return loader

    monkeypatch.setattr(own_rows, "ClipLoader", make)
    small_run(tmp_path, cold=False)
    assert ("pcm16", "copy", "stream", "always") in made
    assert sum(verify == "always" for *_, verify in made) == 1
    assert {verify for *_, verify in made} == {"first", "always"}
    assert {("pcm16", "copy", "memory", "first"), ("flac", "soundfile", "stream", "first")} <= set(made)


@pytest.mark.parametrize("name", ["num_clips", "batch_size", "duration_seconds"])
def test_numbers_that_make_no_set_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="all must be positive"):
        bench_loader(**{name: 0})  # type: ignore[arg-type]


def test_a_set_that_does_not_fit_the_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="Ask for fewer with --clips, or name another place with --folder"):
        bench_loader(num_clips=10**9, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
