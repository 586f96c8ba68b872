"""The effects that move and stretch a clip in time, as modules; they take (batch, channel, time)."""

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.interpolation import check_interpolation
from tonearm.gpu_augment.functional.reverse import reverse
from tonearm.gpu_augment.functional.shift import check_shift_mode, shift
from tonearm.gpu_augment.functional.speed import speed, speed_lengths
from tonearm.gpu_augment.functional.time_shift_stretch import cut_range, time_shift_stretch


class TimeShiftStretch(ClipEffect):
    """Cut each clip at a random place and play one part faster, the other slower; the length stays.

    The cut in the output is uniform over the clip; the cut in the input uniform over what keeps both rates in range.
    See :func:`~tonearm.gpu_augment.functional.time_shift_stretch` for the formula and for what interpolation does to
    treble.

    Args:
        p: probability of a clip to be touched.
        min_rate: slowest rate of a part, in (0, 1].
        max_rate: fastest rate of a part, 1 or more.
        interpolation: "linear", "cubic" or "sinc".
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 2

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_rate: float = 0.8,
        max_rate: float = 1.25,
        interpolation: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_rate", min_rate, "max_rate", max_rate)
        if not 0.0 < min_rate <= 1.0 <= max_rate:
            raise RequestError(
                f"min_rate, max_rate: got {min_rate} and {max_rate}, may be 0 < min_rate <= 1 <= max_rate: "
                f"where one part is faster the other must be slower."
            )
        check_interpolation(interpolation)
        self.min_rate, self.max_rate = min_rate, max_rate
        self.interpolation = interpolation

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The cuts in the output and in the input, as fractions of the clip."""
        # Off the very ends, where a part would have no length to compute a rate from.
        cut_out = uniforms[:, 0].clamp(1e-9, 1 - 1e-9)
        lowest, highest = cut_range(cut_out, min_rate=self.min_rate, max_rate=self.max_rate)
        return torch.stack([cut_out, lowest + uniforms[:, 1] * (highest - lowest)], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Stretch the two parts."""
        cut_out, cut_in = parameters.unbind(1)
        return time_shift_stretch(
            clips,
            cut_out=cut_out,
            cut_in=cut_in,
            lengths=lengths,
            interpolation=self.interpolation,
            max_rate=self.max_rate,
        )


class Shift(ClipEffect):
    """Move each clip in time, by a part of its valid length: later where that is positive, earlier where negative.

    The amount is uniform, and rounded to whole samples. See :func:`~tonearm.gpu_augment.functional.shift`.

    Args:
        p: probability of a clip to be touched.
        min_shift_fraction: lowest shift, in lengths of the clip, from -1 to 1.
        max_shift_fraction: highest shift, in lengths of the clip, from -1 to 1.
        mode: "roll": what is moved over an end comes in at the other; "zero": silence does.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 1

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_shift_fraction: float = -0.5,
        max_shift_fraction: float = 0.5,
        mode: str = "roll",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_shift_fraction", min_shift_fraction, "max_shift_fraction", max_shift_fraction)
        if not -1.0 <= min_shift_fraction <= max_shift_fraction <= 1.0:
            raise RequestError(
                f"min_shift_fraction, max_shift_fraction: got {min_shift_fraction} and {max_shift_fraction}, "
                f"may be from -1 to 1: a clip's length back or on."
            )
        check_shift_mode(mode)
        self.min_shift_fraction, self.max_shift_fraction = min_shift_fraction, max_shift_fraction
        self.mode = mode

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The shift, in lengths of the clip."""
        return self.min_shift_fraction + uniforms * (self.max_shift_fraction - self.min_shift_fraction)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Move the clips by as many samples as that makes of their lengths."""
        fraction, width = parameters[:, 0], clips.shape[-1]
        num_samples = (fraction * (width if lengths is None else lengths.clamp(0, width))).round().long()
        return shift(clips, num_samples=num_samples, mode=self.mode, lengths=lengths)


class Speed(ClipEffect):
    """Play each clip faster or slower; pitch and length move with the rate.

    A batch stays as wide as it is: zeros follow a clip that ends earlier, and one that would end later is cut off. The
    new lengths come out beside the waveform where lengths or targets went in. See
    :func:`~tonearm.gpu_augment.functional.speed`.

    Args:
        p: probability of a clip to be touched.
        min_rate: slowest rate, above 0; uniform up to the next.
        max_rate: fastest rate.
        interpolation: "linear", "cubic" or "sinc".
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 1
    changes_lengths = True

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_rate: float = 0.9,
        max_rate: float = 1.1,
        interpolation: str = "linear",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_rate", min_rate, "max_rate", max_rate)
        if not min_rate > 0:
            raise RequestError(f"min_rate: got {min_rate}, may be more than 0.")
        check_interpolation(interpolation)
        self.min_rate, self.max_rate = min_rate, max_rate
        self.interpolation = interpolation

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The rate."""
        return self.min_rate + uniforms * (self.max_rate - self.min_rate)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Play the clips at their rates."""
        return speed(
            clips,
            rate=parameters[:, 0],
            lengths=lengths,
            interpolation=self.interpolation,
            max_rate=self.max_rate,
        )

    def lengths_after(self, parameters: Tensor, lengths: Tensor) -> Tensor:
        """The lengths at these rates, however wide the batch is."""
        return speed_lengths(lengths, rate=parameters[:, 0])


class Reverse(ClipEffect):
    """Play each clip backwards; what lies beyond its length stays there.

    Args:
        p: probability of a clip to be touched.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: p is not a probability.
    """

    def __init__(self, p: float = 0.5, *, generator: torch.Generator | None = None) -> None:
        super().__init__(p, generator)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Turn the clips around."""
        return reverse(clips, lengths=lengths)
