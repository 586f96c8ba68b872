"""DropBlock: drop rectangles of a time-frequency map, so that neighbours cannot stand in for what is missing.

Block corners ("seeds") fall independently with probability γ on the places where a whole block fits; each seed drops
the block_size rectangle that begins there. A cell is kept when none of the seeds that can cover it has fallen:

    seeds (mel - bm + 1, time - bt + 1)        mask (mel, time), block 2 × 3
    . # . .                                     . # # # . .
    . . . .                                     . # # # . .
    . . . #                                     . . . # # #
                                                . . . # # #

so the share dropped is 1 - (1 - γ)^s, s = bm·bt away from the borders and fewer near them. γ makes the *sum* of the
blocks' areas drop_probability of the map; as blocks overlap, the share dropped is somewhat smaller.
"""

import torch
from torch import Tensor

from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment.functional.layout import check_specgram


def dropblock_gamma(drop_probability: float, *, block_size: tuple[int, int], size: tuple[int, int]) -> float:
    """The probability γ with which a block must begin at a place where it fits.

        γ = drop_probability / (bm·bt) · M·T / ((M - bm + 1)·(T - bt + 1))    M × T map, bm × bt block

    Args:
        drop_probability: share of the map that all blocks' areas add up to, in [0, 1].
        block_size: (mel, time) cells of a block.
        size: (mel, time) cells of the map.

    Returns:
        γ in [0, drop_probability].

    Raises:
        RequestError: drop_probability is outside [0, 1].
        ShapeError: the block is empty or larger than the map.

    Reference:
        Ghiasi, Lin, Le: DropBlock, 2018, equation 1, for a rectangle instead of a square.

    Example:
        >>> dropblock_gamma(0.1, block_size=(1, 1), size=(64, 400))
        0.1
    """
    if not 0.0 <= drop_probability <= 1.0:
        raise RequestError(f"drop_probability: got {drop_probability}, may be from 0 to 1.")
    (block_mel, block_time), (mel, time) = block_size, size
    if not (1 <= block_mel <= mel and 1 <= block_time <= time):
        raise ShapeError(
            f"block_size: got {block_mel} × {block_time} (mel, time) on a map of {mel} × {time}; "
            f"a block has at least one cell and fits in the map."
        )
    places = (mel - block_mel + 1) * (time - block_time + 1)
    return drop_probability * (mel * time) / (block_mel * block_time * places)


def drop_block_mask(seeds: Tensor, *, block_size: tuple[int, int]) -> Tensor:
    """Grow each seed into the block that begins there.

    Args:
        seeds: (..., mel - block mel + 1, time - block time + 1) bool, True where a block begins.
        block_size: (mel, time) cells of a block.

    Returns:
        (..., mel, time) bool, True where dropped, on the seeds' device; the seeds themselves where a block is one cell.

    Raises:
        ShapeError: seeds are not bool or have fewer than two axes.

    Example:
        >>> drop_block_mask(torch.tensor([[True, False]]), block_size=(1, 2))
        tensor([[ True,  True, False]])
    """
    _check_seeds(seeds)
    mel, time = block_size
    # As bytes: there CPUs have wide instructions for "or", for bool torch uses none.
    return _grown(_grown(seeds.view(torch.uint8), time, axis=-1), mel, axis=-2).view(torch.bool)


def _grown(seeds: Tensor, length: int, *, axis: int) -> Tensor:
    """Every 1 becomes a run of ``length``; the axis becomes ``length - 1`` longer."""
    grown, reached = seeds, 1
    while reached < length:  # a run united with itself, moved: 1, 2, 4 …, and for the last step no farther than needed
        step = min(reached, length - reached)
        size = grown.shape[axis]
        both = grown.narrow(axis, step, size - step) | grown.narrow(axis, 0, size - step)
        grown = torch.cat([grown.narrow(axis, 0, step), both, grown.narrow(axis, size - step, step)], dim=axis)
        reached += step
    return grown


def drop_block(specgram: Tensor, seeds: Tensor, *, block_size: tuple[int, int]) -> Tensor:
    """Drop blocks of an input map: fill them with the clip's own mean, all channels alike, and do not rescale.

        y = mean(x) where a block lies, else x

    A log-mel map has no neutral zero (0 dB is loud) and its level carries meaning, so, unlike the layer of the paper,
    nothing is scaled up to make good for what was dropped.

    Args:
        specgram: (batch, channel, mel, time), floating point.
        seeds: (batch, mel - block mel + 1, time - block time + 1) bool, True where a block begins.
        block_size: (mel, time) cells of a block.

    Returns:
        A new tensor like specgram.

    Raises:
        ShapeError: the seeds do not belong to a map of this size.

    Reference:
        Ghiasi, Lin, Le: DropBlock, 2018, but for what is put in the place of a block, and for the scale.

    Example:
        >>> seeds = torch.ones(1, 1, 1, dtype=torch.bool)
        >>> drop_block(torch.tensor([[[[1.0, 3.0]]]]), seeds, block_size=(1, 2))
        tensor([[[[2., 2.]]]])
    """
    check_specgram(specgram)
    _check_seeds(seeds)
    _check_fit(seeds, block_size, name="specgram", of=specgram, size=(len(specgram), *specgram.shape[-2:]))
    mean = specgram.mean(dim=(1, 2, 3), keepdim=True)
    return torch.where(drop_block_mask(seeds, block_size=block_size).unsqueeze(1), mean, specgram)


def drop_block_features(features: Tensor, seeds: Tensor, *, block_size: tuple[int, int]) -> Tensor:
    """Drop blocks inside a network, as the paper's layer does: put 0 there, and scale the rest up to make good.

        y = x · kept / (share of the clip's cells, over all channels, that is kept)

    Args:
        features: (batch, channel, mel, time), floating point.
        seeds: (batch, channel, mel - block mel + 1, time - block time + 1) bool, True where a block begins.
        block_size: (mel, time) cells of a block.

    Returns:
        A new tensor like features. A clip of which nothing is kept is 0.

    Raises:
        ShapeError: the seeds do not belong to maps of this size.

    Reference:
        Ghiasi, Lin, Le: DropBlock, 2018, algorithm 1. The share is each clip's own, so that none depends on the
        others in its batch.

    Example:
        >>> seeds = torch.tensor([[[[True, False, False]]]])
        >>> drop_block_features(torch.ones(1, 1, 1, 4), seeds, block_size=(1, 2))
        tensor([[[[0., 0., 2., 2.]]]])
    """
    _check_seeds(seeds)
    _check_fit(seeds, block_size, name="features", of=features, size=tuple(features.shape))
    kept = drop_block_mask(seeds, block_size=block_size).logical_not()
    share = kept.float().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1 / max(1, features.shape[1:].numel()))
    return features * (kept / share).to(features.dtype)


def _check_seeds(seeds: Tensor) -> None:
    if seeds.dtype != torch.bool or seeds.dim() < 2:
        raise ShapeError(
            f"seeds: got {tuple(seeds.shape)} {seeds.dtype}, "
            f"may be (..., mel - block mel + 1, time - block time + 1) torch.bool."
        )


def _check_fit(seeds: Tensor, block_size: tuple[int, int], *, name: str, of: Tensor, size: tuple[int, ...]) -> None:
    grown = (*seeds.shape[:-2], seeds.shape[-2] + block_size[0] - 1, seeds.shape[-1] + block_size[1] - 1)
    if grown != size:
        raise ShapeError(
            f"seeds: got {tuple(seeds.shape)}, which with blocks of {block_size} make a map of "
            f"{grown}, but {name} is {tuple(of.shape)}."
        )
