"""A trained model out of a run's folder, and its score."""

from dataclasses import dataclass
from pathlib import Path

import torch

from tonearm.config import Config
from tonearm.dataio.dataset import Dataset
from tonearm.errors import RequestError, RunError
from tonearm.models import Classifier
from tonearm.models.classifier import build_classifier
from tonearm.training.batches import evaluation_loader
from tonearm.training.checkpoint import Checkpoint, load_checkpoint, saved_config
from tonearm.training.evaluate import evaluate
from tonearm.training.precision import Precision
from tonearm.training.split import hold_out


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
    """The model of a run in eval mode, its configuration and its checkpoint, all from the checkpoint alone.

    Raises:
        RequestError: no run there.
        RunError: a damaged checkpoint.
    """
    checkpoint = load_checkpoint(run, device=device)
    config = saved_config(run, checkpoint)
    model = build_classifier(
        config,
        num_classes=len(checkpoint.class_names),
        sample_rate=checkpoint.sample_rate,
        num_channels=checkpoint.num_channels,
    )
    try:
        model.load_state_dict(checkpoint.scored)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise RunError(f"{run}: its weights do not fit its configuration ({error}).") from error
    return model.to(device).eval(), config, checkpoint


def evaluate_run(run: Path, dataset: Dataset, *, device: torch.device, split: str | None = None) -> Score:
    """Score a run, in float32, on clips it has not learnt from.

    Args:
        run: the folder of the run.
        dataset: the dataset that it was trained on.
        device: where to compute.
        split: "val" or "test", where the dataset has published splits; by default what the run held out.

    Raises:
        RequestError: no run there, another dataset, or a split that was trained on.
        RunError: a damaged checkpoint.
    """
    model, config, checkpoint = load_classifier(run, device=device)
    if checkpoint.dataset_sha256 != dataset.sha256:
        raise RequestError(
            f"{run} was trained on another dataset than {dataset.root}, or on another pack of it, so which clips it "
            "has not learnt from is not known. Give the dataset it was trained on."
        )
    training, held_out, words = hold_out(dataset, fold=checkpoint.fold, seed=config.train.seed)
    if split is not None:
        if split in training.splits:
            raise RequestError(f"{run} was trained on split {split}; score it on another.")
        held_out, words = dataset.where(split=split), f"split {split}"
    batches = evaluation_loader(held_out, config.train, device)
    found = evaluate(model, batches, Precision("fp32", config.train.channels_last, device))
    return Score(found.accuracy, len(held_out), words, checkpoint.epoch)
