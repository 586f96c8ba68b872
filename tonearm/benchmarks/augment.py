"""Augmentation, measured: each effect on every clip, and whole chains as a recipe runs them, beside a plain copy.

Sampling is part of the time. Before it, what a chain makes of the batch is compared with what it makes of single clips,
and an effect has to change equal clips, each in another way.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from tonearm.benchmarks.environment import current_environment
from tonearm.benchmarks.harness import Contestant, Role, measure
from tonearm.benchmarks.report import BenchmarkReport, build_report
from tonearm.config import AugmentationConfig, Config, SpecgramEffect, WaveformEffect
from tonearm.errors import RequestError
from tonearm.gpu_augment import Chain
from tonearm.models.features import LogMel
from tonearm.seeding import numpy_generator, torch_generator
from tonearm.synthetic import GESTURES, synthesize
from tonearm.training.augmentation import build_chains

Kind = Literal["waveform", "specgram"]
Entries = Sequence[WaveformEffect | SpecgramEffect]

NUM_CHECKED = 4  # clips of the batch, of those that an effect touches, that are also augmented one by one
NUM_TWINS = 16  # equal clips, which must not all come out equal
SAME_DIRECTION = 0.99  # cosine between what was done to two clips; the same noise at another level has 1
TOLERANCE = 1e-4  # of the clip's largest value: a single clip may take another FFT or another order of summing
MIN_SECONDS = 0.25  # of a timed pass; one call takes from a millisecond (a GPU) to a second (two cores)


def bench_augment(
    config: Config,
    *,
    batch_size: int = 32,
    sample_rate: int = 44100,
    duration_seconds: float = 5.0,
    repeats: int = 7,
    device: torch.device | str = "cpu",
    announce: Callable[[str], None] = lambda _: None,
) -> BenchmarkReport:
    """Measure clips/s of the effects that a configuration names: each at p = 1, then its chains at their own p.

    The ceiling of an effect is a copy of its batch, waveforms or log-mel, into memory that is already there.

    Args:
        config: its ``augmentation`` is measured; its ``features`` make the log-mel that specgram effects get.
        batch_size: clips.
        sample_rate: in Hz.
        duration_seconds: of each clip.
        repeats: timed passes of each.
        device: where the batch lies.
        announce: told what is about to run.

    Returns:
        The report, settings included.

    Raises:
        RequestError: numbers that make no batch, or a configuration without augmentation.
        RunError: an effect makes something else of a batch than of its clips one by one, or does nothing, or the same
            to every clip.
    """
    if batch_size < 1 or not duration_seconds > 0:
        raise RequestError(
            f"bench augment: batch_size is {batch_size} and duration_seconds {duration_seconds}; both must be positive."
        )
    effects = config.augmentation
    if not effects.waveform and not effects.specgram:
        raise RequestError("bench augment: the configuration has no augmentation, so there is nothing to measure.")
    device = torch.device(device)
    environment = current_environment(device)
    announce(f"making {batch_size} clips")
    waveform = _clips(batch_size, sample_rate, duration_seconds).to(device)
    contestants = _contestants("waveform", effects.waveform, waveform, sample_rate)
    if effects.specgram:
        log_mel = LogMel(config.features, sample_rate=sample_rate).to(device)(waveform)
        contestants += _contestants("specgram", effects.specgram, log_mel, sample_rate)
    measurements = measure(contestants, repeats=repeats, min_seconds=MIN_SECONDS, device=device, announce=announce)
    return build_report(
        "augment",
        measurements,
        settings={
            "batch_size": batch_size,
            "sample_rate": sample_rate,
            "duration_seconds": duration_seconds,
            "device": str(device),
        },
        environment=environment,
    )


def difference_from_singles(chain: Chain, batch: Tensor, *, seed: int = 0) -> str | None:
    """What a batch came out as that its clips, augmented one by one with the same parameters, did not; None if nothing.

    A batch's parameters are drawn clip after clip, so single clips drawn from an equal generator get the same ones. The
    clips compared are the first, and the first few that each effect touches.
    """
    chain.generator = torch_generator("bench augment", seed)
    params = chain.sample(len(batch), batch.shape[-1], device=batch.device)
    together = chain.apply(batch, params)
    touched = {place for step in params.steps for place in step.clips[:NUM_CHECKED].tolist()}
    chain.generator = torch_generator("bench augment", seed)
    for place in range(len(batch)):
        own = chain.sample(1, batch.shape[-1], device=batch.device)
        if place not in touched | {0}:
            continue
        (alone,) = chain.apply(batch[place : place + 1], own)
        largest = together[place].abs().max().item()
        difference = (together[place] - alone).abs().max().item()
        if not difference <= TOLERANCE * largest:  # not >, so that NaN is found
            return f"clip {place} of the batch is {difference:.3g} off what it is alone; its largest is {largest:.3g}."
    return None


def idleness(effect: Chain, clip: Tensor, *, every_time: bool, seed: int = 0) -> str | None:
    """What an effect at p = 1 fails to do to copies of a clip; None if it changes them, not all in the same way.

    Args:
        effect: a chain of one effect.
        clip: (channel, …).
        every_time: whether each copy must change; a mask may by chance have no width.
        seed: of the parameters.
    """
    effect.generator = torch_generator("bench augment", "twins", seed)
    twins = torch.stack([clip] * NUM_TWINS)
    change = (_augment(effect, twins) - twins).flatten(1)
    size = torch.linalg.vector_norm(change, dim=1, keepdim=True)
    idle = int((size == 0).sum())
    if idle > (0 if every_time else NUM_TWINS - 1):
        return f"at p = 1 it leaves {idle} of {NUM_TWINS} clips as they were."
    direction = change / size.clamp(min=torch.finfo(size.dtype).tiny)
    if (direction @ direction.T > SAME_DIRECTION).all():
        return f"it does the same to all of {NUM_TWINS} equal clips."
    return None


def _augment(chain: Chain, batch: Tensor) -> Tensor:
    return chain.apply(batch, chain.sample(len(batch), batch.shape[-1], device=batch.device))


def _clips(batch_size: int, sample_rate: int, duration_seconds: float) -> Tensor:
    """(batch, 1, time): the sounds of tonearm.synthetic, class after class."""
    labels = list(GESTURES)
    clips = [
        synthesize(
            labels[number % len(labels)],
            sample_rate=sample_rate,
            duration_seconds=duration_seconds,
            generator=numpy_generator("bench augment", number),
        )
        for number in range(batch_size)
    ]
    return torch.stack([torch.from_numpy(clip) for clip in clips]).unsqueeze(1)


def _contestants(kind: Kind, entries: Entries, batch: Tensor, sample_rate: int) -> list[Contestant]:
    """Each entry for every clip, the chain of all as configured, and their ceiling."""
    if not entries:
        return []
    ceiling = f"ceiling: copy, {kind}"
    contestants = []
    for place, entry in enumerate(entries):
        always = entry.model_copy(update={entry.name: entry.value.model_copy(update={"p": 1.0})})
        earlier = sum(other.name == entry.name for other in entries[:place])
        name = f"{entry.name}, p=1" + (f" ({earlier + 1})" if earlier else "")
        effect = _chain(kind, [always], sample_rate)
        check = partial(idleness, effect, batch[0], every_time=kind == "waveform")
        contestants.append(_contestant(name, effect, batch, ceiling, further_check=check))
    note = ", ".join(f"{entry.name} {entry.value.p:g}" for entry in entries)
    chain = _chain(kind, entries, sample_rate)
    contestants.append(_contestant(f"{kind} chain", chain, batch, ceiling, note=f"p: {note}"))
    contestants.append(_copy(ceiling, batch, torch.zeros_like(batch)))  # zeros are written, so that the pages exist
    return contestants


def _contestant(
    name: str,
    chain: Chain,
    batch: Tensor,
    ceiling: str,
    *,
    further_check: Callable[[], str | None] = lambda: None,
    note: str = "",
) -> Contestant:
    return Contestant(
        name,
        lambda: len(_augment(chain, batch)),
        ceiling=ceiling,
        check=lambda: difference_from_singles(chain, batch) or further_check(),
        note=note,
    )


def _copy(name: str, batch: Tensor, target: Tensor) -> Contestant:
    def copy() -> int:
        target.copy_(batch)
        return len(batch)

    return Contestant(name, copy, role=Role.CEILING, note=f"{batch.nbytes / 1e6:.1f} MB in {tuple(batch.shape)}")


def _chain(kind: Kind, entries: Entries, sample_rate: int) -> Chain:
    waveform, specgram = build_chains(
        AugmentationConfig.model_validate({kind: tuple(entries)}), sample_rate=sample_rate
    )
    return waveform if kind == "waveform" else specgram
