import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from tonearm.batch import AudioBatch
from tonearm.benchmarks import loader as bench
from tonearm.benchmarks.clip_set import write_clip_set
from tonearm.benchmarks.copy_ceiling import CopyCeiling
from tonearm.benchmarks.harness import Role, measure
from tonearm.benchmarks.loader import BACKENDS, COPY_CEILING, bench_loader, first_difference, peer_workers
from tonearm.benchmarks.peer_environment import OVERRIDE
from tonearm.benchmarks.peer_process import PeerProcess
from tonearm.dataio import ClipLoader
from tonearm.errors import RequestError, RunError


@pytest.fixture(autouse=True)
def short_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip_set(tmp_path_factory.mktemp("clips"), num_clips=30, sample_rate=8000, duration_seconds=1.5)


@pytest.fixture(scope="module")
def paths(table: Path) -> list[Path]:
    return sorted(table.parent.glob("*.wav"))


@pytest.fixture(scope="module")
def batches(paths: list[Path]) -> list[Tensor]:
    waveform = np.stack([soundfile.read(path, dtype="float32")[0] for path in paths])[:, None]
    return list(torch.from_numpy(waveform).split(8))


def test_every_clip_of_the_set_is_another_file_of_the_asked_format(paths: list[Path], table: Path) -> None:
    assert len({path.read_bytes() for path in paths}) == len(paths) == 30
    info = soundfile.info(paths[7])
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (8000, 1, 12000, "PCM_16")
    assert table.read_text().splitlines()[:2] == ["path,label", "000000.wav,steady"]


def test_a_set_that_is_there_is_kept_and_one_that_was_interrupted_is_written_again(tmp_path: Path) -> None:
    def write() -> Path:
        return write_clip_set(tmp_path, num_clips=2, sample_rate=8000, duration_seconds=1.5)

    table = write()
    (table.parent / "000000.wav").write_bytes(b"mine")
    assert write() == table
    assert (table.parent / "000000.wav").read_bytes() == b"mine"
    table.unlink()
    write()
    assert soundfile.info(table.parent / "000000.wav").frames == 12000


def test_the_right_samples_in_the_right_order_pass(batches: list[Tensor], paths: list[Path]) -> None:
    assert first_difference(batches, paths) is None


def test_a_wrong_sample_is_named(batches: list[Tensor], paths: list[Path]) -> None:
    wrong = [batch.clone() for batch in batches]
    wrong[1][2, 0, 77] += 1 / 32768
    complaint = first_difference(wrong, paths)
    assert complaint is not None
    assert complaint.startswith("000010.wav, sample 77 is ")
    assert complaint.endswith("in the WAV (1 samples differ).")


def test_missing_surplus_and_short_clips_are_named(batches: list[Tensor], paths: list[Path]) -> None:
    assert first_difference(batches[:-1], paths) == "24 clips came, expected 30."
    assert first_difference([*batches, batches[0]], paths) == "more than the 30 clips came."
    short = [batch[..., :-1] for batch in batches]
    assert first_difference(short, paths) == "000000.wav came as (1, 11999), expected (1, 12000)."
    swapped = [batches[1], batches[0], *batches[2:]]
    assert "000000.wav, sample" in str(first_difference(swapped, paths))


@pytest.mark.parametrize("num_threads", [1, 3])
def test_the_copy_ceiling_delivers_the_clips(paths: list[Path], num_threads: int) -> None:
    clips = [soundfile.read(path, dtype="int16")[0] for path in paths]
    ceiling = CopyCeiling(clips, batch_size=8, device=torch.device("cpu"), num_threads=num_threads)
    for _ in range(2):
        assert first_difference(ceiling, paths) is None
    assert [len(batch) for batch in ceiling] == [8, 8, 8, 6]
    ceiling.close()


class Copying:
    """Stands for the event of a copy that has not ended."""

    def __init__(self) -> None:
        self.waited_for = threading.Event()
        self.ended = threading.Event()

    def synchronize(self) -> None:
        self.waited_for.set()
        assert self.ended.wait(timeout=10)


def test_the_copy_ceiling_fills_no_buffer_that_is_still_being_copied() -> None:
    ceiling = CopyCeiling([np.ones(4, np.int16)], batch_size=1, device=torch.device("cpu"), num_threads=1)
    copying = Copying()
    for buffer in ceiling._buffers:
        buffer.sent = copying  # type: ignore[assignment]
    batches: list[Tensor] = []
    consumer = threading.Thread(target=lambda: batches.extend(ceiling))
    consumer.start()
    assert copying.waited_for.wait(timeout=10)
    assert not any(buffer.samples.any() for buffer in ceiling._buffers)
    copying.ended.set()
    consumer.join()
    assert batches[0].tolist() == [[[1 / 32768] * 4]]
    ceiling.close()


@pytest.mark.gpu
def test_the_copy_ceiling_delivers_the_clips_on_a_gpu(paths: list[Path]) -> None:
    clips = [soundfile.read(path, dtype="int16")[0] for path in paths]
    ceiling = CopyCeiling(clips, batch_size=2, device=torch.device("cuda"), num_threads=2)
    for _ in range(2):  # each buffer is used five times a pass
        assert first_difference(list(ceiling), paths) is None
    ceiling.close()


@pytest.mark.parametrize(
    ("cores", "workers"), [(1, [1, 2, 3, 4]), (2, [1, 2, 3, 4]), (6, [1, 2, 3, 4, 6]), (32, [1, 2, 3, 4, 16, 32])]
)
def test_peers_are_swept_from_one_to_four_workers_and_up_to_every_core(cores: int, workers: list[int]) -> None:
    assert peer_workers(cores) == workers


def test_a_whole_run_with_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDE, sys.executable)
    monkeypatch.setattr(bench, "available_cores", lambda: 2)
    monkeypatch.setattr(bench, "peer_workers", lambda cores: range(1, cores + 1))
    told: list[str] = []
    report = bench_loader(
        num_clips=10, sample_rate=8000, duration_seconds=1.5, batch_size=4, repeats=2, peers=True, folder=tmp_path,
        announce=told.append,
    )  # fmt: skip
    by_name = {result.name: result for result in report.results}
    peers = [result for result in report.results if result.role is Role.PEER]
    assert [peer.name for peer in peers] == [f"DataLoader + soundfile, WAV, workers={count}" for count in (1, 2)]
    assert all("torch 2." in peer.note for peer in peers)
    for codec, backends in BACKENDS.items():
        for backend in backends:
            if backend != "dali" or report.environment.versions["dali"]:
                own = by_name[f"tonearm {codec}, {backend}"]
                assert own.ratio_to_ceiling is not None
                assert own.ratio_to_best_peer is not None
    assert by_name[COPY_CEILING].role is Role.CEILING
    assert {result.num_clips for result in report.results} == {10}
    assert report.settings["batch_size"] == 4
    assert "checking tonearm pcm16, copy" in told


def test_a_loader_that_gives_other_samples_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "BACKENDS", {"pcm16": ("soundfile",)})
    original = ClipLoader.__iter__

    def louder(self: ClipLoader) -> Iterator[AudioBatch]:
        for batch in original(self):
            batch.waveform.mul_(1.5)
            yield batch

    monkeypatch.setattr(ClipLoader, "__iter__", louder)
    with pytest.raises(
        RunError, match=r"tonearm pcm16, soundfile gives a wrong output, so nothing was timed: 000000\.wav"
    ):
        bench_loader(num_clips=3, sample_rate=8000, duration_seconds=1.5, batch_size=2, repeats=1, folder=tmp_path)


def small_run(folder: Path, *, peers: bool = False) -> None:
    bench_loader(
        num_clips=3, sample_rate=8000, duration_seconds=1.5, batch_size=2, repeats=1, peers=peers, folder=folder
    )


def test_a_copy_ceiling_that_gives_other_samples_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = CopyCeiling.__iter__
    monkeypatch.setattr(CopyCeiling, "__iter__", lambda self: (batch * 0.5 for batch in original(self)))
    with pytest.raises(RunError, match=r"ceiling: copy gives a wrong output, so nothing was timed: 000000\.wav"):
        small_run(tmp_path)


def test_a_peer_that_gives_other_samples_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDE, sys.executable)
    monkeypatch.setattr(bench, "peer_workers", lambda cores: (1,))
    original = PeerProcess.first_batch
    monkeypatch.setattr(PeerProcess, "first_batch", lambda self: original(self)[::-1].copy())
    with pytest.raises(RunError, match=r"workers=1 gives a wrong output, so nothing was timed: 000000\.wav"):
        small_run(tmp_path, peers=True)


def test_passes_have_a_least_length_and_the_device_is_synchronised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    def spy(contestants: object, **more: object) -> object:
        asked.update(more)
        return measure(contestants, repeats=1)  # type: ignore[arg-type]

    monkeypatch.setattr(bench, "MIN_SECONDS", 0.125)
    monkeypatch.setattr(bench, "measure", spy)
    small_run(tmp_path)
    assert (asked["min_seconds"], asked["device"]) == (0.125, torch.device("cpu"))


def test_crcs_are_checked_when_first_touched_and_in_one_row_each_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: dict[str, str] = {}
    made: dict[ClipLoader, str] = {}

    def make(*data: object, verify: str = "first", **more: object) -> ClipLoader:
        loader = ClipLoader(*data, verify=verify, **more)  # type: ignore[arg-type]
        made[loader] = verify
        return loader

    original = bench._contestant

    def spy(name: str, loader: ClipLoader, *more: object, **notes: object) -> object:
        verified[name] = made[loader]
        return original(name, loader, *more, **notes)  # type: ignore[arg-type]

    monkeypatch.setattr(bench, "ClipLoader", make)
    monkeypatch.setattr(bench, "_contestant", spy)
    small_run(tmp_path)
    assert verified.pop("tonearm pcm16, copy, CRC each pass") == "always"
    assert {"tonearm pcm16, copy", "tonearm flac, soundfile"} <= verified.keys()
    assert set(verified.values()) == {"first"}


@pytest.mark.parametrize("name", ["num_clips", "batch_size", "duration_seconds"])
def test_numbers_that_make_no_set_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="all must be positive"):
        bench_loader(**{name: 0})  # type: ignore[arg-type]
