"""The effects that move and stretch a clip in time, as modules; they take (batch, channel, time)."""

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.time_shift_stretch import cut_range, time_shift_stretch


class TimeShiftStretch(ClipEffect):
    """Cut each clip at a random place and play one part faster, the other slower; the length stays.

    The cut in the output is uniform over the clip; the cut in the input uniform over what keeps both rates in range.
    See :func:`~tonearm.gpu_augment.functional.time_shift_stretch` for the formula and for what linear interpolation
    does to treble.

    Args:
        p: probability of a clip to be touched.
        min_rate: slowest rate of a part, in (0, 1].
        max_rate: fastest rate of a part, 1 or more.
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
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_rate", min_rate, "max_rate", max_rate)
        if not 0.0 < min_rate <= 1.0 <= max_rate:
            raise RequestError(
                f"min_rate, max_rate: got {min_rate} and {max_rate}, may be 0 < min_rate <= 1 <= max_rate: "
                f"where one part is faster the other must be slower."
            )
        self.min_rate, self.max_rate = min_rate, max_rate

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The cuts in the output and in the input, as fractions of the clip."""
        # Off the very ends, where a part would have no length to compute a rate from.
        cut_out = uniforms[:, 0].clamp(1e-9, 1 - 1e-9)
        lowest, highest = cut_range(cut_out, min_rate=self.min_rate, max_rate=self.max_rate)
        return torch.stack([cut_out, lowest + uniforms[:, 1] * (highest - lowest)], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Stretch the two parts."""
        cut_out, cut_in = parameters.unbind(1)
        return time_shift_stretch(clips, cut_out=cut_out, cut_in=cut_in, lengths=lengths)
