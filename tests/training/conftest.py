"""A tiny packed dataset that can be learnt, and a configuration that learns it in a second or two."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tonearm.config import Config
from tonearm.dataio import Dataset, open_dataset, pack_dataset, read_manifest

RATE = 8000


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pitches, 16 clips each in four folds of four; packed."""
    root = tmp_path_factory.mktemp("tones")
    generator = np.random.default_rng(0)
    rows = ["path,label,fold,group"]
    for label, frequency in (("low", 300), ("middle", 900), ("high", 2500)):
        for number in range(16):
            time = np.arange(4000 + 100 * number) / RATE
            tone = 0.3 * np.sin(2 * np.pi * frequency * generator.uniform(0.95, 1.05) * time)
            soundfile.write(root / f"{label}{number}.wav", tone + 0.01 * generator.standard_normal(len(time)), RATE)
            rows.append(f"{label}{number}.wav,{label},{number % 4},{label}{number}")
    (root / "tones.csv").write_text("\n".join(rows) + "\n")
    pack_dataset(read_manifest("csv", root / "tones.csv"), root / "packed", num_workers=1)
    return root / "packed"


@pytest.fixture
def dataset(tones: Path) -> Dataset:
    return open_dataset(tones)


@pytest.fixture
def config() -> Config:
    return Config.model_validate(
        {
            "features": {"n_fft": 256, "win_length": 256, "hop_length": 128, "n_mels": 16},
            "augmentation": {
                "waveform": [{"time_shift_stretch": {"p": 0.5}}, {"noise": {"p": 0.5}}, {"reverb": {"p": 0.2}}],
                "specgram": [
                    {"time_masking": {"p": 0.5, "time_mask_param": 4}},
                    {"frequency_masking": {"p": 0.5, "freq_mask_param": 2}},
                    {"dropblock": {"p": 0.5, "drop_probability": 0.1, "block_size": [2, 2]}},
                ],
            },
            "train": {"epochs": 4, "batch_size": 12, "lr": 0.01, "duration_seconds": 0.5, "seed": 3},
            "model": {
                "blocks": [
                    {"res": [4, 8]},
                    {"activation": "relu"},
                    {"dropout": 0.1},
                    {"pooling": {"mode": "avg", "keep": "channel_mel"}},
                ]
            },
        }
    )
