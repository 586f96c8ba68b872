"""The base of the effects that mix each clip with another of its batch, and their targets with it."""

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from tonearm.errors import ShapeError
from tonearm.gpu_augment.clip_effect import ClipEffect, gather, parts, where_on
from tonearm.gpu_augment.core import Augmented
from tonearm.gpu_augment.params import Step


class PairEffect(ClipEffect):
    """An effect that mixes a clip with a partner; each clip's is drawn from the others, equally likely.

    Partners are heard as they were before any clip of the batch was mixed. A batch of one has none: its
    clip is its own. Targets, which such an effect needs, are mixed by the share of the partner that ``mix`` tells;
    lengths become the larger of both.
    """

    @property
    def num_draws(self) -> int:
        """One to decide whether the clip is touched, its parameters', and one for the partner."""
        return 2 + self.num_parameter_draws

    @abstractmethod
    def mix(
        self,
        clips: Tensor,
        partners: Tensor,
        parameters: Tensor,
        lengths: Tensor | None,
        partner_lengths: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """The mixed (n, channel, time) clips, and the (n,) shares of the partners in the targets."""

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Not for pairs: see ``mix``."""
        raise NotImplementedError(f"{type(self).__name__} needs partners: mix() does what effect() does elsewhere.")

    def _rows_from(self, uniforms: Tensor) -> Tensor:
        return torch.cat([self.parameters_from(uniforms[:, :-1]), uniforms[:, -1:]], dim=1)

    def _run(self, batch: Augmented, steps: Iterator[Step], *, given: Tensor) -> Augmented:
        if batch.targets is None or not batch.targets.is_floating_point():
            got = "None" if batch.targets is None else f"{tuple(batch.targets.shape)} {batch.targets.dtype}"
            raise ShapeError(
                f"targets: got {got}, but {type(self).__name__} mixes them: give (batch, classes) floating point, "
                f"effect(waveform, lengths, targets). Class numbers become such with "
                f"torch.nn.functional.one_hot(targets, num_classes).float()."
            )
        step = next(steps)
        if len(step.clips) == 0:
            return batch
        batch_size = len(batch.waveform)
        mixed, lengths, targets = batch.waveform.clone(), batch.lengths, batch.targets
        for part in parts(step, batch.waveform):
            # The others are 1 … batch_size - 1 places further, around the batch.
            partner = (part.clips + 1 + (part.rows[:, -1] * (batch_size - 1)).long()) % batch_size
            clips, _ = gather(batch.waveform, part)
            partners = batch.waveform.index_select(0, partner)
            own, theirs = (
                None if batch.lengths is None else batch.lengths.index_select(0, which)
                for which in (part.clips, partner)
            )
            changed, share = self.mix(clips, partners, part.rows[:, 1:-1], own, theirs)
            mixed.index_copy_(0, part.clips, where_on(part, changed, clips))
            before = batch.targets.index_select(0, part.clips)
            share = share.to(before.dtype).view(-1, *[1] * (before.dim() - 1))
            after = torch.lerp(before, batch.targets.index_select(0, partner), share)
            targets = targets.index_copy(0, part.clips, where_on(part, after, before))
            if own is not None and theirs is not None and lengths is not None:
                lengths = lengths.index_copy(0, part.clips, where_on(part, torch.maximum(own, theirs), own))
        return Augmented(mixed, lengths, targets)
