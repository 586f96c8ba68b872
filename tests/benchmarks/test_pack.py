from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import soundfile

from tonearm.benchmarks import pack as bench
from tonearm.benchmarks.clip_set import write_clip_set
from tonearm.benchmarks.harness import Role
from tonearm.benchmarks.pack import bench_pack, worker_counts
from tonearm.benchmarks.plain_pack import pack_flac, pack_rows
from tonearm.errors import RequestError, RunError


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    table = write_clip_set(tmp_path_factory.mktemp("clips"), num_clips=4, sample_rate=8000, duration_seconds=1.5)
    return sorted(table.parent.glob("*.wav"))


def small_run(folder: Path) -> Any:
    return bench_pack(num_clips=5, sample_rate=8000, duration_seconds=1.5, repeats=2, folder=folder)


def test_the_plain_loops_write_the_recordings(paths: list[Path], tmp_path: Path) -> None:
    samples = np.stack([soundfile.read(path, dtype="int16")[0] for path in paths])
    pack_rows(paths, tmp_path / "rows.h5")
    with h5py.File(tmp_path / "rows.h5") as file:
        assert file["waveform"].dtype == np.int16
        np.testing.assert_array_equal(file["waveform"][:], samples)
    pack_flac(paths, tmp_path / "flac.h5")
    decoded = [batch.numpy()[0, 0] for batch in bench._plain_clips(tmp_path / "flac.h5")]
    np.testing.assert_array_equal(decoded, samples.astype(np.float32) / 32768)


@pytest.mark.parametrize(("cores", "counts"), [(1, [1, 2]), (2, [1, 2]), (6, [1, 2, 6])])
def test_packing_is_measured_with_one_worker_two_and_all(cores: int, counts: list[int]) -> None:
    assert worker_counts(cores) == counts


def test_a_whole_run_leaves_the_recordings_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "available_cores", lambda: 2)
    report = small_run(tmp_path)
    assert {result.group for result in report.results} == {"WAV to pcm16", "WAV to flac", "FLAC to pcm16"}
    for group in ("WAV to pcm16", "WAV to flac", "FLAC to pcm16"):
        one, two, plain = [result for result in report.results if result.group == group]
        assert (one.name, two.name) == (f"tonearm, {group}, 1 worker", f"tonearm, {group}, 2 workers")
        assert (one.role, plain.role) == (Role.OWN, Role.PEER)
        assert one.ratio_to_best_peer is not None
        assert two.note.endswith(" times one worker")
        assert all(" MB/s read" in result.note for result in (one, two, plain))
        assert one.num_clips == plain.num_clips == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wav-5-8000-1.5s", "wav-5-8000-1.5s-files"]


def test_each_pass_writes_where_nothing_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "available_cores", lambda: 1)
    there: list[bool] = []
    original = bench.Pass.pack

    def spy(self: bench.Pass, num_clips: int) -> int:
        there.append(self._out.exists())
        return original(self, num_clips)

    monkeypatch.setattr(bench.Pass, "pack", spy)
    small_run(tmp_path)
    assert there == [False] * len(there)
    assert len(there) == 9 * (1 + 2)


@pytest.mark.parametrize(("function", "row"), [("pack_rows", "plain loop, WAV to pcm16"), ("_pack", "tonearm, WAV to")])
def test_what_is_packed_wrong_is_not_timed(
    function: str, row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "worker_counts", lambda cores: [1])
    original = getattr(bench, function)

    def swapped(source: Any, out: Path, **more: Any) -> None:
        if isinstance(source, list):
            original([source[1], source[0], *source[2:]], out, **more)
        else:
            clips = source.clips
            original(type(source)(**{**vars(source), "clips": (clips[1], clips[0], *clips[2:])}), out, **more)

    monkeypatch.setattr(bench, function, swapped)
    with pytest.raises(RunError, match=rf"{row}.* gives a wrong output, so nothing was timed: 000000\.wav, sample"):
        small_run(tmp_path)


@pytest.mark.parametrize("name", ["num_clips", "duration_seconds"])
def test_numbers_that_make_no_set_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="both must be positive"):
        bench_pack(**{name: 0})  # type: ignore[arg-type]
