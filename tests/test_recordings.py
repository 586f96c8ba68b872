"""The whole way on real recordings: packed from Vorbis, decoded by every backend, learnt from."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tonearm.config import load_config
from tonearm.dataio import ClipLoader, open_dataset, pack_dataset, read_manifest
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.verify import verify_dataset
from tonearm.recipes import find_config
from tonearm.training.loop import train

HALF_A_STEP = 0.5 / 32768 + 1e-7  # rounding to int16, and float32's own
DECODERS_AGREE = 1e-6  # DALI's and libsndfile's Vorbis differ in the last bits
CHANCE = 0.1


@pytest.fixture(scope="module")
def esc10_pcm16(esc10: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("esc10") / "pcm16"
    assert pack_dataset(read_manifest("esc10", esc10), out).rejects == ()
    return out


def test_pcm16_is_the_recording_rounded_to_16_bits(esc10: Path, esc10_pcm16: Path) -> None:
    assert verify_dataset(esc10_pcm16) == []
    manifest, dataset = read_manifest("esc10", esc10), open_dataset(esc10_pcm16)
    for row in range(0, 400, 40):
        expected, rate = soundfile.read(esc10 / manifest.clips[row].path, dtype="float32")
        assert rate == dataset.sample_rate == 44_100
        error = np.abs(decode_clip(dataset, row)[:, 0] - np.clip(expected, -1, 32767 / 32768))
        assert error.max() <= HALF_A_STEP


def test_dali_decodes_real_vorbis_like_libsndfile(esc10: Path, tmp_path: Path) -> None:
    pytest.importorskip("nvidia.dali")
    pack_dataset(read_manifest("esc10", esc10), tmp_path / "source", codec="source")
    dataset = open_dataset(tmp_path / "source").where(fold=1).rows(np.arange(0, 80, 5))
    fast, slow = (
        torch.cat([batch.waveform for batch in ClipLoader(dataset, batch_size=8, shuffle=True, seed=1,
                                                          duration_seconds=2.0, backend=backend)])
        for backend in ("dali", "soundfile")
    )  # fmt: skip
    assert (fast - slow).abs().max() <= DECODERS_AGREE


@pytest.mark.slow
def test_a_few_epochs_already_beat_chance(esc10_pcm16: Path, tmp_path: Path) -> None:
    config = load_config(find_config("esc10"), ["train.epochs=4", "train.duration_seconds=2.5"])
    result = train(open_dataset(esc10_pcm16), config, run=tmp_path / "run", fold=1, say=lambda _: None)
    assert result.accuracy > 3 * CHANCE
    assert result.waiting_share < 0.5
