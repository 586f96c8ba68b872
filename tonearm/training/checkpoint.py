"""Checkpoints: written whole or not at all, read without unpickling anything but tensors and plain values."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tonearm.dataio.atomic import atomic_path
from tonearm.errors import RequestError, RunError

LAST = "last.pt"
_VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """A run as it stood after an epoch.

    Attributes:
        epoch: epochs done.
        config: the whole configuration as YAML.
        class_names: in the order of the scores.
        sample_rate, num_channels: of the waveforms that the model takes.
        dataset_sha256: the manifest hash of the packed dataset.
        fold: the fold held out, or None.
        state: of :class:`tonearm.training.step.TrainingStep`.
        scored: weights of the model that is evaluated.
        best: the best held-out accuracy so far and the epochs since, for early stopping.
    """

    epoch: int
    config: str
    class_names: tuple[str, ...]
    sample_rate: int
    num_channels: int
    dataset_sha256: str
    fold: int | None
    state: dict[str, Any]
    scored: dict[str, Any]
    best: tuple[float, int]
    version: int = _VERSION


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> None:
    """Write ``run/last.pt``; the one before stays until the new one is on the disk."""
    with atomic_path(run / LAST) as temporary:
        torch.save(vars(checkpoint), temporary)


def load_checkpoint(run: Path, *, device: torch.device) -> Checkpoint:
    """Read ``run/last.pt``.

    Raises:
        RequestError: there is no run or no checkpoint in it.
        RunError: the file is damaged, not a checkpoint, or of another version.
    """
    path = run / LAST
    if not path.is_file():
        raise RequestError(f"{run}: no {LAST} in it, so it is not a run of tonearm train, or one that ended too early.")
    try:
        values = torch.load(path, map_location=device, weights_only=True)
        if not isinstance(values, dict) or values.get("version") != _VERSION:
            raise RunError(f"{path}: not a checkpoint of this version of tonearm. Train again.")
        return Checkpoint(**values)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, TypeError, ValueError) as error:
        if isinstance(error, RunError):
            raise
        raise RunError(f"{path}: damaged or not a checkpoint ({str(error).splitlines()[0]}).") from error
