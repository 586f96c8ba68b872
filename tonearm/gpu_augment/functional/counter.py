"""Random numbers without a generator: a hash of (a clip's key, the position), the same wherever it is computed.

Long noise cannot be drawn on the host (it would have to be copied), and a device generator serves a whole batch: a
clip's noise would depend on the clips beside it and on the device, and could not be drawn under torch.compile. Here
every number is a function of the clip's 64-bit key and its position, so a row replays alone, ranks agree, and CPU and
GPU do too (bits exactly, Gaussians to the rounding of log and cos).

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

from tonearm.gpu_augment.functional import blocks

_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - 2**32  # odd multipliers, as signed 32-bit integers, which wrap
_CHUNK = 1 << 17  # hashes at a time on a CPU: enough for two threads, and what is made of them stays in the cache


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
    first, second = _hashed_keys(keys)
    if not blocks.on_cpu(keys):
        return _with_key(_hashed_positions(0, count, keys.device), first, second)
    bits = torch.empty(len(keys), count, dtype=torch.int32, device=keys.device)
    chunk = _even_chunk(count)
    scratch = torch.empty(chunk, dtype=torch.int32, device=keys.device)
    for begin in range(0, count, max(1, chunk)):
        positions = _hashed_positions(begin, min(begin + chunk, count), keys.device)
        for row, one, two in zip(bits, first, second, strict=True):
            _with_key(positions, one, two, out=row[begin : begin + chunk], scratch=scratch)
    return bits


def _even_chunk(count: int) -> int:
    """About _CHUNK, such that the last one is no mere rest."""
    return -(-count // max(1, round(count / _CHUNK)))


def _hashed_keys(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Two (batch, 1) numbers that go into every hash of a key."""
    second = _mixed(keys[:, 1:] ^ _mixed(keys[:, :1]))  # so that neighbouring keys have nothing in common either
    return _mixed(keys[:, :1] + second), second


def _hashed_positions(begin: int, end: int, device: torch.device) -> Tensor:
    """(end - begin,) the part of the hash that all keys share."""
    return _mixed(torch.arange(begin, end, dtype=torch.int32, device=device))


def _with_key(
    positions: Tensor, first: Tensor, second: Tensor, *, out: Tensor | None = None, scratch: Tensor | None = None
) -> Tensor:
    """The hash, from its part of the positions and a key's two numbers; ``out`` and ``scratch`` spare new memory."""
    bits = torch.bitwise_xor(positions, first, out=out)
    if scratch is not None:
        scratch = scratch[: len(bits)]
    bits.mul_(_FIRST)
    bits ^= _shifted(bits, 15, out=scratch)
    bits += second
    bits.mul_(_SECOND)
    bits ^= _shifted(bits, 16, out=scratch)
    return bits


def _mixed(bits: Tensor) -> Tensor:
    """The finaliser itself: one-to-one, and every bit that goes in changes half of those that come out."""
    bits = bits ^ _shifted(bits, 16)
    bits *= _FIRST
    bits ^= _shifted(bits, 15)
    bits *= _SECOND
    return bits.bitwise_xor_(_shifted(bits, 16))


def _shifted(bits: Tensor, by: int, *, out: Tensor | None = None) -> Tensor:
    """The bits moved right with zeros coming in; torch's own shift of a signed integer repeats the sign."""
    return torch.bitwise_right_shift(bits, by, out=out).bitwise_and_((1 << (32 - by)) - 1)


def bernoulli(keys: Tensor, probability: float, count: int) -> Tensor:
    """(batch, count) bool, each True with ``probability`` (to 1 in 2**24), independently."""
    return _shifted(random_bits(keys, count), 8) < round(probability * 2**24)


def gaussian(keys: Tensor, count: int) -> Tensor:
    """(batch, count) float32, independent standard normal numbers.

    One hash makes a pair of them by the Box-Muller transform: its upper half the radius, its lower half the angle.
    With 16 bits each no number exceeds 4.86, where the true distribution has one in 800,000.
    """
    half = (count + 1) // 2
    if not blocks.on_cpu(keys):
        radius, angle = _polar(random_bits(keys, half))
        return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]
    numbers = torch.empty(len(keys), count, dtype=torch.float32, device=keys.device)
    first, second = _hashed_keys(keys)
    chunk = _even_chunk(half)
    bits, scratch = torch.empty(2, chunk, dtype=torch.int32, device=keys.device)
    radii, angles = torch.empty(2, chunk, dtype=torch.float32, device=keys.device)
    for begin in range(0, half, max(1, chunk)):
        end = min(begin + chunk, half)
        positions = _hashed_positions(begin, end, keys.device)
        here = slice(end - begin)
        for row, one, two in zip(numbers, first, second, strict=True):
            hashed = _with_key(positions, one, two, out=bits[here], scratch=scratch)
            radius, angle = _polar(hashed, radius=radii[here], angle=angles[here], scratch=scratch[here])
            sines = row[half + begin : half + end]  # one fewer than cosines where count is odd
            torch.sin(angle[: len(sines)], out=sines).mul_(radius[: len(sines)])
            torch.cos(angle, out=row[begin:end]).mul_(radius)
    return numbers


def _polar(
    bits: Tensor, *, radius: Tensor | None = None, angle: Tensor | None = None, scratch: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The radius and the angle of a pair of Gaussians, in the memory that is given, if it is."""
    upper = _shifted(bits, 16, out=scratch)
    radius = upper.float() if radius is None else radius.copy_(upper)
    # Midpoints (k + ½)/2¹⁶ keep the logarithm away from zero.
    radius.add_(0.5).mul_(2**-16).log_().mul_(-2.0).sqrt_()
    lower = torch.bitwise_and(bits, 0xFFFF, out=scratch)
    angle = lower.float() if angle is None else angle.copy_(lower)
    return radius, angle.mul_(2 * math.pi * 2**-16)
