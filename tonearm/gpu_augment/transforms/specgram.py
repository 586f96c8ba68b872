"""The effects on spectrograms as modules; they take (batch, channel, mel, time)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_share, check_whole, is_number, is_whole
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.counter import bernoulli, keys_from_uniforms
from tonearm.gpu_augment.functional.dropblock import drop_block, dropblock_gamma
from tonearm.gpu_augment.functional.layout import check_specgram
from tonearm.gpu_augment.functional.masking import Fill, frequency_mask, time_mask
from tonearm.gpu_augment.functional.spec_augment import spec_augment


class _SpecgramEffect(ClipEffect):
    """An effect on (batch, channel, mel, time). Lengths pass through unread: padding is masked like the rest."""

    def _check_layout(self, waveform: Tensor) -> None:
        check_specgram(waveform)


class DropBlock(_SpecgramEffect):
    """Cover random rectangles of each map with the clip's mean, all channels alike, without rescaling.

    Args:
        p: probability of a clip to be touched.
        drop_probability: share of the map that all blocks' areas add up to; as they overlap, somewhat less is covered.
        block_size: (mel, time) cells of a block. A map smaller than a block is refused when it comes.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.

    Reference:
        Ghiasi, Lin, Le: DropBlock, 2018; see :func:`~tonearm.gpu_augment.functional.dropblock_gamma`.
    """

    num_parameter_draws = 2

    def __init__(
        self,
        p: float = 0.5,
        *,
        drop_probability: float = 0.1,
        block_size: tuple[int, int] = (7, 7),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_share("drop_probability", drop_probability)
        if not isinstance(block_size, Sequence) or [is_whole(size, at_least=1) for size in block_size] != [True, True]:
            raise RequestError(f"block_size: got {block_size!r}, may be (mel, time), whole numbers, each 1 or more.")
        self.drop_probability, self.block_size = drop_probability, block_size

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The key of the blocks' corners."""
        return keys_from_uniforms(uniforms)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Draw the blocks' corners where the maps lie, and cover the blocks."""
        (block_mel, block_time), (mel, time) = self.block_size, clips.shape[-2:]
        gamma = dropblock_gamma(self.drop_probability, block_size=self.block_size, size=(mel, time))
        rows, columns = mel - block_mel + 1, time - block_time + 1
        seeds = bernoulli(parameters.to(torch.int32), gamma, rows * columns)
        return drop_block(clips, seeds.view(-1, rows, columns), block_size=self.block_size)


def bands(uniforms: Tensor, size: int, *, widest: int) -> tuple[Tensor, Tensor]:
    """Where masks begin and how wide they are, on an axis of ``size``.

    A width is uniform over 0 … ``widest`` (both included, and no wider than the axis), its place uniform over those
    where it fits.

    Args:
        uniforms: (batch, 2 · num_masks) in [0, 1): what decides the widths, then the places.
        size: bins or frames of the map.
        widest: bins or frames of the widest mask.

    Returns:
        Start and width, (batch, num_masks) int64.
    """
    for_width, for_place = uniforms.chunk(2, dim=1)
    width = (for_width * (min(widest, size) + 1)).long()
    return (for_place * (size - width + 1)).long(), width


def _check_masks(name: str, widest: object, num_name: str, num_masks: object) -> None:
    check_whole(name, widest, at_least=0)
    check_whole(num_name, num_masks, at_least=1)


def _check_fill(fill: object) -> None:
    if fill != "mean" and not is_number(fill):
        raise RequestError(f"fill: got {fill!r}, may be a number or 'mean'.")


class TimeMasking(_SpecgramEffect):
    """Cover bands of frames, drawn for each clip by itself.

    A mask's width is uniform over 0 … time_mask_param (both included, and no wider than the map), its place uniform
    over those where it fits; masks may overlap.

    Args:
        time_mask_param: widest mask, in frames.
        p: probability of a clip to be touched. (In torchaudio p is the largest share that a mask may cover.)
        num_masks: masks a clip.
        fill: a value, or "mean", the clip's mean: in a log-mel map 0 is loud.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.

    Reference:
        Park et al.: SpecAugment, 2019.
    """

    def __init__(
        self,
        time_mask_param: int,
        p: float = 0.5,
        *,
        num_masks: int = 1,
        fill: Fill = "mean",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        _check_masks("time_mask_param", time_mask_param, "num_masks", num_masks)
        _check_fill(fill)
        self.time_mask_param, self.num_masks, self.fill = time_mask_param, num_masks, fill
        self.num_parameter_draws = 2 * num_masks

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """What decides the masks' widths, then their places: in frames they depend on the map."""
        return uniforms

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Cover the frames."""
        start, width = bands(parameters, clips.shape[3], widest=self.time_mask_param)
        return time_mask(clips, start=start, width=width, fill=self.fill)


class FrequencyMasking(_SpecgramEffect):
    """Cover bands of mel bins, drawn for each clip by itself; else like :class:`TimeMasking`.

    Args:
        freq_mask_param: widest mask, in bins.
        p: probability of a clip to be touched.
        num_masks: masks a clip.
        fill: a value, or "mean", the clip's mean.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    def __init__(
        self,
        freq_mask_param: int,
        p: float = 0.5,
        *,
        num_masks: int = 1,
        fill: Fill = "mean",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        _check_masks("freq_mask_param", freq_mask_param, "num_masks", num_masks)
        _check_fill(fill)
        self.freq_mask_param, self.num_masks, self.fill = freq_mask_param, num_masks, fill
        self.num_parameter_draws = 2 * num_masks

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """What decides the masks' widths, then their places: in bins they depend on the map."""
        return uniforms

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Cover the bins."""
        start, width = bands(parameters, clips.shape[2], widest=self.freq_mask_param)
        return frequency_mask(clips, start=start, width=width, fill=self.fill)


class SpecAugment(_SpecgramEffect):
    """Cover bands of bins and bands of frames together, in one pass, drawn for each clip by itself.

    Widths and places are drawn as in :class:`TimeMasking`. With the chance c(k) of one mask to cover a cell of its axis
    (:func:`tonearm.gpu_augment.reference.mask_probability` counts it out), n masks cover it with 1 - (1 - c(k))ⁿ, and
    of a map the share

        1 - mean over bins of (1 - c(bin))^num_freq_masks · mean over frames of (1 - c(frame))^num_time_masks

    on average.

    Args:
        p: probability of a clip to be touched.
        freq_mask_param: widest mask of frequency, in bins; the paper's F.
        time_mask_param: widest mask of time, in frames; the paper's T.
        num_freq_masks: masks of frequency a clip.
        num_time_masks: masks of time a clip.
        max_time_share: no mask of time is wider than this share of the map's frames (rounded down); the paper's p.
        fill: a value, or "mean", the clip's mean: in a log-mel map 0 is loud.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.

    Reference:
        Park et al.: SpecAugment, 2019, without its time warping. A width there is drawn from [0, F), here F can come.

    Example:
        >>> from tonearm.gpu_augment import SpecAugment
        >>> SpecAugment(1.0, freq_mask_param=24, time_mask_param=40)(torch.rand(8, 1, 128, 640)).shape
        torch.Size([8, 1, 128, 640])
    """

    def __init__(
        self,
        p: float = 0.5,
        *,
        freq_mask_param: int,
        time_mask_param: int,
        num_freq_masks: int = 2,
        num_time_masks: int = 2,
        max_time_share: float = 1.0,
        fill: Fill = "mean",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        _check_masks("freq_mask_param", freq_mask_param, "num_freq_masks", num_freq_masks)
        _check_masks("time_mask_param", time_mask_param, "num_time_masks", num_time_masks)
        check_share("max_time_share", max_time_share)
        _check_fill(fill)
        self.freq_mask_param, self.time_mask_param = freq_mask_param, time_mask_param
        self.num_freq_masks, self.num_time_masks = num_freq_masks, num_time_masks
        self.max_time_share, self.fill = max_time_share, fill
        self.num_parameter_draws = 2 * (num_freq_masks + num_time_masks)

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """What decides the masks of frequency, widths and then places, and likewise those of time."""
        return uniforms

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Cover all bands at once."""
        mel, time = clips.shape[2:]
        for_freq, for_time = parameters.split([2 * self.num_freq_masks, 2 * self.num_time_masks], dim=1)
        freq_start, freq_width = bands(for_freq, mel, widest=self.freq_mask_param)
        widest = min(self.time_mask_param, int(self.max_time_share * time))
        time_start, time_width = bands(for_time, time, widest=widest)
        return spec_augment(
            clips,
            freq_start=freq_start,
            freq_width=freq_width,
            time_start=time_start,
            time_width=time_width,
            fill=self.fill,
        )
