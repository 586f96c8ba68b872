"""Random numbers without a generator: a hash of (a clip's key, the position), the same wherever it is computed.

Long noise cannot be drawn on the host (it would have to be copied), and a device generator serves a whole batch: a
clip's noise would depend on the clips beside it and on the device, and could not be drawn under torch.compile. Here
every number is a function of the clip's 64-bit key and its position, so a row replays alone, ranks agree, and CPU and
GPU do too (bits exactly, Gaussians to the rounding of log and cos). On a CPU it costs what torch.randn costs.

The hash is the 32-bit finaliser "lowbias32" of the position, which all clips share, and then once more its steps, with
the two halves of the key (themselves hashed) mixed in between. Good enough for augmentation, not for cryptography.

Reference:
    Salmon et al.: Parallel random numbers: as easy as 1, 2, 3, 2011 (the idea).
    Wellons: Prospecting for hash functions, 2018 (the constants).
    Box, Muller: A note on the generation of random normal deviates, 1958 (Gaussians).
"""

import math

import torch
from torch import Tensor

_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - 2**32  # odd multipliers, as signed 32-bit integers, which wrap


def keys_from_uniforms(uniforms: Tensor) -> Tensor:
    """Whole numbers over the range of int32, still float64, from numbers in [0, 1): keys as parameters travel."""
    return (uniforms * 2**32).floor() - 2**31


def random_bits(keys: Tensor, count: int) -> Tensor:
    """32 random bits for each key and position.

    Args:
        keys: (batch, 2) int32.
        count: positions, fewer than 2**31.

    Returns:
        (batch, count) int32, uniform over all its values, on the keys' device.
    """
    second = _mixed(keys[:, 1:] ^ _mixed(keys[:, :1]))  # so that neighbouring keys have nothing in common either
    first = _mixed(keys[:, :1] + second)

    bits = _mixed(torch.arange(count, dtype=torch.int32, device=keys.device)) ^ first
    bits.mul_(_FIRST)
    bits ^= _shifted(bits, 15)
    bits += second
    bits.mul_(_SECOND)
    bits ^= _shifted(bits, 16)
    return bits


def _mixed(bits: Tensor) -> Tensor:
    """The finaliser itself: one-to-one, and every bit that goes in changes half of those that come out."""
    bits = bits ^ _shifted(bits, 16)
    bits = bits * _FIRST
    bits = bits ^ _shifted(bits, 15)
    bits = bits * _SECOND
    return bits ^ _shifted(bits, 16)


def _shifted(bits: Tensor, by: int) -> Tensor:
    """The bits moved right with zeros coming in; torch's own shift of a signed integer repeats the sign."""
    return (bits >> by).bitwise_and_((1 << (32 - by)) - 1)


def bernoulli(keys: Tensor, probability: float, count: int) -> Tensor:
    """(batch, count) bool, each True with ``probability`` (to 1 in 2**24), independently."""
    return _shifted(random_bits(keys, count), 8) < round(probability * 2**24)


def gaussian(keys: Tensor, count: int) -> Tensor:
    """(batch, count) float32, independent standard normal numbers.

    One hash makes a pair of them by the Box-Muller transform: its upper half the radius, its lower half the angle.
    With 16 bits each no number exceeds 4.86, where the true distribution has one in 800,000.
    """
    bits = random_bits(keys, (count + 1) // 2)
    # Midpoints (k + ½)/2¹⁶ keep the logarithm away from zero.
    radius = _shifted(bits, 16).float().add_(0.5).mul_(2**-16).log_().mul_(-2.0).sqrt_()
    angle = (bits & 0xFFFF).float().mul_(2 * math.pi * 2**-16)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]
