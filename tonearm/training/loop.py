"""Training, top to bottom: hold a part out, learn from the rest, score, keep, say how fast it went."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from tonearm.batch import AudioBatch
from tonearm.config import Config, dump_config
from tonearm.dataio.atomic import write_text
from tonearm.dataio.dataset import Dataset
from tonearm.dataio.loader import ClipLoader
from tonearm.errors import RequestError, RunError
from tonearm.models import LogMel
from tonearm.models.classifier import load_published_weights, warn_of_foreign_features, with_front_end
from tonearm.models.count import count_parameters
from tonearm.training.augmentation import with_every_argument
from tonearm.training.batches import evaluation_loader, training_loader
from tonearm.training.checkpoint import LAST, Checkpoint, load_checkpoint, save_checkpoint
from tonearm.training.clock import StageClock
from tonearm.training.evaluate import evaluate
from tonearm.training.precision import resolve_precision
from tonearm.training.split import check_one_label, hold_out
from tonearm.training.step import TrainingStep

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
_NORMALIZATION_CLIPS = 2_000  # enough for a mean per mel band to a hundredth of a dB


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        run: its folder.
        accuracy: on the held-out clips after the last epoch.
        epochs: epochs done.
        clips_per_second: median over the epochs of this call, training alone; None if it had nothing left to do.
        waiting_share: of the training time, spent waiting for data; None likewise.
        limited_by: one sentence.
    """

    run: Path
    accuracy: float
    epochs: int
    clips_per_second: float | None
    waiting_share: float | None
    limited_by: str


def train(
    dataset: Dataset,
    config: Config,
    *,
    run: Path,
    fold: int | None = None,
    device: torch.device | str = "cpu",
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> TrainResult:
    """Train a classifier and score it on the clips held out.

    Args:
        dataset: a packed dataset.
        config: what to train and how.
        run: folder for ``config.yaml``, ``metrics.jsonl`` and ``last.pt``.
        fold: the fold to hold out; None takes a published split, or a random tenth.
        device: where to train.
        resume: go on with the checkpoint in ``run``.
        say: called with each line of the log.

    Returns:
        How it ended.

    Raises:
        RequestError: the configuration does not fit the dataset or the checkpoint.
        ShardError: a clip is damaged.
        RunError: the loss became infinite or NaN.
    """
    device = torch.device(device)
    # what auto became stands in the run's config, so that a resume computes as before
    name = resolve_precision(config.train, device).name
    settings = config.train.model_copy(update={"precision": name})
    config = config.model_copy(update={"train": settings})
    _check_fits(dataset, config)
    config = with_front_end(config, sample_rate=dataset.sample_rate)
    config = with_every_argument(config, sample_rate=dataset.sample_rate)
    training, held_out, words = hold_out(dataset, fold=fold, seed=settings.seed)
    check_one_label(training, held_out)
    loader = training_loader(training, settings, device)
    held_out_loader = evaluation_loader(held_out, settings, device)
    step = TrainingStep(
        config,
        num_classes=len(dataset.class_names),
        sample_rate=dataset.sample_rate,
        num_channels=dataset.num_channels,
        device=device,
        batches_an_epoch=len(loader),
    )
    best, stale, first_epoch = -math.inf, 0, 0
    if resume:
        checkpoint = load_checkpoint(run, device=device)
        _check_same_run(checkpoint, config, dataset, fold, run)
        try:
            step.load_state_dict(checkpoint.state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise RunError(f"{run / LAST}: its state does not fit this run ({error}).") from error
        first_epoch, (best, stale) = checkpoint.epoch, checkpoint.best
    else:
        warn_of_foreign_features(config)
        load_published_weights(step.model.network, config)
        _start_folder(run, config)
        set_normalization(step, training)
    parameters = count_parameters(step.model)
    say(
        f"{dataset.header.name}: {len(training)} clips to train on, {len(held_out)} held out ({words}); "
        f"{parameters:,} parameters, {step.precision}, {device}, decoding with {loader.backend}"
    )

    rates: list[float] = []
    total: dict[str, float] = {}
    wall = 0.0
    score = evaluate(step.scored_model(), held_out_loader, step.precision).accuracy if resume else math.nan
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        for epoch in _epochs(first_epoch, settings.epochs):
            if settings.patience is not None and stale >= settings.patience:
                say(f"stopped: no better than {best:.3f} for {stale} epochs")
                break
            started = perf_counter()
            loss = _learn(step, loader, epoch)
            stages = step.clock.seconds()
            seconds = perf_counter() - started
            if not math.isfinite(loss):
                kept = f"{LAST} holds the epoch before" if epoch else "nothing was kept of this first epoch"
                raise RunError(f"{run}: the loss became {loss} in epoch {epoch + 1}; {kept}. Lower train.lr, or set "
                               "train.grad_clip_norm.")  # fmt: skip
            score = evaluate(step.scored_model(), held_out_loader, step.precision).accuracy
            best, stale = (score, 0) if score > best else (best, stale + 1)
            rates.append(len(loader) * loader.batch_size / seconds)
            wall += seconds
            total = {stage: total.get(stage, 0.0) + taken for stage, taken in stages.items()}
            save_checkpoint(run, _checkpoint(step, epoch + 1, config, dataset, fold, (best, stale)))
            waiting = stages.get("waiting", 0.0) / seconds
            _log(run, epoch=epoch + 1, loss=loss, accuracy=score, clips_per_second=rates[-1], waiting_share=waiting,
                 learning_rate=step.optimizer.param_groups[0]["lr"], stages=stages)  # fmt: skip
            of = f"/{settings.epochs}" if settings.epochs else ""
            say(
                f"epoch {epoch + 1:>3}{of}  loss {loss:.3f}  accuracy {score:.3f}  {rates[-1]:,.0f} clips/s  "
                f"waiting for data {waiting:.1%}"
            )
    done = first_epoch + len(rates)
    limited_by = what_limited(total, wall)
    say(f"held-out accuracy {score:.3f} after {done} epochs; kept in {run}")
    say(limited_by)
    if not rates:
        return TrainResult(run, score, done, None, None, limited_by)
    return TrainResult(run, score, done, float(np.median(rates)), total.get("waiting", 0.0) / wall, limited_by)


def what_limited(stages: dict[str, float], wall: float) -> str:
    """In one sentence, which stage took most of the training time.

    Args:
        stages: seconds by stage; "waiting" is time without data.
        wall: seconds in all.
    """
    if not stages or not wall:
        return "limited by nothing: there was nothing left to train"
    names = {
        "waiting": "loading: waiting for data",
        "model": "the model: forward, backward and update",
        "augment": "augmentation of waveforms, which",
        "front-end": "the front-end: log-mel spectrograms",
        "mask": "augmentation of spectrograms, which",
    }
    slowest = max(stages, key=lambda stage: stages[stage])
    shares = ", ".join(f"{stage} {taken / wall:.1%}" for stage, taken in sorted(stages.items(), key=lambda s: -s[1]))
    return f"limited by {names[slowest]} took {stages[slowest] / wall:.0%} of the time ({shares})"


def set_normalization(step: TrainingStep, training: Dataset) -> None:
    """Set the front-end's mean and deviation as ``features.normalize`` asks, from the training clips alone.

    No test clip leaks in; "none" sets none.
    """
    if step.normalize == "none":
        return
    rows = np.unique(np.linspace(0, len(training) - 1, min(len(training), _NORMALIZATION_CLIPS)).astype(np.int64))
    settings = step.config
    loader = ClipLoader(
        training.rows(rows),
        batch_size=settings.batch_size,
        duration_seconds=settings.duration_seconds,
        device=step.device,
        num_threads=settings.decode_threads,
    )
    front_end = step.model.front_end
    front_end.set_normalization(0.0, 1.0)
    count, total, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for batch in loader:
            for decibels in _valid_frames(front_end(batch.waveform), batch, front_end):
                count += decibels.shape[-1] * decibels.shape[0]
                total = total + decibels.sum(dim=(0, 2)).cpu()
                squares = squares + decibels.square().sum(dim=(0, 2)).cpu()
    mean, square = total / count, squares / count
    if step.normalize == "dataset":
        mean, square = mean.mean(), square.mean()
    deviation = (square - mean.square()).clamp(min=0).sqrt()
    # a band that never changes (above the recordings' bandwidth) carries nothing: leave its scale alone
    front_end.set_normalization(mean.float(), torch.where(deviation > 1e-3, deviation, 1.0).float())


def _valid_frames(log_mel: Tensor, batch: AudioBatch, front_end: LogMel) -> Iterator[Tensor]:
    """(channel, mel, frames) float64 of each clip, without the frames whose window reaches into the padding."""
    for clip, length in zip(log_mel.double(), batch.lengths.tolist(), strict=True):
        yield clip[..., : front_end.frames_within(length)]


def _learn(step: TrainingStep, loader: ClipLoader, epoch: int) -> float:
    """One epoch; returns the mean loss."""
    loader.epoch = epoch
    step.start_epoch(epoch)
    losses = [step(batch) for batch in _timed(loader, step.clock)]
    step.finish_epoch()
    return float(torch.stack(losses).mean())


def _timed(loader: ClipLoader, clock: StageClock) -> Iterator[AudioBatch]:
    """The loader's batches, with the time each was waited for."""
    batches = iter(loader)
    while True:
        with clock.waiting():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _epochs(first: int, number: int) -> Iterator[int]:
    """Epochs from ``first`` to ``number``, or without end for 0."""
    epoch = first
    while number == 0 or epoch < number:
        yield epoch
        epoch += 1


def _check_fits(dataset: Dataset, config: Config) -> None:
    if config.sample_rate is not None and config.sample_rate != dataset.sample_rate:
        raise RequestError(
            f"sample_rate is {config.sample_rate} in the configuration, but {dataset.root} is packed at "
            f"{dataset.sample_rate} Hz. Pack it with --sample-rate {config.sample_rate}, or override "
            f"sample_rate={dataset.sample_rate}."
        )
    if len(dataset.class_names) < 2:
        raise RequestError(
            f"{dataset.root} has one class, {dataset.class_names[0]!r}; a classifier needs at least two."
        )


def _check_same_run(checkpoint: Checkpoint, config: Config, dataset: Dataset, fold: int | None, run: Path) -> None:
    for what, then, now in (
        ("configuration", checkpoint.config, dump_config(config)),
        ("dataset", checkpoint.dataset_sha256, dataset.sha256),
        ("held-out fold", checkpoint.fold, fold),
    ):
        if then != now:
            raise RequestError(f"{run}: cannot resume, the {what} is not the one that this run was started with.")


def _start_folder(run: Path, config: Config) -> None:
    if (run / LAST).exists():
        raise RequestError(f"{run} holds a run already. Give another folder with --run, or go on with --resume {run}.")
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{run}: cannot make this folder ({error.strerror}). Give another one.") from error
    write_text(run / CONFIG, dump_config(config))
    (run / METRICS).unlink(missing_ok=True)


def _checkpoint(step: TrainingStep, epoch: int, config: Config, dataset: Dataset, fold: int | None,
                best: tuple[float, int]) -> Checkpoint:  # fmt: skip
    return Checkpoint(
        epoch=epoch,
        config=dump_config(config),
        class_names=dataset.class_names,
        sample_rate=dataset.sample_rate,
        num_channels=dataset.num_channels,
        dataset_sha256=dataset.sha256,
        fold=fold,
        state=step.state_dict(),
        scored=step.scored_model().state_dict(),
        best=best,
    )


def _log(run: Path, **values: object) -> None:
    with (run / METRICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(values) + "\n")
