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
        seeds = bernoulli(parameters.to(torch.int32), gamma, rows * columns).view(-1, rows, columns)
        return drop_block(clips, seeds, block_size=self.block_size)


class _AxisMasking(_SpecgramEffect):
    """What masks of time and of frequency have in common: draw widths and places."""

    def __init__(
        self,
        mask_param_name: str,
        mask_param: int,
        p: float,
        num_masks: int,
        fill: Fill,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__(p, generator)
        check_whole(mask_param_name, mask_param, at_least=0)
        check_whole("num_masks", num_masks, at_least=1)
        if fill != "mean" and not is_number(fill):
            raise RequestError(f"fill: got {fill!r}, may be a number or 'mean'.")
        self.mask_param, self.num_masks, self.fill = mask_param, num_masks, fill
        self.num_parameter_draws = 2 * num_masks

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The masks' widths, then their places among those where they fit, as fractions."""
        width, place = uniforms.chunk(2, dim=1)
        return torch.cat([(width * (self.mask_param + 1)).floor(), place], dim=1)

    @staticmethod
    def bands(parameters: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Start and width of the masks on an axis of ``size``."""
        width, place = parameters.chunk(2, dim=1)
        width = width.clamp(max=size)
        start = (place * (size - width + 1)).floor()
        return start.long(), width.long()


class TimeMasking(_AxisMasking):
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
        super().__init__("time_mask_param", time_mask_param, p, num_masks, fill, generator)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Cover the frames."""
        start, width = self.bands(parameters, clips.shape[3])
        return time_mask(clips, start=start, width=width, fill=self.fill)


class FrequencyMasking(_AxisMasking):
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
        super().__init__("freq_mask_param", freq_mask_param, p, num_masks, fill, generator)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Cover the bins."""
        start, width = self.bands(parameters, clips.shape[2])
        return frequency_mask(clips, start=start, width=width, fill=self.fill)
