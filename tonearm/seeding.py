"""From a key such as (seed, epoch, "crop") to a random generator: the one place where this happens.

A key is hashed as a sequence, never summed, so that (seed 1, epoch 2) and (seed 2, epoch 1) have nothing in common.
Words in a key keep the streams of different uses apart.
"""

import hashlib

import numpy as np
import torch

Key = int | str


def seed_of(*key: Key) -> int:
    """A 63-bit seed that depends on every part of ``key`` and on their order.

    Args:
        key: integers (any size, any sign) and words.

    Returns:
        An int in [0, 2**63), the same on every platform and in every version of Python.

    Example:
        >>> seed_of(0, 1) == seed_of(1, 0)
        False
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def numpy_generator(*key: Key) -> np.random.Generator:
    """A NumPy generator (Philox) for ``key``."""
    return np.random.Generator(np.random.Philox(seed_of(*key)))


def torch_generator(*key: Key) -> torch.Generator:
    """A private CPU generator for ``key``; torch's global generator is neither read nor changed."""
    return torch.Generator().manual_seed(seed_of(*key))
