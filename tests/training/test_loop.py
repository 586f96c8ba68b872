"""Training from shards to a score; and a run that was interrupted ends with the same weights."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tonearm.config import Config, load_config
from tonearm.dataio import ClipLoader, Dataset
from tonearm.dataio.clip_rows import clips_of, with_facts
from tonearm.errors import RequestError, RunError
from tonearm.training import loop
from tonearm.training.augmentation import with_every_argument
from tonearm.training.checkpoint import load_checkpoint
from tonearm.training.loop import set_normalization, train, what_limited
from tonearm.training.restore import evaluate_run
from tonearm.training.split import hold_out
from tonearm.training.step import TrainingStep

CPU = torch.device("cpu")
NORMALISED = 1e-3  # of a deviation: float32, and the deviation here has n - 1 in its denominator


def changed(config: Config, **train: object) -> Config:
    data = config.model_dump(mode="json")
    data["train"].update(train)
    return Config.model_validate(data)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run, device=CPU).scored


def test_it_learns_and_says_how(dataset: Dataset, config: Config, tmp_path: Path) -> None:
    lines: list[str] = []
    result = train(dataset, changed(config, epochs=12), run=tmp_path / "run", fold=1, say=lines.append)
    assert result.accuracy > 0.9
    assert lines[0].startswith("tones: 36 clips to train on, 12 held out (fold 1); ")
    for line in lines[1:13]:
        assert "clips/s" in line
        assert "waiting for data" in line
    assert lines[-1].startswith("limited by ")
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == list(range(1, 13))
    assert records[-1]["accuracy"] == result.accuracy
    assert records[-1]["loss"] < records[0]["loss"]
    assert load_config(tmp_path / "run" / "config.yaml") == with_every_argument(
        changed(config, epochs=12, precision="fp32"), sample_rate=dataset.sample_rate
    )
    (tmp_path / "run" / "config.yaml").unlink()  # the checkpoint carries all that is needed
    score = evaluate_run(tmp_path / "run", dataset, device=CPU)
    assert (score.accuracy, score.num_clips, score.held_out) == (result.accuracy, 12, "fold 1")


@pytest.mark.parametrize(
    "train_settings",
    [
        {},
        {"ema_decay": 0.9, "schedule": "cosine"},
        {"accumulate": 2, "grad_clip_value": 0.5, "grad_clip_norm": 1.0, "gradient_checkpointing": True},
        {"precision": "bf16", "channels_last": False, "schedule": "constant"},
    ],
)
def test_an_interrupted_run_resumes_to_the_same_weights(
    dataset: Dataset, config: Config, tmp_path: Path, train_settings: dict[str, object]
) -> None:
    config = changed(config, **train_settings)
    train(dataset, config, run=tmp_path / "whole", fold=0, say=lambda _: None)

    def stop(line: str) -> None:
        if line.startswith("epoch   2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(dataset, config, run=tmp_path / "cut", fold=0, say=stop)
    torch.manual_seed(99)  # a resumed run does not depend on what the process did before
    result = train(dataset, config, run=tmp_path / "cut", fold=0, resume=True, say=lambda _: None)
    assert result.epochs == 4
    whole, cut = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    for name in whole:
        assert torch.equal(whole[name], cut[name]), name


def test_resuming_a_finished_run_scores_it_again(dataset: Dataset, config: Config, tmp_path: Path) -> None:
    first = train(dataset, config, run=tmp_path / "run", fold=0, say=lambda _: None)
    again = train(dataset, config, run=tmp_path / "run", fold=0, resume=True, say=lambda _: None)
    assert (again.accuracy, again.epochs) == (first.accuracy, 4)
    assert again.clips_per_second is None


def test_a_resume_that_does_not_fit_says_what_differs(dataset: Dataset, config: Config, tmp_path: Path) -> None:
    train(dataset, changed(config, epochs=1), run=tmp_path, fold=0, say=lambda _: None)
    with pytest.raises(RequestError, match="the configuration is not the one"):
        train(dataset, config, run=tmp_path, fold=0, resume=True)
    with pytest.raises(RequestError, match="the held-out fold is not the one"):
        train(dataset, changed(config, epochs=1), run=tmp_path, fold=1, resume=True)
    with pytest.raises(RequestError, match="holds a run already"):
        train(dataset, config, run=tmp_path, fold=0)
    with pytest.raises(RequestError, match=r"no last.pt in it"):
        train(dataset, config, run=tmp_path / "none", fold=0, resume=True)


def test_several_labels_a_clip_are_refused_before_a_run_is_begun(
    dataset: Dataset, config: Config, tmp_path: Path
) -> None:
    clips = [dataclasses.replace(clip, labels=(0, 1)) for clip in clips_of(dataset.table)]
    several = dataclasses.replace(dataset, table=with_facts(dataset.table, clips))
    with pytest.raises(RequestError, match="48 of 48 clips have several labels"):
        train(several, config, run=tmp_path / "run", fold=0)
    assert not (tmp_path / "run").exists()


def test_training_leaves_the_global_generator_alone(dataset: Dataset, config: Config, tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(dataset, changed(config, epochs=1), run=tmp_path, fold=0, say=lambda _: None)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_explodes_stops_and_keeps_the_epoch_before(
    dataset: Dataset, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = loop._learn
    monkeypatch.setattr(loop, "_learn", lambda step, loader, epoch: math.nan if epoch else learn(step, loader, epoch))
    with pytest.raises(RunError, match=r"became nan in epoch 2; last.pt holds the epoch before. Lower train.lr"):
        train(dataset, config, run=tmp_path, fold=0, say=lambda _: None)
    assert load_checkpoint(tmp_path, device=CPU).epoch == 1


def test_epochs_zero_stops_when_it_no_longer_improves(dataset: Dataset, config: Config, tmp_path: Path) -> None:
    lines: list[str] = []
    config = changed(config, epochs=0, patience=2, schedule="constant")
    result = train(dataset, config, run=tmp_path, fold=0, say=lines.append)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    scores = [record["accuracy"] for record in records]
    assert int(np.argmax(scores)) == len(scores) - 3
    assert result.epochs == len(scores)
    assert any(line.startswith("stopped: no better than") for line in lines)


def test_the_normalisation_comes_from_the_training_clips_alone(dataset: Dataset, config: Config) -> None:
    training, _, _ = hold_out(dataset, fold=2, seed=0)
    config = changed(config, duration_seconds=None)
    step = TrainingStep(config, num_classes=3, sample_rate=8000, num_channels=1, device=CPU, batches_an_epoch=3)
    set_normalization(step, training)
    frames = []
    for batch in ClipLoader(training, batch_size=1):
        length = int(batch.lengths)
        inside = (length - 128) // 128 + 1  # windows of 256 samples, 128 apart, centred
        frames.append(step.model.front_end(batch.waveform[..., :length])[0, 0, :, :inside])
    every = torch.cat(frames, dim=1)
    assert every.mean(dim=1).abs().max() < NORMALISED
    assert (every.std(dim=1) - 1).abs().max() < NORMALISED


def test_what_limited_names_the_largest_share() -> None:
    assert what_limited({"waiting": 6.0, "model": 4.0}, 10.0) == (
        "limited by loading: waiting for data took 60% of the time (waiting 60.0%, model 40.0%)"
    )
    assert "nothing left" in what_limited({}, 0.0)


def test_misfits_are_refused_before_anything_is_written(dataset: Dataset, config: Config, tmp_path: Path) -> None:
    data = config.model_dump(mode="json") | {"sample_rate": 16_000}
    with pytest.raises(RequestError, match=r"sample_rate is 16000 .* packed at 8000 Hz. Pack it"):
        train(dataset, Config.model_validate(data), run=tmp_path / "run", fold=0)
    with pytest.raises(RequestError, match="fp16 needs a GPU"):
        train(dataset, changed(config, precision="fp16"), run=tmp_path / "run", fold=0)
    with pytest.raises(RequestError, match="name the one to hold out with --fold, out of 0, 1, 2, 3"):
        train(dataset, config, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_evaluating_on_other_data_is_refused(dataset: Dataset, config: Config, tmp_path: Path) -> None:
    train(dataset, changed(config, epochs=1), run=tmp_path / "run", fold=0, say=lambda _: None)
    with pytest.raises(RequestError, match="was trained on another dataset than"):
        evaluate_run(tmp_path / "run", dataclasses.replace(dataset, sha256="0" * 64), device=CPU)
    with pytest.raises(RequestError, match="no split 'test'; its clips have no split"):
        evaluate_run(tmp_path / "run", dataset, device=CPU, split="test")


@pytest.mark.gpu
def test_a_gpu_trains_in_fp16_channels_last(dataset: Dataset, config: Config, tmp_path: Path) -> None:
    lines: list[str] = []
    result = train(dataset, changed(config, epochs=12), run=tmp_path, fold=1, device="cuda", say=lines.append)
    assert "fp16 channels_last, cuda" in lines[0]
    assert result.accuracy > 0.9
