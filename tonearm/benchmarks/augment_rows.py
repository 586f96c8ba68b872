"""The effects that are measured, one line each: every effect of the library, at p = 1."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from tonearm import gpu_augment as ga
from tonearm.benchmarks import augment_groups as groups
from tonearm.benchmarks.augment_material import Material
from tonearm.benchmarks.peers.effect_settings import (
    FREQUENCY_MASK_BINS,
    MAX_CENTER_HZ,
    MAX_CUTOFF_HZ,
    MAX_RATE,
    MAX_SEMITONES,
    MAX_SNR_DB,
    MIN_CENTER_HZ,
    MIN_CUTOFF_HZ,
    MIN_RATE,
    MIN_SNR_DB,
    NUM_MASKS,
    TIME_MASK_FRAMES,
)
from tonearm.gpu_augment import Augmentation

Kind = Literal["waveform", "specgram"]


@dataclass(frozen=True)
class Row:
    """An effect in the table.

    Attributes:
        name: as it stands there.
        group: what it is compared within.
        make: the effect, from the material.
        kind: what it takes.
        every_time: whether it must change each clip; a mask may by chance have no width.
        apart: whether equal clips must not all come out changed in the same direction; a reversal does the same to all.
        compiled: whether ``apply`` goes through torch.compile first.
        note: what a reader of the table has to know.
    """

    name: str
    group: str
    make: Callable[[Material], Augmentation]
    kind: Kind = "waveform"
    every_time: bool = True
    apart: bool = True
    compiled: bool = False
    note: str = ""


TAPE_SAMPLES = 1 << 22  # 95 s at 44.1 kHz


def _crop(on: Material) -> Augmentation:
    return ga.Crop(num_samples=on.waveform.shape[-1] // 2)


def _noise(color: str = "white", *, tape_samples: int = 0) -> Callable[[Material], Augmentation]:
    return lambda _: ga.Noise(1.0, MIN_SNR_DB, MAX_SNR_DB, color=color, tape_samples=tape_samples)


def _background(on: Material) -> Augmentation:
    bank = ga.SoundBank([on.background], sample_rate=on.sample_rate, name="background")
    return ga.BackgroundNoise(bank, 1.0, min_snr_db=MIN_SNR_DB, max_snr_db=MAX_SNR_DB)


def _measured_room(on: Material) -> Augmentation:
    return ga.BankReverb(ga.SoundBank([on.rir], sample_rate=on.sample_rate, name="room"), 1.0)


def _stretch(interpolation: str = "linear") -> Callable[[Material], Augmentation]:
    return lambda _: ga.TimeShiftStretch(1.0, min_rate=MIN_RATE, max_rate=MAX_RATE, interpolation=interpolation)


def _cutoffs(effect: Callable[..., Augmentation]) -> Callable[[Material], Augmentation]:
    return lambda on: effect(1.0, sample_rate=on.sample_rate, min_cutoff_hz=MIN_CUTOFF_HZ, max_cutoff_hz=MAX_CUTOFF_HZ)


def _band_pass(on: Material) -> Augmentation:
    return ga.BandPass(1.0, sample_rate=on.sample_rate, min_center_hz=MIN_CENTER_HZ, max_center_hz=MAX_CENTER_HZ)


def _pitch_shift(_: Material) -> Augmentation:
    return ga.PitchShift(1.0, min_semitones=-MAX_SEMITONES, max_semitones=MAX_SEMITONES)


def _time_masking(_: Material) -> Augmentation:
    return ga.TimeMasking(TIME_MASK_FRAMES, 1.0, num_masks=NUM_MASKS)


def _frequency_masking(_: Material) -> Augmentation:
    return ga.FrequencyMasking(FREQUENCY_MASK_BINS, 1.0, num_masks=NUM_MASKS)


def _spec_augment(_: Material) -> Augmentation:
    return ga.SpecAugment(
        1.0,
        freq_mask_param=FREQUENCY_MASK_BINS,
        time_mask_param=TIME_MASK_FRAMES,
        num_freq_masks=NUM_MASKS,
        num_time_masks=NUM_MASKS,
    )


MASKS = partial(Row, kind="specgram", every_time=False)
OWN_RESPONSE = "a response made for each clip"

ROWS = (
    Row("TimeShiftStretch", groups.STRETCH, _stretch()),
    Row("TimeShiftStretch, compiled", groups.STRETCH, _stretch(), compiled=True),
    Row("TimeShiftStretch, cubic", groups.STRETCH, _stretch("cubic")),
    Row("TimeShiftStretch, sinc", groups.STRETCH, _stretch("sinc")),
    Row("Speed", groups.STRETCH, lambda _: ga.Speed(1.0, min_rate=MIN_RATE, max_rate=MAX_RATE)),
    Row("Noise, white, fresh", groups.WHITE_NOISE, _noise()),
    Row("Noise, white, tape", groups.WHITE_NOISE, _noise(tape_samples=TAPE_SAMPLES)),
    Row("GaussianNoise", groups.WHITE_NOISE, lambda _: ga.GaussianNoise(1.0, min_deviation=0.001, max_deviation=0.02)),
    Row("Noise, pink, fresh", groups.COLOURED_NOISE, _noise("pink")),
    Row("Noise, pink, tape", groups.COLOURED_NOISE, _noise("pink", tape_samples=TAPE_SAMPLES)),
    Row("Noise, brown, fresh", groups.COLOURED_NOISE, _noise("brown")),
    Row("Noise, blue, fresh", groups.COLOURED_NOISE, _noise("blue")),
    Row("Noise, violet, fresh", groups.COLOURED_NOISE, _noise("violet")),
    Row("BackgroundNoise", groups.BACKGROUND_NOISE, _background),
    Row("SineHum", groups.OTHER_NOISE, lambda on: ga.SineHum(1.0, sample_rate=on.sample_rate)),
    Row("PhaseNoise", groups.OTHER_NOISE, lambda _: ga.PhaseNoise(1.0)),
    Row("Reverb", groups.REVERB, lambda on: ga.Reverb(1.0, sample_rate=on.sample_rate), note=OWN_RESPONSE),
    Row("BankReverb", groups.REVERB, _measured_room, apart=False, note="one response for all clips"),
    Row(
        "ImageSourceReverb",
        groups.REVERB,
        lambda on: ga.ImageSourceReverb(1.0, sample_rate=on.sample_rate),
        note=OWN_RESPONSE,
    ),
    Row("LowPass", groups.LOWPASS, _cutoffs(ga.LowPass)),
    Row("HighPass", groups.HIGHPASS, lambda on: ga.HighPass(1.0, sample_rate=on.sample_rate)),
    Row("BandPass", groups.BANDPASS, _band_pass),
    Row("TimeStretch", groups.TIME_STRETCH, lambda _: ga.TimeStretch(1.0, min_rate=MIN_RATE, max_rate=MAX_RATE)),
    Row("PitchShift", groups.PITCH_SHIFT, _pitch_shift),
    Row("FrequencyShift", groups.PITCH_SHIFT, lambda on: ga.FrequencyShift(1.0, sample_rate=on.sample_rate)),
    Row("Shift", groups.PLACE, lambda _: ga.Shift(1.0)),
    Row("Reverse", groups.PLACE, lambda _: ga.Reverse(1.0), apart=False),
    Row("Crop", groups.PLACE, _crop),
    Row("Gain", groups.LEVEL, lambda _: ga.Gain(1.0)),
    Row("Polarity", groups.LEVEL, lambda _: ga.Polarity(1.0), apart=False),
    Row("Clip", groups.LEVEL, lambda _: ga.Clip(1.0)),
    Row("Quantize", groups.LEVEL, lambda _: ga.Quantize(1.0)),
    Row("MuLaw", groups.LEVEL, lambda _: ga.MuLaw(1.0), apart=False),
    Row("SegmentGain", groups.LEVEL, lambda _: ga.SegmentGain(1.0)),
    MASKS("TimeMasking", groups.TIME_MASKS, _time_masking),
    MASKS("FrequencyMasking", groups.FREQUENCY_MASKS, _frequency_masking),
    MASKS("SpecAugment", groups.SPEC_AUGMENT, _spec_augment),
    Row("DropBlock", groups.DROP_BLOCK, lambda _: ga.DropBlock(1.0, block_size=(8, 16)), kind="specgram"),
    Row("Mixup", groups.MIXING, lambda _: ga.Mixup()),
    Row("BetweenClassMixup", groups.MIXING, lambda on: ga.BetweenClassMixup(sample_rate=on.sample_rate)),
    Row("CutMix", groups.MIXING, lambda _: ga.CutMix()),
    Row("OneOf, stretch or noise", groups.CHOICE, lambda on: ga.OneOf([_stretch()(on), _noise()(on)])),
    Row("SomeOf, stretch and noise", groups.CHOICE, lambda on: ga.SomeOf([_stretch()(on), _noise()(on)])),
)
