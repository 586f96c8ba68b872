"""Filters, sample by sample."""

import math

import numpy as np

from tonearm.gpu_augment.reference.array import Array


def low_pass_taps(*, cutoff_hz: float, transition_hz: float, sample_rate: int) -> Array:
    """A sinc in a Kaiser window for 65 dB, its middle in the middle; taps add up to 1."""
    half = (65 - 7.95) / 14.36 / 2 * sample_rate / transition_hz
    beta = 0.1102 * (65 - 8.7)
    cutoff = min(cutoff_hz / sample_rate, 0.5)
    positions = range(-math.floor(half), math.floor(half) + 1)
    taps: Array = np.array(
        [float(np.sinc(2 * cutoff * k) * np.i0(beta * math.sqrt(1 - (k / half) ** 2))) for k in positions]
    )
    return taps / float(taps.sum())


def apply_filter(clip: Array, taps: Array, *, length: int) -> Array:
    """The clip, its first and last valid samples held, convolved with a filter around its middle."""
    filtered, half = clip.copy(), len(taps) // 2
    for t in range(length):
        filtered[:, t] = sum(taps[half + k] * clip[:, min(max(t - k, 0), length - 1)] for k in range(-half, half + 1))
    return filtered


def low_pass(clip: Array, *, cutoff_hz: float, sample_rate: int, length: int) -> Array:
    """What lies below the cutoff."""
    taps = low_pass_taps(cutoff_hz=cutoff_hz, transition_hz=cutoff_hz / 2, sample_rate=sample_rate)
    return apply_filter(clip, taps, length=length)


def high_pass(clip: Array, *, cutoff_hz: float, sample_rate: int, length: int) -> Array:
    """What the low-pass takes away."""
    rest = clip.copy()
    low = low_pass(clip, cutoff_hz=cutoff_hz, sample_rate=sample_rate, length=length)
    rest[:, :length] -= low[:, :length]
    return rest


def band_pass(clip: Array, *, center_hz: float, bandwidth_octaves: float, sample_rate: int, length: int) -> Array:
    """What lies below the upper edge and not below the lower one."""
    low, high = center_hz * 2 ** (-bandwidth_octaves / 2), center_hz * 2 ** (bandwidth_octaves / 2)
    transition = min(low, high - low) / 2
    upper, lower = (
        low_pass_taps(cutoff_hz=edge, transition_hz=transition, sample_rate=sample_rate) for edge in (high, low)
    )
    return apply_filter(clip, upper - lower, length=length)
