"""Every effect once more, slow and obvious: one clip and one sample at a time, in float64, from the definition.

The tests compare the fast versions with these; read them to see what an effect does. One family a file.
A clip is a NumPy array (channel, time), a map (channel, mel, time). ``length`` is the number of valid samples.
"""

from tonearm.gpu_augment.reference.counter import gaussian, random_bits
from tonearm.gpu_augment.reference.filters import apply_filter, band_pass, high_pass, low_pass, low_pass_taps
from tonearm.gpu_augment.reference.level import clip, gain, invert_polarity, mu_law, quantize, segment_gain
from tonearm.gpu_augment.reference.mix import a_weighted_loudness_db, between_class_mixup, cutmix, mixup
from tonearm.gpu_augment.reference.noise import (
    add_gaussian_noise,
    add_noise,
    bytes_of,
    colored_noise,
    excerpt,
    noise_period,
    sine,
)
from tonearm.gpu_augment.reference.room import convolve, image_source_rir, synthetic_rir
from tonearm.gpu_augment.reference.specgram import (
    drop_block,
    drop_block_features,
    drop_block_mask,
    mask,
    mask_probability,
    spec_augment,
)
from tonearm.gpu_augment.reference.spectral import frequency_shift, phase_noise, pitch_shift, time_stretch
from tonearm.gpu_augment.reference.time import reverse, sample_at, shift, speed, time_shift_stretch

__all__ = [
    "a_weighted_loudness_db",
    "add_gaussian_noise",
    "add_noise",
    "apply_filter",
    "band_pass",
    "between_class_mixup",
    "bytes_of",
    "clip",
    "colored_noise",
    "convolve",
    "cutmix",
    "drop_block",
    "drop_block_features",
    "drop_block_mask",
    "excerpt",
    "frequency_shift",
    "gain",
    "gaussian",
    "high_pass",
    "image_source_rir",
    "invert_polarity",
    "low_pass",
    "low_pass_taps",
    "mask",
    "mask_probability",
    "mixup",
    "mu_law",
    "noise_period",
    "phase_noise",
    "pitch_shift",
    "quantize",
    "random_bits",
    "reverse",
    "sample_at",
    "segment_gain",
    "shift",
    "sine",
    "spec_augment",
    "speed",
    "synthetic_rir",
    "time_shift_stretch",
    "time_stretch",
]
