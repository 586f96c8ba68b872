"""Effects on the level of samples, sample by sample."""

import math
from collections.abc import Sequence

import numpy as np

from tonearm.gpu_augment.reference.array import Array


def gain(clip: Array, *, gain_db: float, length: int) -> Array:
    """The clip, louder or fainter."""
    louder = clip.copy()
    louder[:, :length] *= 10 ** (gain_db / 20)
    return louder


def invert_polarity(clip: Array, *, length: int) -> Array:
    """The clip upside down."""
    inverted = clip.copy()
    inverted[:, :length] *= -1
    return inverted


def clip(clip: Array, *, threshold_db: float, length: int) -> Array:
    """The clip, cut off at a level below its peak."""
    clipped = clip.copy()
    if length and len(clip):
        limit = np.abs(clip[:, :length]).max() * 10 ** (threshold_db / 20)
        clipped[:, :length] = np.clip(clip[:, :length], -limit, limit)
    return clipped


def quantize(clip: Array, *, bits: int, length: int) -> Array:
    """The clip with each sample at the nearest multiple of the step."""
    step = 2.0 ** (1 - bits)
    rounded = clip.copy()
    for channel in rounded:
        channel[:length] = [round(x / step) * step for x in channel[:length].tolist()]  # Python rounds half to even too
    return rounded


def mu_law(clip: Array, *, bits: int, length: int) -> Array:
    """The clip, coded and decoded by the curve, code by code: 0 … μ, of which those below μ/2 are negative."""
    mu = 2**bits - 1
    coded = clip.copy()
    for channel in coded:
        for t in range(length):
            x = channel[t]
            compressed = math.copysign(math.log1p(mu * abs(x)) / math.log1p(mu), x)
            code = math.floor((compressed + 1) / 2 * mu + 0.5)
            level = 2 * code / mu - 1
            channel[t] = 0.0 if x == 0 else math.copysign(math.expm1(abs(level) * math.log1p(mu)) / mu, level)
    return coded


def segment_gain(clip: Array, *, segments: Sequence[tuple[int, int, float]], length: int) -> Array:
    """The clip with segments (start, width, dB) louder or fainter."""
    changed = clip.copy()
    for start, width, gain_db in segments:
        changed[:, start : min(start + width, length)] *= 10 ** (gain_db / 20)
    return changed
