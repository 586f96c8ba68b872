"""Crops of one size for the whole batch."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from tonearm.gpu_augment.arguments import check_whole
from tonearm.gpu_augment.core import Augmentation, Augmented
from tonearm.gpu_augment.functional.crop import crop
from tonearm.gpu_augment.functional.layout import check_waveform
from tonearm.gpu_augment.params import Step


class Crop(Augmentation):
    """Cut the same number of samples out of each clip, at a random place; in ``eval()`` mode clips stay whole.

    The place is uniform over those where the crop lies within the clip's valid samples. Shorter clips begin with the
    crop and are filled up with zeros. Every clip is cropped, as a batch has one size: there is no p, and OneOf and
    SomeOf cannot choose it.

    Args:
        num_samples: samples that are kept.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: num_samples is no whole number, 1 or more.
    """

    def __init__(self, num_samples: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__(generator)
        check_whole("num_samples", num_samples, at_least=1)
        self.num_samples = num_samples

    @property
    def num_draws(self) -> int:
        """The place."""
        return 1

    def _keeps_shape(self) -> bool:
        return False

    def _steps(self, uniforms: Tensor, allowed: Tensor, gather_sizes: Sequence[int] | None) -> list[Step]:
        on = allowed if self.training else torch.zeros_like(allowed)
        return [Step.choose(type(self).__name__, on, uniforms, None)]

    def _check_layout(self, waveform: Tensor) -> None:
        check_waveform(waveform)

    def _run(self, batch: Augmented, steps: Iterator[Step], *, given: Tensor) -> Augmented:
        step = next(steps)
        if len(step.clips) < len(batch.waveform):  # none of them: it was in eval mode
            return batch
        width, lengths = batch.waveform.shape[2], batch.lengths
        if lengths is None and width < self.num_samples:
            lengths = torch.full((len(batch.waveform),), width, device=batch.waveform.device)
        if lengths is None:
            places: int | Tensor = max(0, width - self.num_samples) + 1
        else:
            places = (lengths - self.num_samples).clamp(min=0) + 1
        start = (step.rows[:, 1] * places).long()
        waveform = crop(batch.waveform, start=start, num_samples=self.num_samples)
        return Augmented(waveform, None if lengths is None else lengths.clamp(max=self.num_samples), batch.targets)
