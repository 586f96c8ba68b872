"""Checkpoints: written whole or not at all, read without unpickling anything but tensors and plain values."""

import pickle
import zipfile
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from tonearm.config import Config
from tonearm.dataio.atomic import atomic_path
from tonearm.errors import RequestError, RunError
from tonearm.strict_model import check
from tonearm.strict_yaml import parse_yaml

LAST = "last.pt"
# what torch and zipfile raise on files that were tampered with
_DAMAGE = (RuntimeError, OSError, EOFError, TypeError, ValueError, LookupError, AttributeError)


class Checkpoint(BaseModel):
    """A run as it stood after an epoch.

    Attributes:
        version: of this format.
        epoch: epochs done.
        config: the whole configuration as YAML, its precision resolved.
        class_names: in the order of the scores.
        sample_rate, num_channels: of the waveforms that the model takes.
        dataset_sha256: of the packed dataset's content.
        fold: the fold held out, or None.
        state: of :class:`tonearm.training.step.TrainingStep`.
        scored: weights of the model that is evaluated.
        best: the best held-out accuracy so far and the epochs since, for early stopping.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True)

    version: Literal[1] = 1
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


def save_checkpoint(run: Path, checkpoint: Checkpoint) -> None:
    """Write ``run/last.pt``; the one before stays until the new one is on the disk."""
    with atomic_path(run / LAST) as temporary:
        torch.save(dict(checkpoint), temporary)


def load_checkpoint(run: Path, *, device: torch.device) -> Checkpoint:
    """Read ``run/last.pt``.

    Raises:
        RequestError: there is no run or no checkpoint in it.
        RunError: the file is damaged, not a checkpoint, or of another version.
    """
    path = run / LAST
    if not path.is_file():
        if (run / "index.json").is_file():
            raise RequestError(f"{run}: a packed dataset, not a run of tonearm train. Are the arguments swapped?")
        raise RequestError(
            f"{run}: no {LAST} in it, so it is no run of tonearm train, or one that was stopped in its first epoch: "
            "then begin it again."
        )
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
            damaged = archive.testzip()
        if damaged is not None:
            raise RunError(f"{path}: damaged, the checksum of {damaged} is wrong. Resume from a copy or train again.")
        values = torch.load(path, map_location=device, weights_only=True)
        return Checkpoint.model_validate(values)
    except RunError:
        raise
    except (ValidationError, zipfile.BadZipFile, pickle.UnpicklingError, *_DAMAGE) as error:
        raise RunError(
            f"{path}: damaged, or not a checkpoint of this tonearm ({str(error).splitlines()[0]})."
        ) from error


def saved_config(run: Path, checkpoint: Checkpoint) -> Config:
    """The configuration that the checkpoint was trained with, whatever became of the file beside it."""
    where = f"{run / LAST}, its configuration"
    return check(Config, parse_yaml(checkpoint.config, where=where), where=where)
