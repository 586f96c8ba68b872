"""Sounds that are added, sample by sample."""

import math

import numpy as np

from tonearm.gpu_augment.reference.array import Array


def add_noise(clip: Array, noise: Array, *, snr_db: float, length: int) -> Array:
    """The clip with noise at a ratio of powers over the valid samples."""
    signal_power = np.mean(clip[:, :length] ** 2) if length else 0.0
    noise_power = np.mean(noise[:, :length] ** 2) if length else 0.0
    noisy = clip.copy()
    if noise_power > 0:
        noisy[:, :length] += noise[:, :length] * math.sqrt(signal_power / noise_power / 10 ** (snr_db / 10))
    return noisy
