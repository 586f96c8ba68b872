"""Rooms, sample by sample."""

import math
from collections.abc import Sequence
from itertools import product

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


def image_source_rir(
    room: Sequence[float],
    source: Sequence[float],
    microphone: Sequence[float],
    *,
    absorption: float,
    sample_rate: int,
    num_samples: int,
    max_order: int,
    high_pass_hz: float | None = 100.0,
    speed_of_sound: float = 343.0,
) -> Array:
    """The direct sound at index 0 with level 1, and the images' after it, each a sinc in a Hann window; no noise."""

    def image(number: int, side: float, place: float) -> float:
        """Mirrored |number| times, in the walls at ``side`` and at 0 in turn; last at ``side`` if number is above 0."""
        walls = [side, 0.0] if number > 0 else [0.0, side]
        for mirrored in reversed(range(abs(number))):
            place = 2 * walls[mirrored % 2] - place
        return place

    direct = math.dist(source, microphone)
    rir = np.zeros(num_samples)
    for numbers in product(range(-max_order, max_order + 1), repeat=3):
        order = sum(abs(number) for number in numbers)
        if order > max_order:
            continue
        places = [image(number, side, place) for number, side, place in zip(numbers, room, source, strict=True)]
        distance = math.dist(places, microphone)
        level = direct / distance * math.sqrt(1 - absorption) ** order
        delay = (distance - direct) * sample_rate / speed_of_sound
        for t in range(max(0, math.ceil(delay - 8)), min(num_samples, math.floor(delay + 8) + 1)):
            rir[t] += level * np.sinc(t - delay) * math.cos(math.pi * (t - delay) / 16) ** 2
    return rir if high_pass_hz is None else _high_pass(rir, corner=2 * math.pi * high_pass_hz / sample_rate)


def _high_pass(rir: Array, *, corner: float) -> Array:
    """Allen and Berkley's filter against the swell that many arrivals of one sign make."""
    radius = math.exp(-corner)
    filtered, state, older = np.zeros_like(rir), 0.0, 0.0
    for t, sample in enumerate(rir):
        newest = sample + 2 * radius * math.cos(corner) * state - radius**2 * older
        filtered[t] = newest - (1 + radius) * state + radius * older
        state, older = newest, state
    return filtered
