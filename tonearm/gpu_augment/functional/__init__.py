"""The effects as plain functions: a batch and explicit parameters in, a new batch out. One effect a file."""

from tonearm.gpu_augment.functional.dropblock import drop_block, drop_block_mask, dropblock_gamma
from tonearm.gpu_augment.functional.masking import frequency_mask, time_mask
from tonearm.gpu_augment.functional.noise import add_noise, white_noise
from tonearm.gpu_augment.functional.reverb import convolve, fast_fft_length, synthetic_rir
from tonearm.gpu_augment.functional.time_shift_stretch import cut_range, time_shift_stretch

__all__ = [
    "add_noise",
    "convolve",
    "cut_range",
    "drop_block",
    "drop_block_mask",
    "dropblock_gamma",
    "fast_fft_length",
    "frequency_mask",
    "synthetic_rir",
    "time_mask",
    "time_shift_stretch",
    "white_noise",
]
