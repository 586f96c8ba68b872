from collections.abc import Iterator

import numpy as np
import pytest
import torch

from tonearm.batch import AudioBatch
from tonearm.benchmarks import train as bench
from tonearm.benchmarks.clip_set import write_clip_set
from tonearm.benchmarks.harness import Role, measure
from tonearm.benchmarks.train import CACHED, CHECKED_UPDATES, bench_train
from tonearm.config import Config
from tonearm.dataio import ClipLoader, Dataset, open_dataset, pack_dataset, read_manifest
from tonearm.errors import RequestError, RunError
from tonearm.training.step import TrainingStep

BARE = "ceiling: one cached batch, no augmentation"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("clips")
    table = write_clip_set(folder, num_clips=14, sample_rate=8000, duration_seconds=1.5)
    pack_dataset(read_manifest("csv", table), folder / "packed", num_workers=1)
    return open_dataset(folder / "packed")


def config(**train: object) -> Config:
    return Config.model_validate(
        {
            "features": {"n_fft": 256, "win_length": 256, "hop_length": 128, "n_mels": 16},
            "augmentation": {"waveform": [{"noise": {"p": 0.5}}]},
            "train": {"batch_size": 4, "duration_seconds": 0.5, "epochs": 1, **train},
            "model": {"blocks": [{"res": [4, 4]}, {"activation": "relu"}, {"pooling": {"mode": "avg"}}]},
        }
    )


def test_from_shards_beside_the_cached_batch_with_and_without_augmentation(dataset: Dataset) -> None:
    report = bench_train(dataset, config(), repeats=3, num_batches=3)
    assert [(result.name, result.role, result.ceiling) for result in report.results] == [
        ("train, from shards", Role.OWN, CACHED),
        (CACHED, Role.CEILING, None),
        (BARE, Role.CEILING, None),
    ]
    assert [result.num_clips for result in report.results] == [12, 12, 12]
    own, cached, bare = report.results
    assert own.ratio_to_ceiling is not None
    assert own.ratio_to_ceiling.median == pytest.approx(np.median(np.divide(cached.seconds, own.seconds)))
    assert (cached.ratio_to_ceiling, bare.ratio_to_ceiling) == (None, None)
    assert report.settings["batches_a_pass"] == 3
    assert report.settings["seconds_a_clip"] == 0.5
    assert report.settings["precision"] == "fp32 channels_last"


def test_only_the_first_reads_shards_and_only_the_last_goes_without_augmentation(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = 0
    steps: list[Config] = []
    iterate, build = ClipLoader.__iter__, TrainingStep.__init__

    def count(self: ClipLoader) -> Iterator[AudioBatch]:
        nonlocal passes
        passes += 1
        return iterate(self)

    def spy(self: TrainingStep, recipe: Config, **more: object) -> None:
        steps.append(recipe)
        build(self, recipe, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ClipLoader, "__iter__", count)
    monkeypatch.setattr(TrainingStep, "__init__", spy)
    bench_train(dataset, config(), repeats=2, num_batches=2)
    assert passes == 1 + 1 + 2  # the cached batch, the warm-up, the repeats
    assert [len(recipe.augmentation.waveform) for recipe in steps] == [1, 1, 0]


def test_more_batches_than_an_epoch_has_are_refused(dataset: Dataset) -> None:
    with pytest.raises(RequestError, match=r"packed has 3 batches of 4; ask for at most as many"):
        bench_train(dataset, config(), num_batches=4)


def test_the_device_is_synchronised(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def spy(contestants: object, **more: object) -> object:
        asked.update(more)
        return measure(contestants, repeats=1)  # type: ignore[arg-type]

    monkeypatch.setattr(bench, "measure", spy)
    bench_train(dataset, config(), repeats=4, num_batches=1)
    assert (asked["device"], asked["repeats"]) == (torch.device("cpu"), 4)


def test_accumulated_steps_pass_the_check(dataset: Dataset) -> None:
    assert len(bench_train(dataset, config(accumulate=3), repeats=1, num_batches=1).results) == 3


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda step: step.optimizer.param_groups[0].update(lr=0.0), f"no weight changed in {CHECKED_UPDATES} batches"),
        (lambda step: step.optimizer.param_groups[0].update(lr=float("nan")), "a weight is no longer finite"),
        (lambda step: next(step.model.parameters()).data.fill_(float("nan")), "its loss is nan"),
    ],
)
def test_a_step_that_does_not_learn_is_not_timed(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, spoil: object, complaint: str
) -> None:
    build = TrainingStep.__init__

    def spoiled(self: TrainingStep, recipe: Config, **more: object) -> None:
        build(self, recipe, **more)  # type: ignore[arg-type]
        spoil(self)  # type: ignore[operator]

    monkeypatch.setattr(TrainingStep, "__init__", spoiled)
    with pytest.raises(RunError, match=f"train, from shards gives a wrong output, so nothing was timed: {complaint}"):
        bench_train(dataset, config(), num_batches=1)
