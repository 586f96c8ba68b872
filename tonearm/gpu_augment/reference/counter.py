"""The hash that numbers come from, with whole numbers that do not wrap by themselves."""

import math

import numpy as np

from tonearm.gpu_augment.reference.array import Array


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
