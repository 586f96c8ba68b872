"""A trained model out of a run's folder, and its score."""

from dataclasses import dataclass
from pathlib import Path

import torch

from tonearm.config import Config, load_config
from tonearm.dataio.dataset import Dataset
from tonearm.errors import RequestError, RunError
from tonearm.training.batches import evaluation_loader
from tonearm.training.checkpoint import Checkpoint, load_checkpoint
from tonearm.training.evaluate import evaluate
from tonearm.training.loop import CONFIG
from tonearm.training.precision import resolve_precision
from tonearm.training.split import hold_out
from tonearm.training.step import Classifier


@dataclass(frozen=True)
class Score:
    """A run's accuracy on clips it did not learn from.

    Attributes:
        accuracy: share of right clips.
        num_clips: how many were scored.
        held_out: which, in words.
        epoch: epochs that the model had learnt for.
    """

    accuracy: float
    num_clips: int
    held_out: str
    epoch: int


def load_classifier(run: Path, *, device: torch.device) -> tuple[Classifier, Config, Checkpoint]:
    """The model of a run in eval mode, its configuration and its checkpoint.

    Raises:
        RequestError: no run there.
        RunError: a damaged checkpoint, or one that does not fit the run's own configuration.
    """
    checkpoint = load_checkpoint(run, device=device)
    config = load_config(run / CONFIG)
    model = Classifier(
        config, num_classes=len(checkpoint.class_names), sample_rate=checkpoint.sample_rate,
        num_channels=checkpoint.num_channels,
    )  # fmt: skip
    try:
        model.load_state_dict(checkpoint.scored)
    except RuntimeError as error:
        raise RunError(f"{run}: its weights do not fit its {CONFIG}, which was changed. {error}") from error
    return model.to(device).eval(), config, checkpoint


def evaluate_run(run: Path, dataset: Dataset, *, fold: int | None, device: torch.device) -> Score:
    """Score a run on what it held out, or on another fold.

    Raises:
        RequestError: no run there, or a dataset of other classes, rate or channels.
        RunError: a damaged checkpoint.
    """
    model, config, checkpoint = load_classifier(run, device=device)
    for what, then, now in (
        ("classes", checkpoint.class_names, dataset.class_names),
        ("sample rate", checkpoint.sample_rate, dataset.sample_rate),
        ("channels", checkpoint.num_channels, dataset.num_channels),
    ):
        if then != now:
            raise RequestError(f"{run} was trained on {what} {then}, but {dataset.root} has {now}.")
    chosen = checkpoint.fold if fold is None else fold
    _, held_out, words = hold_out(dataset, fold=chosen, seed=config.train.seed)
    batches = evaluation_loader(held_out, config.train, device)
    found = evaluate(model, batches, resolve_precision(config.train, device))
    return Score(found.accuracy, len(held_out), words, checkpoint.epoch)
