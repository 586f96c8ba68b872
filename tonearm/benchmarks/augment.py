"""Augmentation, measured: each effect on every clip, and whole chains as a recipe runs them, beside a plain copy.

Sampling is part of the time. Before it, what an effect makes of the batch is compared with what it makes of single
clips, and it has to change equal clips, each in another way. Peers augment the same clips in processes of their own.
"""

import re
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tonearm.benchmarks import augment_groups as groups
from tonearm.benchmarks.augment_checks import augment, difference_from_singles, idleness, mixes, mixing_fault
from tonearm.benchmarks.augment_material import Material, make_material, write_material
from tonearm.benchmarks.augment_peers import effect_peers, peer_contestants
from tonearm.benchmarks.augment_rows import ROWS, Kind, Row
from tonearm.benchmarks.augment_steps import StepByStep
from tonearm.benchmarks.augment_training import AUGMENTED, training_contestants, with_bandwidth, with_share_of_step
from tonearm.benchmarks.environment import current_environment
from tonearm.benchmarks.harness import Contestant, Measurement, Role, measure
from tonearm.benchmarks.report import BenchmarkReport, build_report
from tonearm.config import AugmentationConfig, Config, Effect
from tonearm.errors import RequestError
from tonearm.gpu_augment import Augmentation, Chain
from tonearm.models.classifier import with_front_end
from tonearm.training.augmentation import build_chains

Entries = Sequence[Effect]

MIN_SECONDS = 0.25  # of a timed pass; one call takes from a millisecond (a GPU) to a second (two cores)
CEILINGS: dict[Kind, str] = {"waveform": "ceiling: copy, waveform", "specgram": "ceiling: copy, specgram"}


def bench_augment(
    config: Config,
    *,
    batch_size: int = 32,
    sample_rate: int = 44100,
    duration_seconds: float = 5.0,
    repeats: int = 7,
    device: torch.device | str = "cpu",
    peers: bool = False,
    only: str = "",
    announce: Callable[[str], None] = lambda _: None,
) -> BenchmarkReport:
    """Measure clips/s of every effect at p = 1, and of a configuration's chains at their own p.

    The ceiling of an effect is a copy of its batch, waveforms or log-mel, into memory that is already there. A chain's
    steps, and what share of its time each takes, stand below it. On a GPU so does the training step of the
    configuration, with and without augmentation.

    Args:
        config: its ``augmentation`` makes the chains; its ``features`` the log-mel that specgram effects get.
        batch_size: clips.
        sample_rate: in Hz.
        duration_seconds: of each clip.
        repeats: timed passes of each.
        device: where the batch lies.
        peers: also measure the peers; the first time this makes their environment.
        only: a regular expression; rows are measured in whose "group: name" it is found.
        announce: told what is about to run.

    Returns:
        The report, settings included.

    Raises:
        RequestError: numbers that make no batch, or an expression that leaves no row.
        RunError: an effect makes something else of a batch than of its clips one by one, or does nothing, or the same
            to every clip; or a peer failed.
    """
    if batch_size < 1 or not duration_seconds > 0:
        raise RequestError(
            f"bench augment: batch_size is {batch_size} and duration_seconds {duration_seconds}; both must be positive."
        )
    wanted = _selection(only)
    device = torch.device(device)
    environment = current_environment(device)
    config = with_front_end(config, sample_rate=sample_rate)
    announce(f"making {batch_size} clips")
    material = make_material(
        batch_size=batch_size,
        sample_rate=sample_rate,
        duration_seconds=duration_seconds,
        features=config.features,
        device=device,
    )
    with ExitStack() as stack:
        # of randn, and of a model's dropout
        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        contestants = [_effect(row, material) for row in ROWS if wanted(row.group, row.name)]
        steps = []
        for kind in CEILINGS:
            entries: Entries = getattr(config.augmentation, kind)
            if entries and wanted(groups.CHAINS, f"{kind} chain"):
                chain, step_by_step = _chain(kind, entries, material)
                contestants += [chain, step_by_step.contestant(groups.CHAINS)]
                steps.append(step_by_step)
        if device.type == "cuda" and wanted(groups.TRAINING, AUGMENTED):
            contestants += training_contestants(config, material)
        if peers:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tonearm-bench-")))
            write_material(material, folder)
            contestants += peer_contestants(
                stack,
                [
                    peer
                    for peer in effect_peers(material, threads=torch.get_num_threads())
                    if wanted(peer.group, peer.name)
                ],
                material,
                folder,
                ceilings=CEILINGS,
                pass_seconds=MIN_SECONDS,
                device=device,
                announce=announce,
            )
        if not contestants:
            raise RequestError(f"bench augment: only is {only!r}, which is found in no row's group or name.")
        contestants = _ceilings(material) + contestants
        measurements = measure(contestants, repeats=repeats, min_seconds=MIN_SECONDS, device=device, announce=announce)
    measurements = with_share_of_step(_with_steps(measurements, steps))
    if device.type == "cuda":
        clip_bytes = {
            name: material.batch(kind)[0].nbytes for kind in CEILINGS for name in (CEILINGS[kind], f"{kind} chain")
        }
        measurements = with_bandwidth(measurements, clip_bytes, device)
    return build_report(
        "augment",
        _in_order(measurements),
        settings={
            "batch_size": batch_size,
            "sample_rate": sample_rate,
            "duration_seconds": duration_seconds,
            "device": str(device),
            **({"only": only} if only else {}),
        },
        environment=environment,
    )


def _selection(only: str) -> Callable[[str, str], bool]:
    try:
        pattern = re.compile(only)
    except re.error as error:
        raise RequestError(f"bench augment: only is {only!r}, which is no regular expression: {error}.") from error
    return lambda group, name: pattern.search(f"{group}: {name}") is not None


def _effect(row: Row, material: Material) -> Contestant:
    effect, batch = row.make(material), material.batch(row.kind)
    alone = partial(idleness, effect, batch[0], every_time=row.every_time, apart=row.apart)
    check = _check(effect, batch, material.targets, alone, always=row.every_time)
    apply: Callable[..., Tensor] = torch.compile(effect.apply, fullgraph=True) if row.compiled else effect.apply
    targets = material.targets if mixes(effect) else None
    return Contestant(
        row.name,
        lambda: len(augment(effect, batch, targets, apply=apply)),
        group=row.group,
        ceiling=CEILINGS[row.kind],
        check=check,
        note=row.note,
    )


def _check(
    effect: Augmentation, batch: Tensor, targets: Tensor, alone: Callable[[], str | None], *, always: bool
) -> Callable[[], str | None]:
    """Clips that are not mixed with each other are compared with what each comes out as by itself."""
    if mixes(effect):
        return partial(mixing_fault, effect, batch, targets, always=always)
    return lambda: difference_from_singles(effect, batch) or alone()


def _chain(kind: Kind, entries: Entries, material: Material) -> tuple[Contestant, StepByStep]:
    """All entries as configured, and the same step by step."""
    batch, name = material.batch(kind), f"{kind} chain"

    def build() -> Chain:
        chains = build_chains(
            AugmentationConfig.model_validate({kind: tuple(entries)}), sample_rate=material.sample_rate
        )
        return chains[0] if kind == "waveform" else chains[1]

    chain = build()
    targets = material.targets if mixes(chain) else None
    effects = [effect for effect in build().effects if isinstance(effect, Augmentation)]
    labels = [
        f"{entry.name}, p={effect.p:g}" if hasattr(effect, "p") else entry.name  # a crop has none, nor has a chain
        for entry, effect in zip(entries, effects, strict=True)
    ]
    for place, label in enumerate(labels):
        if label in labels[:place]:
            labels[place] = f"{label} ({labels[: place + 1].count(label)})"
    labelled = list(zip(labels, effects, strict=True))
    step_by_step = StepByStep(name, labelled, batch, targets, pass_seconds=MIN_SECONDS)
    whole = Contestant(
        name,
        lambda: len(augment(chain, batch, targets)),
        group=groups.CHAINS,
        ceiling=CEILINGS[kind],
        check=_check(chain, batch, material.targets, lambda: None, always=False),
    )
    return whole, step_by_step


def _ceilings(material: Material) -> list[Contestant]:
    """A copy of each batch, and as much noise as a batch has samples."""
    copies = []
    for kind, name in CEILINGS.items():
        batch = material.batch(kind)
        copies.append(_copy(name, batch, torch.zeros_like(batch)))  # zeros are written, so that the pages exist
    waveform = material.waveform

    def randn() -> int:
        return len(torch.randn(waveform.shape, device=waveform.device))

    return [
        *copies,
        Contestant("torch.randn", randn, role=Role.CEILING, group=groups.CEILINGS, ceiling=CEILINGS["waveform"]),
    ]


def _copy(name: str, batch: Tensor, target: Tensor) -> Contestant:
    def copy() -> int:
        target.copy_(batch)
        return len(batch)

    note = f"{batch.nbytes / 1e6:.1f} MB in {tuple(batch.shape)}"
    return Contestant(name, copy, role=Role.CEILING, group=groups.CEILINGS, note=note)


def _with_steps(measurements: Sequence[Measurement], steps: Sequence[StepByStep]) -> list[Measurement]:
    """The chains that were timed step by step give way to their steps."""
    by_name = {each.name: each for each in steps}
    return [
        row for each in measurements for row in (by_name[each.name].steps(each) if each.name in by_name else [each])
    ]


def _in_order(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Group by group, in the order in which they first came."""
    order = list(dict.fromkeys(each.group for each in measurements))
    return sorted(measurements, key=lambda each: order.index(each.group))
