"""How each effect is shown on docs/augmentations.md: the functions that it documents, and settings that one can see.

Settings are what a configuration would say (``p`` is 1 and the sample rate given where an effect takes them), and the
page prints them beside the picture. A new effect needs an entry here, or `make docs` and tests/test_docs.py fail.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FAMILIES = {
    "time": "Time",
    "noise": "Added sounds",
    "room": "Rooms",
    "filters": "Filters",
    "spectral": "Spectrum",
    "level": "Level",
    "mix": "Mixing of clips",
    "crop": "Crops",
    "specgram": "On spectrograms",
    "compose": "Compositions",
}
"""The files of ``transforms/`` in the order of the page, and ``compose``, with their headings."""


@dataclass(frozen=True)
class Example:
    """How one effect is shown.

    Attributes:
        functions: of tonearm.gpu_augment.functional, whose texts, formulas and sources belong to it.
        settings: of the effect.
        variants: settings that differ, by the title of their panel; each is shown. None: one panel, "after".
        sound: what it is applied to, see ``docs.augmentation_sounds.SOUNDS``.
        num_clips: how many copies of the sound go in together, to show that they come out different.
        zoom_seconds: what part of the waveform is drawn, sample by sample. None: all of it, as an outline.
        seed: of what is drawn at random.
        files: of tonearm/gpu_augment/functional/, whose opening texts belong to it as well.
    """

    functions: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    variants: Mapping[str, Mapping[str, Any]] | None = None
    sound: str = "knocks"
    num_clips: int = 1
    zoom_seconds: tuple[float, float] | None = None
    seed: int = 0
    files: tuple[str, ...] = ()


_SNR_10 = {"min_snr_db": 10, "max_snr_db": 10}
_MEMBERS = [
    {"time_shift_stretch": {"p": 1.0, "min_rate": 0.5, "max_rate": 2.0}},
    {"reverb": {"p": 1.0, "min_rt60_seconds": 0.6, "min_drr_db": 0, "max_drr_db": 0}},
    {"noise": {"p": 1.0, "min_snr_db": 15, "max_snr_db": 15}},
]

EXAMPLES: dict[str, Example] = {
    "TimeShiftStretch": Example(
        ("time_shift_stretch",),
        {"min_rate": 0.5, "max_rate": 2.0},
        seed=3,
        files=("time_shift_stretch", "interpolation"),
    ),
    "Shift": Example(
        ("shift",),
        {"min_shift_fraction": 0.3, "max_shift_fraction": 0.3},
        variants={"roll": {"mode": "roll"}, "zero": {"mode": "zero"}},
        sound="tone steps",
    ),
    "Speed": Example(
        ("speed",),
        variants={"rate 0.7": {"min_rate": 0.7, "max_rate": 0.7}, "rate 1.4": {"min_rate": 1.4, "max_rate": 1.4}},
        sound="tone steps",
    ),
    "Reverse": Example(("reverse",), sound="tone steps"),
    "Noise": Example(
        ("add_noise", "colored_noise", "add_tape_noise"),
        _SNR_10,
        variants={color: {"color": color} for color in ("white", "pink", "brown", "blue", "violet")},
    ),
    "GaussianNoise": Example(("add_gaussian_noise",), {"min_deviation": 0.02, "max_deviation": 0.02}),
    "BackgroundNoise": Example(("add_excerpts",), {"bank": "street", **_SNR_10}),
    "SineHum": Example(("add_sine_hum",), {"min_snr_db": 5, "max_snr_db": 5}, zoom_seconds=(0.4, 0.6)),
    "Reverb": Example(("synthetic_rir", "convolve"), {"min_rt60_seconds": 0.8, "min_drr_db": 0, "max_drr_db": 0}),
    "BankReverb": Example(("convolve",), {"bank": "rooms"}),
    "ImageSourceReverb": Example(
        ("image_source_rir", "convolve"),
        {"min_room_meters": [8, 6, 3], "min_rt60_seconds": 0.6, "max_rt60_seconds": 0.6},
    ),
    "LowPass": Example(("low_pass",), {"min_cutoff_hz": 1500, "max_cutoff_hz": 1500}, sound="hiss"),
    "HighPass": Example(("high_pass",), {"min_cutoff_hz": 2400, "max_cutoff_hz": 2400}, sound="hiss"),
    "BandPass": Example(
        ("band_pass",),
        {
            "min_center_hz": 2000,
            "max_center_hz": 2000,
            "min_bandwidth_octaves": 1,
            "max_bandwidth_octaves": 1,
        },
        sound="hiss",
    ),
    "TimeStretch": Example(
        ("time_stretch",),
        variants={"rate 0.6": {"min_rate": 0.6, "max_rate": 0.6}, "rate 1.6": {"min_rate": 1.6, "max_rate": 1.6}},
        sound="tone steps",
        files=("phase_vocoder",),
    ),
    "PitchShift": Example(
        ("pitch_shift",),
        variants={
            "-7 semitones": {"min_semitones": -7, "max_semitones": -7},
            "+7 semitones": {"min_semitones": 7, "max_semitones": 7},
        },
        sound="tone steps",
    ),
    "FrequencyShift": Example(
        ("frequency_shift",),
        variants={
            "-400 Hz": {"min_shift_hz": -400, "max_shift_hz": -400},
            "+1000 Hz": {"min_shift_hz": 1000, "max_shift_hz": 1000},
        },
        sound="tone steps",
    ),
    "PhaseNoise": Example(("phase_noise",), {"min_deviation": 1.0, "max_deviation": 1.0}, sound="tone steps"),
    "Gain": Example(
        ("gain",),
        variants={
            "-12 dB": {"min_gain_db": -12, "max_gain_db": -12},
            "+6 dB": {"min_gain_db": 6, "max_gain_db": 6},
        },
    ),
    "Polarity": Example(("invert_polarity",), sound="fading tone", zoom_seconds=(0.1, 0.13)),
    "Clip": Example(
        ("clip",),
        {"min_threshold_db": -12, "max_threshold_db": -12},
        sound="fading tone",
        zoom_seconds=(0.1, 0.13),
    ),
    "Quantize": Example(("quantize",), {"min_bits": 4, "max_bits": 4}, sound="fading tone", zoom_seconds=(0.1, 0.13)),
    "MuLaw": Example(("mu_law",), {"min_bits": 4, "max_bits": 4}, sound="fading tone", zoom_seconds=(0.1, 0.13)),
    "SegmentGain": Example(
        ("segment_gain",),
        {"num_segments": 2, "segment_share": 0.2, "min_gain_db": -20, "max_gain_db": -20},
        sound="vibrato",
    ),
    "Mixup": Example(("mixup",)),
    "BetweenClassMixup": Example(("between_class_mixup",)),
    "CutMix": Example(("cutmix",)),
    "Crop": Example(("crop",), {"num_samples": 16_000}, seed=1),
    "DropBlock": Example(
        ("drop_block", "dropblock_gamma"),
        {"drop_probability": 0.2, "block_size": [8, 16]},
        sound="decays",
        files=("dropblock",),
    ),
    "TimeMasking": Example(("time_mask",), {"time_mask_param": 40, "num_masks": 2}, sound="decays", seed=1),
    "FrequencyMasking": Example(("frequency_mask",), {"freq_mask_param": 16, "num_masks": 2}, sound="decays"),
    "SpecAugment": Example(("spec_augment",), {"freq_mask_param": 16, "time_mask_param": 40}, sound="decays"),
    "Chain": Example(settings={"effects": _MEMBERS}, seed=3),
    "OneOf": Example(settings={"effects": _MEMBERS}, num_clips=3),
    "SomeOf": Example(settings={"effects": _MEMBERS, "max_effects": 2}, num_clips=3, seed=4),
}
"""By the names of the classes."""
