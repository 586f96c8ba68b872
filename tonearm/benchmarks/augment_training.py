"""What augmentation costs on a GPU: a share of the training step, and how much of the memory's bandwidth it uses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from tonearm.batch import AudioBatch
from tonearm.benchmarks import augment_groups as groups
from tonearm.benchmarks.augment_material import Material
from tonearm.benchmarks.harness import Contestant, Measurement, Role, Spread
from tonearm.benchmarks.train import CHECKED_UPDATES, not_learning
from tonearm.config import Config
from tonearm.training.step import TrainingStep

AUGMENTED = "training step, one cached batch"
BARE = "ceiling: training step, no augmentation"


def training_contestants(config: Config, material: Material) -> list[Contestant]:
    """The training step of a configuration on one batch that stays on the device, with and without augmentation."""
    # no schedule: its planned end must not come before the benchmark's
    train = config.train.model_copy(update={"schedule": "constant"})
    config = config.model_copy(update={"train": train})
    bare = config.model_copy(update={"augmentation": type(config.augmentation)()})
    return [
        _contestant(AUGMENTED, config, material, Role.OWN, BARE),
        _contestant(BARE, bare, material, Role.CEILING, None),
    ]


def with_share_of_step(measurements: Sequence[Measurement]) -> list[Measurement]:
    """A note on the training step, if it was measured: augmentation's share of its time, paired by repeat."""
    by_name = {each.name: each for each in measurements}
    if AUGMENTED not in by_name:
        return list(measurements)
    step, bare = by_name[AUGMENTED], by_name[BARE]
    share = Spread.of(
        [
            1 - (without / bare.num_clips) / (seconds / step.num_clips)
            for seconds, without in zip(step.seconds, bare.seconds, strict=True)
        ]
    )
    quartiles = f"{share.lower_quartile:.1%} – {share.upper_quartile:.1%}"
    note = f"augmentation takes {share.median:.1%} of it, quartiles {quartiles}"
    return [replace(each, note=note) if each is step else each for each in measurements]


def with_bandwidth(
    measurements: Sequence[Measurement], clip_bytes: Mapping[str, int], device: torch.device
) -> list[Measurement]:
    """Notes on rows: the bytes a second that one read and one write of the batch make, and their share of the memory's.

    Args:
        measurements: of a run on a GPU.
        clip_bytes: of a clip, by the names of rows to note it on.
        device: the GPU.
    """
    memory = torch.cuda.get_device_properties(device)
    # Two transfers a clock (kHz), over a bus of so many bits.
    peak = 2 * memory.memory_clock_rate * 1e3 * memory.memory_bus_width / 8

    def note(each: Measurement) -> str:
        rate = each.clips_per_second().median * 2 * clip_bytes[each.name]
        bandwidth = f"one read and one write: {rate / 1e9:,.0f} GB/s, {rate / peak:.1%} of the memory's"
        return "; ".join(filter(None, [each.note, bandwidth]))

    return [replace(each, note=note(each)) if each.name in clip_bytes else each for each in measurements]


def _contestant(name: str, config: Config, material: Material, role: Role, ceiling: str | None) -> Contestant:
    waveform, device = material.waveform, material.waveform.device
    batch = AudioBatch(
        waveform=waveform,
        lengths=torch.full((len(waveform),), waveform.shape[-1], device=device),
        targets=material.targets,
        clip_index=torch.arange(len(waveform)),
    )
    step = TrainingStep(
        config,
        num_classes=material.targets.shape[1],
        sample_rate=material.sample_rate,
        num_channels=waveform.shape[1],
        device=device,
        batches_an_epoch=1,
    )
    step.start_epoch(0)

    def run() -> int:
        step(batch)
        return len(batch)

    def check() -> str | None:
        return not_learning(step, batch, num_batches=CHECKED_UPDATES * config.train.accumulate)

    return Contestant(name, run, role=role, group=groups.TRAINING, ceiling=ceiling, check=check)
