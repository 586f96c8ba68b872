"""Every effect with small settings, and a batch for it: what the contract tests run over."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from tonearm.gpu_augment import (
    Augmentation,
    BackgroundNoise,
    BandPass,
    BankReverb,
    BetweenClassMixup,
    Chain,
    Clip,
    CutMix,
    DropBlock,
    FrequencyMasking,
    FrequencyShift,
    Gain,
    GaussianNoise,
    HighPass,
    ImageSourceReverb,
    LowPass,
    Mixup,
    MuLaw,
    Noise,
    OneOf,
    PairEffect,
    Params,
    PhaseNoise,
    PitchShift,
    Polarity,
    Quantize,
    Reverb,
    Reverse,
    SegmentGain,
    Shift,
    SineHum,
    SomeOf,
    SoundBank,
    SpecAugment,
    Speed,
    TimeMasking,
    TimeShiftStretch,
    TimeStretch,
)

SAMPLE_RATE = 8000
SMALL_STFT = {"n_fft": 256, "hop_length": 64}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bank() -> SoundBank:
    """Three sounds of random numbers; one is shorter than the clips."""
    sounds = [torch.randn(size, generator=seeded(size)) for size in (300, 1500, 2000)]
    return SoundBank(sounds, sample_rate=SAMPLE_RATE, name="bank")


def room(p: float, **kw: torch.Generator) -> Reverb:
    return Reverb(p, sample_rate=SAMPLE_RATE, max_rt60_seconds=0.2, **kw)


Maker = Callable[..., Augmentation]

WAVEFORM_EFFECTS: dict[str, Maker] = {
    "TimeShiftStretch": TimeShiftStretch,
    "TimeShiftStretch cubic": partial(TimeShiftStretch, interpolation="cubic"),
    "TimeShiftStretch sinc": partial(TimeShiftStretch, interpolation="sinc"),
    "Shift": Shift,
    "Shift zero": partial(Shift, mode="zero"),
    "Speed": Speed,
    "Reverse": Reverse,
    "Noise": Noise,
    "Noise pink": partial(Noise, color="pink"),
    "Noise tape": partial(Noise, color="brown", tape_samples=4096),
    "GaussianNoise": GaussianNoise,
    "BackgroundNoise": lambda p, **kw: BackgroundNoise(bank(), p, **kw),
    "SineHum": partial(SineHum, sample_rate=SAMPLE_RATE),
    "Reverb": room,
    "BankReverb": lambda p, **kw: BankReverb(bank(), p, **kw),
    "ImageSourceReverb": partial(ImageSourceReverb, sample_rate=SAMPLE_RATE, max_rt60_seconds=0.25, max_order=3),
    "LowPass": partial(LowPass, sample_rate=SAMPLE_RATE, max_cutoff_hz=3000.0),
    "HighPass": partial(HighPass, sample_rate=SAMPLE_RATE),
    "BandPass": partial(BandPass, sample_rate=SAMPLE_RATE, max_center_hz=2000.0),
    "TimeStretch": partial(TimeStretch, **SMALL_STFT),
    "PitchShift": partial(PitchShift, **SMALL_STFT),
    "FrequencyShift": partial(FrequencyShift, sample_rate=SAMPLE_RATE),
    "PhaseNoise": PhaseNoise,
    "Gain": Gain,
    "Polarity": Polarity,
    "Clip": Clip,
    "Quantize": Quantize,
    "MuLaw": partial(MuLaw, min_bits=4),
    "SegmentGain": partial(SegmentGain, num_segments=3, segment_share=0.3),
}
SPECGRAM_EFFECTS: dict[str, Maker] = {
    "DropBlock": partial(DropBlock, drop_probability=0.3, block_size=(3, 5)),
    "TimeMasking": lambda p, **kw: TimeMasking(20, p, num_masks=2, **kw),
    "FrequencyMasking": lambda p, **kw: FrequencyMasking(9, p, num_masks=2, **kw),
    "SpecAugment": partial(SpecAugment, freq_mask_param=9, time_mask_param=20),
}
PAIR_EFFECTS: dict[str, Callable[..., PairEffect]] = {
    "Mixup": partial(Mixup, alpha=0.4),
    "BetweenClassMixup": partial(BetweenClassMixup, sample_rate=SAMPLE_RATE),
    "CutMix": CutMix,
}
EFFECTS = WAVEFORM_EFFECTS | SPECGRAM_EFFECTS

# The exceptions to what holds for all others, each as its docstring says it.
LENGTH_CHANGING = {"Speed", "TimeStretch"}
HEARD_IN_SILENCE = {"GaussianNoise"}
WITHOUT_PARAMETERS = {"Polarity", "Reverse"}
WITHOUT_GRADIENT = {"Quantize", "MuLaw"}


def waveform_chain(p: float, **kw: torch.Generator) -> Chain:
    return Chain([TimeShiftStretch(p), Noise(p), room(p)], **kw)


def specgram_chain(p: float, **kw: torch.Generator) -> Chain:
    return Chain([make(p) for make in SPECGRAM_EFFECTS.values()], **kw)


def waveform_one_of(p: float, **kw: torch.Generator) -> OneOf:
    return OneOf([Noise(1.0), room(1.0), Chain([Polarity(1.0), TimeShiftStretch(1.0)])], p, **kw)


def waveform_some_of(p: float, **kw: torch.Generator) -> SomeOf:
    return SomeOf([TimeShiftStretch(1.0), Noise(1.0), Gain(1.0)], p, max_effects=2, **kw)


COMPOSITIONS: dict[str, Callable[..., Chain]] = {
    "waveform chain": waveform_chain,
    "specgram chain": specgram_chain,
    "waveform one of": waveform_one_of,
    "waveform some of": waveform_some_of,
}
AUGMENTATIONS: dict[str, Maker] = EFFECTS | COMPOSITIONS


def on_waveforms(name: str) -> bool:
    return "specgram" not in name and name not in SPECGRAM_EFFECTS


def batch_for(name: str, batch_size: int, *, seed: int = 0) -> Tensor:
    """Random numbers of the shape that the augmentation called ``name`` takes."""
    shape = (2, 1000) if on_waveforms(name) else (2, 16, 40)
    return torch.randn(batch_size, *shape, generator=seeded(seed))


def only(params: Params, clip: int) -> Params:
    """The parameters of one clip of a batch, as those of a batch of one."""
    steps = []
    for step in params.steps:
        rows = step.rows[step.clips == clip]
        steps.append(replace(step, clips=torch.zeros(len(rows), dtype=torch.int64), rows=rows))
    return Params(1, params.num_samples, tuple(steps))
