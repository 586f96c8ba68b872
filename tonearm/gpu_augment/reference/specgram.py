"""Masks, cell by cell."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tonearm.gpu_augment.reference.array import Array


def mask(specgram: Array, *, spans: Sequence[tuple[int, int]], axis: int, fill: float | str) -> Array:
    """The map with the spans (start, width) of an axis covered; axis 1 is mel, 2 is time."""
    value = float(specgram.mean()) if fill == "mean" else float(fill)
    covered = specgram.copy()
    for start, width in spans:
        covered[(slice(None),) * axis + (slice(start, start + width),)] = value
    return covered


def spec_augment(
    specgram: Array,
    *,
    mel_spans: Sequence[tuple[int, int]],
    time_spans: Sequence[tuple[int, int]],
    fill: float | str,
) -> Array:
    """The map with the spans of both axes covered; the mean is that of the map as it came."""
    value = float(specgram.mean()) if fill == "mean" else float(fill)
    return mask(mask(specgram, spans=mel_spans, axis=1, fill=value), spans=time_spans, axis=2, fill=value)


def mask_probability(size: int, *, widest: int) -> Array:
    """How likely one mask covers each cell of an axis, counted over every width and every place where it fits."""
    widest = min(widest, size)
    covered = np.zeros(size)
    for width in range(widest + 1):
        places = size - width + 1
        for start in range(places):
            covered[start : start + width] += 1 / places / (widest + 1)
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


def drop_block_features(features: Array, seeds: NDArray[np.bool_], *, block_size: tuple[int, int]) -> Array:
    """A layer's maps (channel, mel, time) with the blocks at 0 and the rest scaled up; seeds are each channel's own."""
    kept = ~np.stack([drop_block_mask(own, block_size=block_size) for own in seeds])
    scaled: Array = features * kept / max(kept.mean(), 1 / kept.size)
    return scaled
