"""Which clip comes when, and where its excerpt begins: a function of the seed and the epoch alone.

An epoch of training is a sequence of positions; position p holds one clip and one draw for its crop, whoever takes it.
Ranks share each global batch out among them, so what a step of N ranks sees together is what one process with N times
the batch size sees in that step.
"""

import numpy as np

from tonearm.dataio.columns import Array, ClipTable
from tonearm.seeding import numpy_generator


def epoch_order(num_clips: int, *, seed: int, epoch: int) -> Array:
    """A permutation of the clips for one epoch of training, (num_clips,) int64."""
    return numpy_generator(seed, epoch, "order").permutation(num_clips)


def weighted_order(weights: Array, *, seed: int, epoch: int) -> Array:
    """As many draws as there are clips, a clip of twice the weight drawn twice as often, in random order.

    Draws are systematic: a clip whose share is 2.3 draws comes twice or three times, never 0 or 9 times as it would
    with independent draws. Equal weights give a permutation.

    Args:
        weights: (num_clips,) not negative, of any positive sum.
        seed, epoch: what the draw depends on.

    Returns:
        (num_clips,) int64 rows.

    Reference:
        Madow: On the theory of systematic sampling, II, 1949 (in random order of the population).
    """
    generator = numpy_generator(seed, epoch, "weighted order")
    population = generator.permutation(len(weights))  # neighbours compete for a draw, so they differ by epoch
    ends = np.cumsum(weights[population] / weights.max(), dtype=np.float64)
    # marks stand at u, u + 1, u + 2 … shares; up to its end, a clip has seen as many of them
    seen = np.ceil(ends * (len(weights) / ends[-1]) - generator.random()).astype(np.int64).clip(0, len(weights))
    seen[ends == ends[-1]] = len(weights)  # whatever was lost by rounding
    ordered: Array = generator.permutation(np.repeat(population, np.diff(seen, prepend=0)))
    return ordered


def window_order(rows: Array, shard: Array, *, window_shards: int, seed: int, epoch: int) -> Array:
    """Bring ``rows`` into an order in which only a few shards are read at any time.

    Shards come in random order, ``window_shards`` of them at a time, and the rows of those are shuffled together.

    Args:
        rows: what to order; a row may stand in it more than once.
        shard: (len(rows),) the shard of each.
        window_shards: shards a window.
        seed, epoch: what the order depends on.

    Returns:
        The same rows in another order.
    """
    generator = numpy_generator(seed, epoch, "window order")
    present = np.bincount(shard) > 0
    count = int(present.sum())
    window = (generator.permutation(count) // window_shards)[np.cumsum(present) - 1]  # of each shard
    shuffled = generator.permutation(len(rows))
    keys = window[shard[shuffled]].astype(np.min_scalar_type(count))  # NumPy sorts 16 bits in linear time
    ordered: Array = rows[shuffled[np.argsort(keys, kind="stable")]]
    return ordered


def balanced_weights(table: ClipTable, num_classes: int) -> Array:
    """Weights by which every class comes equally often: a clip's is the sum of 1 / clips of the class over its labels.

    With several labels a clip this is drawing a class at random and then one of its clips.

    Returns:
        (num_clips,) float64.

    Reference:
        Kong et al.: PANNs: large-scale pretrained audio neural networks for audio pattern recognition, 2020, section
        II-F, balanced sampling.
    """
    counts = np.bincount(table.label_indices, minlength=num_classes)
    shares = np.divide(1.0, counts, out=np.zeros(num_classes), where=counts > 0)
    weights: Array = np.add.reduceat(shares[table.label_indices], table.label_indptr[:-1])
    return weights


def crop_draws(num_positions: int, *, seed: int, epoch: int) -> Array:
    """One number in [0, 1) a position, (num_positions,) float64: where its crop begins, see :func:`crop_starts`."""
    return numpy_generator(seed, epoch, "crop").random(num_positions)


def crop_starts(draws: Array, num_frames: Array, num_samples: int) -> Array:
    """Where excerpts begin, uniform over the starts that fit.

    Args:
        draws: (n,) in [0, 1).
        num_frames: (n,) lengths of the clips.
        num_samples: length of an excerpt.

    Returns:
        (n,) int64; 0 for clips that are not longer than the excerpt.
    """
    starts: Array = (draws * (np.maximum(num_frames - num_samples, 0) + 1)).astype(np.int64)
    return starts


def batch_part(step: int, num_positions: int, *, batch_size: int, rank: int, world_size: int) -> slice:
    """The positions that one rank takes in one step; empty where a last step has too few for all ranks."""
    start = min((step * world_size + rank) * batch_size, num_positions)
    return slice(start, min(start + batch_size, num_positions))
