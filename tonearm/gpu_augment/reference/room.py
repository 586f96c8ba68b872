"""Rooms, sample by sample."""

import math

import numpy as np

from tonearm.gpu_augment.reference.array import Array


def convolve(clip: Array, rir: Array, *, length: int) -> Array:
    """The clip convolved with a response (taps,), without what rings on after it."""
    wet = clip.copy()
    for t in range(length):
        wet[:, t] = sum(rir[k] * clip[:, t - k] for k in range(min(len(rir), t + 1)))
    return wet


def synthetic_rir(noise: Array, *, rt60_seconds: float, drr_db: float, sample_rate: int) -> Array:
    """The direct path and, after it, the given noise with an exponential decay; its energy is 1."""
    tail = [n * 10 ** (-3 * t / (rt60_seconds * sample_rate)) for t, n in enumerate(noise, start=1)]
    tail_energy = sum(h * h for h in tail)
    ratio = 10 ** (drr_db / 10)
    direct = math.sqrt(ratio / (1 + ratio))
    return np.array([direct, *(h * math.sqrt(1 / (1 + ratio) / tail_energy) for h in tail)])
