"""Which clip comes when, and where its excerpt begins: a function of the seed and the epoch alone."""

import numpy as np

from tonearm.dataio.columns import Array
from tonearm.seeding import numpy_generator


def epoch_order(num_clips: int, *, seed: int, epoch: int) -> Array:
    """A permutation of the clips for one epoch of training, (num_clips,) int64."""
    return numpy_generator(seed, epoch, "order").permutation(num_clips)


def crop_starts(num_frames: Array, num_samples: int, *, seed: int, epoch: int) -> Array:
    """Where each excerpt of one epoch begins, uniform over the starts that fit.

    Args:
        num_frames: (n,) lengths of the clips in the order in which they come.
        num_samples: length of an excerpt.
        seed, epoch: what the draw depends on.

    Returns:
        (n,) int64; 0 for clips that are not longer than the excerpt.
    """
    starts = np.maximum(num_frames - num_samples, 0) + 1
    draws = numpy_generator(seed, epoch, "crop").random(len(num_frames))
    chosen: Array = (draws * starts).astype(np.int64)
    return chosen
