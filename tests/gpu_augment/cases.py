"""Every effect with small settings, and a batch for it: what the contract tests run over."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from tonearm.gpu_augment import (
    Chain,
    ClipEffect,
    DropBlock,
    FrequencyMasking,
    Noise,
    Params,
    Reverb,
    TimeMasking,
    TimeShiftStretch,
)

SAMPLE_RATE = 8000

WAVEFORM_EFFECTS: dict[str, Callable[..., ClipEffect]] = {
    "TimeShiftStretch": TimeShiftStretch,
    "Noise": Noise,
    "Reverb": lambda p, **kw: Reverb(p, sample_rate=SAMPLE_RATE, max_rt60_seconds=0.2, **kw),
}
SPECGRAM_EFFECTS: dict[str, Callable[..., ClipEffect]] = {
    "DropBlock": lambda p, **kw: DropBlock(p, drop_probability=0.3, block_size=(3, 5), **kw),
    "TimeMasking": lambda p, **kw: TimeMasking(20, p, num_masks=2, **kw),
    "FrequencyMasking": lambda p, **kw: FrequencyMasking(9, p, num_masks=2, **kw),
}
EFFECTS = WAVEFORM_EFFECTS | SPECGRAM_EFFECTS


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def waveform_chain(p: float, **kw: torch.Generator) -> Chain:
    return Chain([make(p) for make in WAVEFORM_EFFECTS.values()], **kw)


def specgram_chain(p: float, **kw: torch.Generator) -> Chain:
    return Chain([make(p) for make in SPECGRAM_EFFECTS.values()], **kw)


AUGMENTATIONS = EFFECTS | {"waveform chain": waveform_chain, "specgram chain": specgram_chain}


def batch_for(name: str, batch_size: int, *, seed: int = 0) -> Tensor:
    """Random numbers of the shape that the augmentation called ``name`` takes."""
    shape = (2, 1000) if name in WAVEFORM_EFFECTS or name == "waveform chain" else (2, 16, 40)
    return torch.randn(batch_size, *shape, generator=seeded(seed))


def only(params: Params, clip: int) -> Params:
    """The parameters of one clip of a batch, as those of a batch of one."""
    steps = []
    for step in params.steps:
        rows = step.rows[step.clips == clip]
        steps.append(replace(step, clips=torch.zeros(len(rows), dtype=torch.int64), rows=rows))
    return Params(1, params.num_samples, tuple(steps))
