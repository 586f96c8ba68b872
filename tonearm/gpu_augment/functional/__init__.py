"""The effects as plain functions: a batch and explicit parameters in, a new batch out. One effect a file."""

from tonearm.gpu_augment.functional.between_class import a_weighted_loudness_db, a_weighting_db, between_class_mixup
from tonearm.gpu_augment.functional.clipping import clip
from tonearm.gpu_augment.functional.colored_noise import colored_noise
from tonearm.gpu_augment.functional.crop import crop
from tonearm.gpu_augment.functional.cutmix import cutmix
from tonearm.gpu_augment.functional.dropblock import drop_block, drop_block_features, drop_block_mask, dropblock_gamma
from tonearm.gpu_augment.functional.excerpts import add_excerpts, read_excerpts
from tonearm.gpu_augment.functional.fft_length import fast_fft_length
from tonearm.gpu_augment.functional.filters import band_pass, high_pass, low_pass
from tonearm.gpu_augment.functional.frequency_shift import frequency_shift
from tonearm.gpu_augment.functional.gain import gain, invert_polarity
from tonearm.gpu_augment.functional.image_source import image_source_rir
from tonearm.gpu_augment.functional.masking import frequency_mask, time_mask
from tonearm.gpu_augment.functional.mixup import mixup
from tonearm.gpu_augment.functional.mu_law import mu_law
from tonearm.gpu_augment.functional.noise import add_gaussian_noise, add_noise, white_noise
from tonearm.gpu_augment.functional.noise_tape import add_tape_noise, noise_tape
from tonearm.gpu_augment.functional.phase_noise import phase_noise
from tonearm.gpu_augment.functional.pitch_shift import pitch_shift
from tonearm.gpu_augment.functional.quantize import quantize
from tonearm.gpu_augment.functional.reverb import convolve, synthetic_rir
from tonearm.gpu_augment.functional.reverse import reverse
from tonearm.gpu_augment.functional.segment_gain import segment_gain
from tonearm.gpu_augment.functional.shift import shift
from tonearm.gpu_augment.functional.sine_hum import add_sine_hum
from tonearm.gpu_augment.functional.spec_augment import spec_augment
from tonearm.gpu_augment.functional.speed import speed, speed_lengths
from tonearm.gpu_augment.functional.time_shift_stretch import cut_range, time_shift_stretch
from tonearm.gpu_augment.functional.time_stretch import time_stretch

__all__ = [
    "a_weighted_loudness_db",
    "a_weighting_db",
    "add_excerpts",
    "add_gaussian_noise",
    "add_noise",
    "add_sine_hum",
    "add_tape_noise",
    "band_pass",
    "between_class_mixup",
    "clip",
    "colored_noise",
    "convolve",
    "crop",
    "cut_range",
    "cutmix",
    "drop_block",
    "drop_block_features",
    "drop_block_mask",
    "dropblock_gamma",
    "fast_fft_length",
    "frequency_mask",
    "frequency_shift",
    "gain",
    "high_pass",
    "image_source_rir",
    "invert_polarity",
    "low_pass",
    "mixup",
    "mu_law",
    "noise_tape",
    "phase_noise",
    "pitch_shift",
    "quantize",
    "read_excerpts",
    "reverse",
    "segment_gain",
    "shift",
    "spec_augment",
    "speed",
    "speed_lengths",
    "synthetic_rir",
    "time_mask",
    "time_shift_stretch",
    "time_stretch",
    "white_noise",
]
