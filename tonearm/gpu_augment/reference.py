"""Every effect once more, slow and obvious: one clip and one sample at a time, in float64, from the definition.

The tests compare the fast versions with these; read them to see what an effect does.
A clip is a NumPy array (channel, time), a map (channel, mel, time). ``length`` is the number of valid samples.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def time_shift_stretch(clip: Array, *, cut_out: float, cut_in: float, length: int) -> Array:
    """Both parts of a clip that is cut at cut_out·length in the output and at cut_in·length in the input."""
    b, a = cut_out * length, cut_in * length
    stretched = clip.copy()
    for t in range(length):
        position = t * a / b if t < b else a + (t - b) * (length - a) / (length - b)
        before = min(int(position), length - 1)
        after = min(before + 1, length - 1)  # the last sample is held
        weight = position - before
        stretched[:, t] = (1 - weight) * clip[:, before] + weight * clip[:, after]
    return stretched


def add_noise(clip: Array, noise: Array, *, snr_db: float, length: int) -> Array:
    """The clip with noise at a ratio of powers over the valid samples."""
    signal_power = np.mean(clip[:, :length] ** 2) if length else 0.0
    noise_power = np.mean(noise[:, :length] ** 2) if length else 0.0
    noisy = clip.copy()
    if noise_power > 0:
        noisy[:, :length] += noise[:, :length] * math.sqrt(signal_power / noise_power / 10 ** (snr_db / 10))
    return noisy


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


def mask(specgram: Array, *, spans: Sequence[tuple[int, int]], axis: int, fill: float | str) -> Array:
    """The map with the spans (start, width) of an axis covered; axis 1 is mel, 2 is time."""
    value = float(specgram.mean()) if fill == "mean" else float(fill)
    covered = specgram.copy()
    for start, width in spans:
        covered[(slice(None),) * axis + (slice(start, start + width),)] = value
    return covered


def drop_block_mask(seeds: NDArray[np.bool_], *, block_size: tuple[int, int]) -> NDArray[np.bool_]:
    """The (mel, time) cells that the blocks cover which begin at the seeds."""
    block_mel, block_time = block_size
    covered = np.zeros((seeds.shape[0] + block_mel - 1, seeds.shape[1] + block_time - 1), dtype=bool)
    for mel, time in zip(*seeds.nonzero(), strict=True):
        covered[mel : mel + block_mel, time : time + block_time] = True
    return covered


def drop_block(specgram: Array, seeds: NDArray[np.bool_], *, block_size: tuple[int, int]) -> Array:
    """The map with the blocks filled with its mean."""
    return np.where(drop_block_mask(seeds, block_size=block_size), specgram.mean(), specgram)


def random_bits(key: tuple[int, int], count: int) -> list[int]:
    """The hash of :mod:`~tonearm.gpu_augment.functional.counter`, as unsigned integers."""
    wrap = 2**32 - 1

    def mixed(x: int) -> int:
        x = (x ^ (x >> 16)) * 0x7FEB352D & wrap
        x = (x ^ (x >> 15)) * 0x846CA68B & wrap
        return x ^ (x >> 16)

    second = mixed((key[1] & wrap) ^ mixed(key[0] & wrap))
    first = mixed((key[0] + second) & wrap)
    numbers = []
    for position in range(count):
        x = (mixed(position) ^ first) * 0x7FEB352D & wrap
        x = ((x ^ (x >> 15)) + second) * 0x846CA68B & wrap
        numbers.append(x ^ (x >> 16))
    return numbers


def gaussian(key: tuple[int, int], count: int) -> Array:
    """Box and Muller's transform of the upper and the lower half of each hash; all cosines, then all sines."""
    pairs = [(bits >> 16, bits & 0xFFFF) for bits in random_bits(key, (count + 1) // 2)]
    polar = [(math.sqrt(-2 * math.log((upper + 0.5) / 2**16)), 2 * math.pi * lower / 2**16) for upper, lower in pairs]
    numbers = [r * math.cos(angle) for r, angle in polar] + [r * math.sin(angle) for r, angle in polar]
    return np.array(numbers[:count])
