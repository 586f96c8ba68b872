import pytest
import torch

from tonearm.benchmarks import augment_training
from tonearm.benchmarks.augment_material import make_material
from tonearm.benchmarks.augment_training import (
    AUGMENTED,
    BARE,
    training_contestants,
    with_bandwidth,
    with_share_of_step,
)
from tonearm.benchmarks.harness import Measurement, Role, measure
from tonearm.config import Config

RECIPE = Config.model_validate(
    {
        "features": {"n_fft": 256, "win_length": 256, "hop_length": 128, "n_mels": 16},
        "augmentation": {"waveform": [{"noise": {"p": 0.5}}]},
        "train": {"schedule": "one_cycle", "epochs": 1},
        "model": {"blocks": [{"res": [4, 4]}, {"activation": "relu"}, {"pooling": {"mode": "avg"}}]},
    }
)


def measurement(name: str, seconds: tuple[float, ...], num_clips: int = 10) -> Measurement:
    return Measurement(name, Role.OWN, "", None, "", num_clips, seconds)


def test_the_step_learns_with_and_without_augmentation() -> None:
    material = make_material(
        batch_size=4, sample_rate=8000, duration_seconds=1.5, features=RECIPE.features, device=torch.device("cpu")
    )
    measurements = measure(training_contestants(RECIPE, material), repeats=2)
    assert [each.name for each in measurements] == [AUGMENTED, BARE]
    assert {each.num_clips for each in measurements} == {4}


def test_the_share_of_augmentation_is_paired_by_repeat() -> None:
    rows = [measurement("other", (1.0,)), measurement(AUGMENTED, (4.0, 10.0)), measurement(BARE, (1.5, 4.5), 5)]
    other, step, bare = with_share_of_step(rows)
    assert step.note == "augmentation takes 17.5% of it, quartiles 13.8% – 21.3%"
    assert (other.note, bare.note) == ("", "")
    assert with_share_of_step(rows[:1]) == rows[:1]


def test_the_bandwidth_of_one_read_and_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        memory_clock_rate = 1_000_000  # kHz
        memory_bus_width = 4000  # bits: 1000 GB/s

    monkeypatch.setattr(augment_training.torch.cuda, "get_device_properties", lambda _: Memory)
    copy, other = with_bandwidth(
        [measurement("copy", (1.0,)), measurement("other", (1.0,))], {"copy": 5 * 10**9}, torch.device("cuda")
    )
    assert copy.note == "one read and one write: 100 GB/s, 10.0% of the memory's"
    assert other.note == ""
