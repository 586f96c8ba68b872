"""Peak and root mean square against their formulas, and the clipped samples of every way into a shard."""

from pathlib import Path

import numpy as np
import pytest

from tests.dataio.recordings import sound, write
from tonearm.dataio import open_dataset, pack_dataset
from tonearm.dataio.levels import LevelMeter
from tonearm.dataio.manifest import Clip, Manifest

LENGTHS = [1, 2, 8191, 8192, 8193, 65_535, 65_536, 65_537, 200_001]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("channels", [1, 2])
def test_int16_levels_are_exact(length: int, channels: int) -> None:
    meter = LevelMeter()
    meter.measure(np.full((70_000, 1), -32768, np.int16), full_scale=32768)  # nothing of it may stay behind
    samples = np.random.default_rng(length).integers(-32768, 32768, (length, channels)).astype(np.int16)
    peak, rms = meter.measure(samples, full_scale=32768)
    assert peak == np.abs(samples.astype(np.int64)).max() / 32768
    assert rms == np.sqrt(int((samples.astype(np.int64) ** 2).sum()) / samples.size) / 32768


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", LENGTHS)
def test_float_levels(length: int, dtype: type) -> None:
    samples = np.random.default_rng(length).normal(0, 0.5, (length, 1)).astype(dtype)
    peak, rms = LevelMeter().measure(samples, full_scale=1.0)
    assert peak == np.abs(samples).max()
    assert rms == pytest.approx(np.sqrt(np.mean(np.square(samples, dtype=np.float64))), rel=1e-12)


def test_silence_and_the_lowest_sample() -> None:
    assert LevelMeter().measure(np.zeros((1000, 1), np.int16), full_scale=32768) == (0.0, 0.0)
    assert LevelMeter().measure(np.full((1000, 1), -32768, np.int16), full_scale=32768) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("codec", "rate", "peak", "num_clipped"),
    [("pcm16", None, 1.0, 3), ("flac", None, 1.0, 3), ("source", None, 1.5, 0)],
)
def test_clipped_samples_are_counted_where_they_are_clipped(
    tmp_path: Path, codec: str, rate: int | None, peak: float, num_clipped: int
) -> None:
    samples = np.full((8000, 1), 0.25, np.float32)
    samples[[10, 20, 5000], 0] = [1.5, -1.25, 1.0]  # 1.0 is one step beyond what int16 holds
    write(tmp_path / "in" / "a.wav", samples, subtype="FLOAT")
    write(tmp_path / "in" / "b.wav", sound(8000))
    clips = (Clip("a", "a.wav", (0,)), Clip("b", "b.wav", (0,)))
    manifest = Manifest("made", tmp_path / "in", ("thing",), clips)
    summary = pack_dataset(manifest, tmp_path / "out", codec=codec, sample_rate=rate)
    table = open_dataset(tmp_path / "out").table
    assert table.num_clipped.tolist() == [num_clipped, 0]
    assert summary.num_clipped == num_clipped
    assert table.peak.tolist() == [peak, np.float32(np.abs(sound(8000).astype(int)).max() / 32768)]
    kept = samples if codec == "source" else np.clip(samples, -1, 32767 / 32768)
    assert table.rms[0] == pytest.approx(np.sqrt(np.mean(kept.astype(np.float64) ** 2)), rel=1e-6)


def test_an_excerpt_counts_its_own_clipped_samples(tmp_path: Path) -> None:
    samples = np.zeros((16_000, 1), np.float32)
    samples[[100, 9000, 9001], 0] = 2.0
    write(tmp_path / "in" / "a.wav", samples, subtype="FLOAT")
    clips = tuple(
        Clip(f"{start}", "a.wav", (0,), start_seconds=start, end_seconds=start + 1.0) for start in (0.0, 1.0, 0.5)
    )
    pack_dataset(Manifest("made", tmp_path / "in", ("thing",), clips), tmp_path / "out")
    assert open_dataset(tmp_path / "out").table.num_clipped.tolist() == [1, 2, 2]
