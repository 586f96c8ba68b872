"""Excerpts: what a decoder is asked for, and the shape of every decoder."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tonearm.dataio.columns import Array

FULL_SCALE = 32_768


@dataclass(frozen=True)
class Excerpts:
    """A batch of excerpts by number.

    Attributes:
        rows: (batch,) clips of the dataset.
        starts: (batch,) first frame of each excerpt.
        counts: (batch,) valid frames of each; what is missing to ``num_samples`` is zero.
        num_samples: frames of the batch.
    """

    rows: Array
    starts: Array
    counts: Array
    num_samples: int


class Decoder(Protocol):
    """Turns excerpts into a waveform (batch, channel, time) float32 in [-1, 1] on its device, zero where invalid."""

    def __call__(self, excerpts: Excerpts) -> Tensor:
        """Decode a batch; raises DamagedClipError naming shard and clip."""
