"""The base of the effects that mix each clip with another of its batch, and their targets with it."""

from abc import abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from tonearm.errors import ShapeError
from tonearm.gpu_augment.clip_effect import ClipEffect, change_clips, where_on
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
        step = next(steps)
        if not self.training and len(step.clips) == 0:  # passed over
            return batch
        if batch.targets is None or not batch.targets.is_floating_point():
            got = "None" if batch.targets is None else f"{tuple(batch.targets.shape)} {batch.targets.dtype}"
            raise ShapeError(
                f"targets: got {got}, but {type(self).__name__} mixes them: give (batch, classes) floating point, "
                f"effect(waveform, lengths, targets). Class numbers become such with "
                f"torch.nn.functional.one_hot(targets, num_classes).float()."
            )
        if len(step.clips) == 0:
            return batch
        waveform, lengths, targets = batch.waveform, batch.lengths, batch.targets
        # The others are 1 … batch_size - 1 places further, around the batch.
        batch_size = len(waveform)
        partner = (step.clips + 1 + (step.rows[:, -1] * (batch_size - 1)).long()) % batch_size
        partner_of = torch.zeros(batch_size, dtype=torch.int64, device=waveform.device).index_copy(
            0, step.clips, partner
        )
        share_of = torch.zeros(batch_size, dtype=targets.dtype, device=waveform.device)

        def change(part: Step, clips: Tensor) -> Tensor:
            their_places = partner_of.index_select(0, part.clips)
            own, theirs = (
                None if lengths is None else lengths.index_select(0, places) for places in (part.clips, their_places)
            )
            mixed, share = self.mix(clips, waveform.index_select(0, their_places), part.rows[:, 1:-1], own, theirs)
            share_of.index_copy_(0, part.clips, share.to(share_of.dtype))
            return mixed.to(clips.dtype)

        # Not in place, as partners are heard unmixed.
        mixed = change_clips(waveform, step, change, in_place=False, learns=self._learns())

        before = targets.index_select(0, step.clips)
        share = share_of.index_select(0, step.clips).view(-1, *[1] * (targets.dim() - 1))
        after = torch.lerp(before, targets.index_select(0, partner), share)
        targets = targets.index_copy(0, step.clips, where_on(step, after, before))
        if lengths is not None:
            own = lengths.index_select(0, step.clips)
            longer = torch.maximum(own, lengths.index_select(0, partner))
            lengths = lengths.index_copy(0, step.clips, where_on(step, longer, own))
        return Augmented(mixed, lengths, targets)
