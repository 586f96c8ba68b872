"""The training step, end to end: fed by the loader, and beside it the same loop fed from one cached batch."""

import math
from collections.abc import Callable, Iterable

import torch

from tonearm.batch import AudioBatch
from tonearm.benchmarks.environment import current_environment
from tonearm.benchmarks.harness import Contestant, Role, measure
from tonearm.benchmarks.report import BenchmarkReport, build_report
from tonearm.config import Config
from tonearm.dataio import Dataset
from tonearm.errors import RequestError
from tonearm.training.batches import training_loader
from tonearm.training.precision import resolve_precision
from tonearm.training.step import TrainingStep

CACHED = "ceiling: one cached batch"
CHECKED_UPDATES = 8  # fp16's loss scaling skips the first few


def bench_train(
    dataset: Dataset,
    config: Config,
    *,
    repeats: int = 5,
    num_batches: int = 8,
    device: torch.device | str = "cpu",
    announce: Callable[[str], None] = lambda _: None,
) -> BenchmarkReport:
    """Measure the training step of a configuration: augmentation, front-end, forward, backward and update.

    Args:
        dataset: a packed dataset.
        config: the run's; its batch size and excerpt length are used.
        repeats: timed passes.
        num_batches: batches of a pass; at most an epoch.
        device: where to train.
        announce: told what is about to run.

    Returns:
        The report: from shards, the ceiling (how fast if loading were free), and the same without augmentation.

    Raises:
        RequestError: the dataset is smaller than one batch, or an epoch than a pass.
        RunError: a step does not learn: its loss or a weight is not finite, or no weight changes.
    """
    device = torch.device(device)
    environment = current_environment(device)
    settings = config.train
    loader = training_loader(dataset, settings, device)
    if num_batches > len(loader):
        raise RequestError(
            f"{dataset.root} has {len(loader)} batches of {settings.batch_size}; ask for at most as many."
        )
    cached = next(iter(loader))
    # no schedule: its planned end must not come before the benchmark's
    config = config.model_copy(update={"train": settings.model_copy(update={"schedule": "constant"})})
    bare = config.model_copy(update={"augmentation": type(config.augmentation)()})

    def contestant(name: str, recipe: Config, batches: Callable[[], Iterable[AudioBatch]], role: Role) -> Contestant:
        step = TrainingStep(
            recipe,
            num_classes=len(dataset.class_names),
            sample_rate=dataset.sample_rate,
            num_channels=dataset.num_channels,
            device=device,
            batches_an_epoch=len(loader),
        )
        step.start_epoch(0)

        def one_pass() -> int:
            clips = 0
            for _, batch in zip(range(num_batches), batches(), strict=False):
                step(batch)
                clips += len(batch)
            return clips

        def check() -> str | None:
            return not_learning(step, cached, num_batches=CHECKED_UPDATES * settings.accumulate)

        return Contestant(name, one_pass, role=role, ceiling=None if role is Role.CEILING else CACHED, check=check)

    def from_cache() -> Iterable[AudioBatch]:
        return (cached for _ in range(num_batches))

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        contestants = [
            contestant("train, from shards", config, lambda: loader, Role.OWN),
            contestant(CACHED, config, from_cache, Role.CEILING),
            contestant("ceiling: one cached batch, no augmentation", bare, from_cache, Role.CEILING),
        ]
        measurements = measure(contestants, repeats=repeats, device=device, announce=announce)
    return build_report(
        "train",
        measurements,
        settings={
            "dataset": dataset.header.name,
            "codec": dataset.header.codec,
            "batch_size": settings.batch_size,
            "batches_a_pass": num_batches,
            "seconds_a_clip": loader.num_samples / dataset.sample_rate,
            "precision": str(resolve_precision(settings, device)),
            "device": str(device),
        },
        environment=environment,
    )


def not_learning(step: TrainingStep, batch: AudioBatch, *, num_batches: int) -> str | None:
    """What is wrong with a step that sees ``batch`` up to ``num_batches`` times; None once a weight has changed."""
    weights = list(step.model.parameters())
    before = [weight.detach().clone() for weight in weights]
    for _ in range(num_batches):
        loss = float(step(batch))
        if not math.isfinite(loss):
            return f"its loss is {loss}."
        if not all(bool(weight.isfinite().all()) for weight in weights):
            return "a weight is no longer finite."
        if not all(torch.equal(old, new) for old, new in zip(before, weights, strict=True)):
            return None
    return f"no weight changed in {num_batches} batches."
