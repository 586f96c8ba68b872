"""The base of the effects that change each clip by itself: choose clips, gather them, change them, write them back."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from tonearm.errors import ShapeError
from tonearm.gpu_augment.arguments import check_share
from tonearm.gpu_augment.core import Augmentation, Augmented
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import check_waveform
from tonearm.gpu_augment.params import Step
from tonearm.gpu_augment.workers import side_by_side


class ClipEffect(Augmentation):
    """An effect that changes each clip by itself and keeps its shape; the base of most, and of one of your own.

    A subclass says how many numbers it draws (``num_parameter_draws``), what parameters these make
    (``parameters_from``) and what they do (``effect``). Only the clips that are on reach ``effect``; the others stay
    bit-identical. ``effect`` reads its clips and never writes to them, which may be the caller's own, and leaves what
    lies beyond their lengths as it is. The constructor keeps every argument under its own name, for print and
    ``to_dict``. One that makes clips shorter or longer says so (``changes_lengths``, ``lengths_after``); one on
    spectrograms overrides ``_check_layout`` with ``check_specgram``.

    Args:
        p: probability of a clip to be touched, independently of the others.
        generator: see :class:`Augmentation`.

    Raises:
        RequestError: p is not a probability.

    Example:
        >>> from tonearm.gpu_augment.functional.padding import keep_padding
        >>> class Tremolo(ClipEffect):
        ...     num_parameter_draws = 1
        ...
        ...     def __init__(self, p=0.5, *, sample_rate, max_rate_hz=8.0, generator=None):
        ...         super().__init__(p, generator)
        ...         self.sample_rate, self.max_rate_hz = sample_rate, max_rate_hz
        ...
        ...     def parameters_from(self, uniforms):  # (batch, 1) in [0, 1), to what a clip's tremolo is
        ...         return self.max_rate_hz * uniforms
        ...
        ...     def effect(self, clips, parameters, lengths):
        ...         time = torch.arange(clips.shape[-1], device=clips.device) / self.sample_rate
        ...         swell = 1 + 0.5 * torch.sin(2 * torch.pi * parameters[:, 0, None, None].float() * time)
        ...         return keep_padding(clips * swell, clips, lengths)
        >>> tremolo = Tremolo(1.0, sample_rate=8000)
        >>> tremolo(torch.ones(4, 1, 8000)).shape, tremolo
        (torch.Size([4, 1, 8000]), Tremolo(p=1.0, sample_rate=8000, max_rate_hz=8.0))
    """

    num_parameter_draws: int = 0
    changes_lengths = False

    def __init__(self, p: float, generator: torch.Generator | None) -> None:
        super().__init__(generator)
        check_share("p", p)
        self.p = p

    @property
    def num_draws(self) -> int:
        """One to decide whether the clip is touched, and its parameters'."""
        return 1 + self.num_parameter_draws

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """From (batch, num_parameter_draws) float64 in [0, 1), on the CPU, to (batch, parameters) float64."""
        return uniforms

    @abstractmethod
    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """The changed clips, from (n, channel, …) clips and their (n, parameters) float64, all on one device.

        ``clips`` may be the batch itself or a part of it: they are read, not written to, and what is returned shares
        no memory with them.
        """

    def lengths_after(self, parameters: Tensor, lengths: Tensor) -> Tensor:
        """(n,) valid samples that the clips come out with, if they change; what does not fit the batch is cut off."""
        raise NotImplementedError(f"{type(self).__name__} changes lengths, but does not say to what.")

    def _check_layout(self, waveform: Tensor) -> None:
        check_waveform(waveform)

    def _learns(self) -> bool:
        return any(parameter.requires_grad for parameter in self.parameters())

    def _rows_from(self, uniforms: Tensor) -> Tensor:
        return self.parameters_from(uniforms)

    def _steps(self, uniforms: Tensor, allowed: Tensor, gather_sizes: Sequence[int] | None) -> list[Step]:
        on = allowed & (uniforms[:, 0] < self.p) if self.training else torch.zeros_like(allowed)
        return [Step.choose(type(self).__name__, on, self._rows_from(uniforms[:, 1:]), gather_sizes)]

    def _run(self, batch: Augmented, steps: Iterator[Step], *, given: Tensor) -> Augmented:
        step = next(steps)
        if len(step.clips) == 0:
            return batch

        def change(part: Step, clips: Tensor) -> Tensor:
            lengths = None if batch.lengths is None else batch.lengths.index_select(0, part.clips)
            changed = self.effect(clips, part.rows[:, 1:], lengths)
            if changed.shape != clips.shape:
                raise ShapeError(
                    f"{type(self).__name__}.effect: it made {tuple(changed.shape)} of clips of {tuple(clips.shape)}; "
                    f"both must be alike."
                )
            return changed.to(clips.dtype)  # parameters are float64, and what was multiplied by them may be

        in_place = batch.waveform is not given
        waveform = change_clips(batch.waveform, step, change, in_place=in_place, learns=self._learns())
        lengths = batch.lengths
        if self.changes_lengths:
            if lengths is None:
                lengths = torch.full((len(waveform),), waveform.shape[-1], device=waveform.device)
            before = lengths.index_select(0, step.clips)
            after = self.lengths_after(step.rows[:, 1:], before).clamp(max=waveform.shape[-1])
            after = where_on(step, after, before)
            lengths = lengths.index_copy(0, step.clips, after.to(lengths.dtype))
        return Augmented(waveform, lengths, batch.targets)


def change_clips(
    waveform: Tensor, step: Step, change: Callable[[Step, Tensor], Tensor], *, in_place: bool, learns: bool
) -> Tensor:
    """The batch with a step's clips changed, the others as they were; the same tensor if ``in_place``, else a new one.

    ``change`` gets the step or a part of it, and its clips. On a CPU these are parts that fit a cache, side by side
    unless a gradient may be wanted, that of the waveform or, where it ``learns``, of what changes it.
    """
    count, clip_bytes = len(step.clips), waveform[0].numel() * waveform.element_size()
    block = blocks.items_per_block(count, waveform, item_bytes=clip_bytes, block_bytes=blocks.CLIPS_BYTES)
    if block < count:  # as many equal parts as keep every thread busy
        threads = torch.get_num_threads()
        block = -(-count // (threads * -(-count // (threads * block))))
    parts = [step] if block >= count else [step.part(begin, begin + block) for begin in range(0, count, block)]
    if not blocks.on_cpu(waveform) or waveform.requires_grad or learns:
        if len(parts) == 1 and count == len(waveform) and not step.padded:  # all, in their order: nothing to gather
            return change(step, waveform)
        changed = waveform if in_place else waveform.clone()
        for part in parts:
            clips = waveform.index_select(0, part.clips)
            changed.index_copy_(0, part.clips, where_on(part, change(part, clips), clips))
        return changed

    changed = waveform if in_place else torch.empty_like(waveform)

    def touch(part: Step) -> None:
        first, last = int(part.clips[0]), int(part.clips[-1])
        if last - first == len(part.clips) - 1 and not part.padded:  # neighbours, as clips ascend: no need to gather
            changed[first : last + 1] = change(part, waveform[first : last + 1])
        else:
            clips = waveform.index_select(0, part.clips)
            changed.index_copy_(0, part.clips, where_on(part, change(part, clips), clips))

    def copy(clip: int) -> None:
        changed[clip] = waveform[clip]

    others = [] if in_place else sorted(set(range(len(waveform))) - set(step.clips.tolist()))
    side_by_side([*(partial(touch, part) for part in parts), *(partial(copy, clip) for clip in others)])
    return changed


def where_on(step: Step, changed: Tensor, before: Tensor) -> Tensor:
    """What came out, or, for clips that only fill the set up to a fixed size, what went in."""
    if not step.padded:
        return changed
    return torch.where(step.rows[:, 0].bool().view(-1, *[1] * (before.dim() - 1)), changed, before)
