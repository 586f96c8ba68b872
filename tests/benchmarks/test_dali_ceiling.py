from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tonearm.benchmarks import dali_ceiling
from tonearm.benchmarks.clip_set import write_clip_set
from tonearm.benchmarks.dali_ceiling import DaliCeiling
from tonearm.benchmarks.own_rows import has_dali
from tonearm.benchmarks.sample_check import first_difference
from tonearm.dataio import open_dataset, pack_dataset, read_manifest

needs_dali = pytest.mark.skipif(not has_dali(), reason="DALI is not installed")


@needs_dali
@pytest.mark.parametrize(("lanes", "num_threads", "depth"), [(1, 1, 1), (1, 2, 3), (2, 2, 2), (3, 2, 1), (9, 1, 1)])
def test_the_dali_ceiling_delivers_the_clips_again_and_again(
    tmp_path: Path, lanes: int, num_threads: int, depth: int
) -> None:
    table = write_clip_set(tmp_path, num_clips=30, sample_rate=8000, duration_seconds=1.5)
    pack_dataset(read_manifest("csv", table), tmp_path / "flac", codec="flac")
    flac = open_dataset(tmp_path / "flac")
    payloads = [np.array(flac.payload(row)) for row in range(len(flac))]
    ceiling = DaliCeiling(
        payloads,
        num_samples=12000,
        batch_size=8,
        device=torch.device("cpu"),
        lanes=lanes,
        num_threads=num_threads,
        depth=depth,
    )
    with closing(ceiling):
        for _ in range(3):
            assert first_difference(ceiling, sorted(table.parent.glob("*.wav"))) is None
        assert [len(batch) for batch in ceiling] == [8, 8, 8, 6]


@needs_dali
def test_each_clip_is_converted_by_itself_and_a_short_one_is_padded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[tuple[int, ...]] = []
    multiply = np.multiply

    def scale(samples: NDArray[np.float32], factor: np.float32, *, out: NDArray[np.float32]) -> None:
        converted.append(samples.shape)
        multiply(samples, factor, out=out)

    payloads = []
    for seconds in (1.5, 0.5):
        folder = tmp_path / str(seconds)
        table = write_clip_set(folder, num_clips=2, sample_rate=8000, duration_seconds=seconds)
        pack_dataset(read_manifest("csv", table), folder / "flac", codec="flac")
        flac = open_dataset(folder / "flac")
        payloads += [np.array(flac.payload(row)) for row in range(len(flac))]
    ceiling = DaliCeiling(
        payloads[::-1], num_samples=12000, batch_size=2, device=torch.device("cpu"), lanes=1, num_threads=1, depth=1
    )
    with closing(ceiling):
        list(ceiling)
        monkeypatch.setattr(dali_ceiling.np, "multiply", scale)
        short, long = (batch.clone() for batch in ceiling)
    assert converted == [(4000,), (4000,), (12000,), (12000,)]
    assert short[..., :4000].any()
    assert not short[..., 4000:].any()
    assert long[..., 4000:].any()
