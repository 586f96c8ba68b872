"""The base of the effects that change each clip by itself: choose clips, gather them, change them, write them back."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tonearm.gpu_augment.arguments import check_share
from tonearm.gpu_augment.core import Augmentation, Augmented
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import check_waveform
from tonearm.gpu_augment.params import Step


class ClipEffect(Augmentation):
    """An effect that changes each clip by itself and keeps its shape; the base of most.

    A subclass says how many numbers it draws (``num_parameter_draws``), what parameters these make
    (``parameters_from``) and what they do (``effect``). Only the clips that are on reach ``effect``; the others stay
    bit-identical.

    Args:
        p: probability of a clip to be touched, independently of the others.
        generator: see :class:`Augmentation`.

    Raises:
        RequestError: p is not a probability.
    """

    num_parameter_draws: int

    def __init__(self, p: float, generator: torch.Generator | None) -> None:
        super().__init__(generator)
        check_share("p", p)
        self.p = p

    @property
    def num_draws(self) -> int:
        """One to decide whether the clip is touched, and its parameters'."""
        return 1 + self.num_parameter_draws

    @abstractmethod
    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """From (batch, num_parameter_draws) float64 in [0, 1), on the CPU, to (batch, parameters) float64."""

    @abstractmethod
    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """The changed clips, from (n, channel, …) clips and their (n, parameters) float64, all on one device."""

    def _check_layout(self, waveform: Tensor) -> None:
        check_waveform(waveform)

    def _steps(self, uniforms: Tensor, gather_sizes: Sequence[int] | None) -> list[Step]:
        on = uniforms[:, 0] < self.p if self.training else torch.zeros(len(uniforms), dtype=torch.bool)
        return [Step.choose(type(self).__name__, on, self.parameters_from(uniforms[:, 1:]), gather_sizes)]

    def _run(self, batch: Augmented, steps: Iterator[Step]) -> Augmented:
        step, waveform = next(steps), batch.waveform
        count = len(step.clips)
        if count == 0:
            return batch
        clip_bytes = waveform[0].numel() * waveform.element_size()
        block = blocks.items_per_block(count, waveform, item_bytes=clip_bytes, block_bytes=blocks.CLIPS_BYTES)
        if block == count:
            self._touch(batch, step)
        else:
            for begin in range(0, count, block):
                part = slice(begin, begin + block)
                self._touch(batch, replace(step, clips=step.clips[part], rows=step.rows[part]))
        return batch

    def _touch(self, batch: Augmented, step: Step) -> None:
        """Gather, change, and write back into the batch."""
        clips = batch.waveform.index_select(0, step.clips)
        lengths = None if batch.lengths is None else batch.lengths.index_select(0, step.clips)
        changed = self.effect(clips, step.rows[:, 1:], lengths)
        if step.padded:
            on = step.rows[:, 0].bool().view(-1, *[1] * (clips.dim() - 1))
            changed = torch.where(on, changed, clips)
        batch.waveform.index_copy_(0, step.clips, changed)
