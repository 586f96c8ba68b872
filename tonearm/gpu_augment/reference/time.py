"""Moving and stretching, sample by sample."""

import math

import numpy as np

from tonearm.gpu_augment.reference.array import Array


def time_shift_stretch(
    clip: Array, *, cut_out: float, cut_in: float, length: int, interpolation: str = "linear"
) -> Array:
    """Both parts of a clip that is cut at cut_out·length in the output and at cut_in·length in the input."""
    b, a = cut_out * length, cut_in * length
    stretched = clip.copy()
    for t in range(length):
        if t < b:
            position, rate = t * a / b, a / b
        else:
            rate = (length - a) / (length - b)
            position = a + (t - b) * rate
        stretched[:, t] = sample_at(clip[:, :length], position, rate=rate, interpolation=interpolation)
    return stretched


def speed(clip: Array, *, rate: float, length: int, interpolation: str = "linear") -> Array:
    """The clip at a rate, in an array as wide; zeros after it."""
    played = np.zeros_like(clip)
    for t in range(min(round(length / rate), clip.shape[1])):
        played[:, t] = sample_at(clip[:, :length], t * rate, rate=rate, interpolation=interpolation)
    return played


def shift(clip: Array, *, num_samples: int, mode: str, length: int) -> Array:
    """The clip so many samples later."""
    moved = clip.copy()
    for t in range(length):
        source = t - num_samples
        if mode == "roll":
            moved[:, t] = clip[:, source % length]
        else:
            moved[:, t] = clip[:, source] if 0 <= source < length else 0.0
    return moved


def reverse(clip: Array, *, length: int) -> Array:
    """The clip backwards."""
    turned = clip.copy()
    for t in range(length):
        turned[:, t] = clip[:, length - 1 - t]
    return turned


def sample_at(clip: Array, position: float, *, rate: float, interpolation: str) -> Array:
    """(channel,) values between samples; before its first and after its last the clip is constant."""
    last = clip.shape[1] - 1
    position = min(position, last)
    weights = {
        n: _kernel(position - n, rate=rate, interpolation=interpolation)
        for n in range(math.floor(position) - 63, math.floor(position) + 65)
    }
    total = sum(weights.values())
    return np.array(sum(weight / total * clip[:, min(max(n, 0), last)] for n, weight in weights.items()))


def _kernel(distance: float, *, rate: float, interpolation: str) -> float:
    s = abs(distance)
    if interpolation == "linear":
        return max(0.0, 1 - s)
    if interpolation == "cubic":  # Keys, a = -1/2
        if s < 1:
            return 1.5 * s**3 - 2.5 * s**2 + 1
        return -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2 if s < 2 else 0.0
    crossings = s / 1.146 / max(1.0, rate)
    if crossings >= 16:
        return 0.0
    window = np.i0(7.306 * math.sqrt(1 - (crossings / 16) ** 2))
    return float(np.sinc(crossings) * window)
