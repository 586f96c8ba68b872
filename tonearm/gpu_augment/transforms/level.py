"""The effects on the level of samples, as modules; they take (batch, channel, time)."""

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range, check_share, check_whole, is_whole
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.clipping import clip
from tonearm.gpu_augment.functional.gain import gain, invert_polarity
from tonearm.gpu_augment.functional.mu_law import mu_law
from tonearm.gpu_augment.functional.quantize import quantize
from tonearm.gpu_augment.functional.segment_gain import segment_gain


class Gain(ClipEffect):
    """Make each clip louder or fainter, uniformly in dB; the result is not clipped to [-1, 1].

    Args:
        p: probability of a clip to be touched.
        min_gain_db: the faintest, in dB.
        max_gain_db: the loudest.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 1

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_gain_db: float = -12.0,
        max_gain_db: float = 12.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_gain_db", min_gain_db, "max_gain_db", max_gain_db)
        self.min_gain_db, self.max_gain_db = min_gain_db, max_gain_db

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The gain in dB."""
        return self.min_gain_db + uniforms * (self.max_gain_db - self.min_gain_db)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Multiply."""
        return gain(clips, gain_db=parameters[:, 0], lengths=lengths)


class Polarity(ClipEffect):
    """Turn clips upside down: to the ear the same, to a network that hears waveforms another.

    Args:
        p: probability of a clip to be touched.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: p is not a probability.
    """

    def __init__(self, p: float = 0.5, *, generator: torch.Generator | None = None) -> None:
        super().__init__(p, generator)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Change the sign."""
        return invert_polarity(clips, lengths=lengths)


class Clip(ClipEffect):
    """Cut the peaks of each clip off, as an overdriven input does, at a level below its own peak, uniform in dB.

    The threshold is relative to the peak, and not the share of samples that are cut off (as in audiomentations'
    ClippingDistortion, which sorts them): one maximum of the clip is all that it costs, and a hum is cut more than a
    click. See :func:`~tonearm.gpu_augment.functional.clip`.

    Args:
        p: probability of a clip to be touched.
        min_threshold_db: deepest cut, in dB relative to the clip's peak.
        max_threshold_db: lightest cut, 0 or less.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 1

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_threshold_db: float = -20.0,
        max_threshold_db: float = -3.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_threshold_db", min_threshold_db, "max_threshold_db", max_threshold_db)
        if max_threshold_db > 0:
            raise RequestError(f"max_threshold_db: got {max_threshold_db}, may be 0 or less: the peak is at 0 dB.")
        self.min_threshold_db, self.max_threshold_db = min_threshold_db, max_threshold_db

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The threshold in dB."""
        return self.min_threshold_db + uniforms * (self.max_threshold_db - self.min_threshold_db)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Cut off."""
        return clip(clips, threshold_db=parameters[:, 0], lengths=lengths)


def _check_bits(low: object, high: object, *, at_least: int) -> None:
    if not (is_whole(low, at_least=at_least) and is_whole(high, at_least=at_least) and low <= high <= 24):
        raise RequestError(
            f"min_bits, max_bits: got {low!r} and {high!r}, may be whole numbers from {at_least} to 24, "
            f"min_bits <= max_bits."
        )


class Quantize(ClipEffect):
    """Round the samples of each clip to fewer bits; how many is uniform over min_bits … max_bits.

    See :func:`~tonearm.gpu_augment.functional.quantize`. No gradient passes through it.

    Args:
        p: probability of a clip to be touched.
        min_bits: fewest bits a sample, 1 or more.
        max_bits: most bits a sample, 24 at most.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 1

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_bits: int = 6,
        max_bits: int = 12,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        _check_bits(min_bits, max_bits, at_least=1)
        self.min_bits, self.max_bits = min_bits, max_bits

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The bits."""
        return self.min_bits + (uniforms * (self.max_bits - self.min_bits + 1)).floor()

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Round."""
        return quantize(clips, bits=parameters[:, 0], lengths=lengths)


class MuLaw(ClipEffect):
    """Code each clip by mu-law and decode it again, as telephony does; bits are uniform over min_bits … max_bits.

    See :func:`~tonearm.gpu_augment.functional.mu_law`. No gradient passes through it.

    Args:
        p: probability of a clip to be touched.
        min_bits: fewest bits a sample, 2 or more.
        max_bits: most bits a sample, 24 at most. With both at 8, as they are, nothing but who is touched is random.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 1

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_bits: int = 8,
        max_bits: int = 8,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        _check_bits(min_bits, max_bits, at_least=2)
        self.min_bits, self.max_bits = min_bits, max_bits

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The bits."""
        return self.min_bits + (uniforms * (self.max_bits - self.min_bits + 1)).floor()

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Code and decode."""
        return mu_law(clips, bits=parameters[:, 0], lengths=lengths)


class SegmentGain(ClipEffect):
    """Make random segments of each clip louder or fainter than the rest, uniformly in dB.

    Segments are all of one length, and lie uniformly over the places where they fit; they may overlap. See
    :func:`~tonearm.gpu_augment.functional.segment_gain`.

    Args:
        p: probability of a clip to be touched.
        num_segments: segments a clip.
        segment_share: length of a segment, as a share of the clip's.
        min_gain_db: the faintest, in dB.
        max_gain_db: the loudest.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.

    Reference:
        Gazneli et al.: End-to-end audio strikes back, 2022. In the authors' program there is one segment, which begins
        no later than its own length (a tenth of a second, or of the clip) after the clip's beginning, and its factor is
        uniform over 0.5 … 1.3; here it may lie anywhere, and the dB between the same ends are uniform.
    """

    def __init__(
        self,
        p: float = 0.5,
        *,
        num_segments: int = 1,
        segment_share: float = 0.1,
        min_gain_db: float = -6.0,
        max_gain_db: float = 2.3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_whole("num_segments", num_segments, at_least=1)
        check_share("segment_share", segment_share)
        check_range("min_gain_db", min_gain_db, "max_gain_db", max_gain_db)
        self.num_segments, self.segment_share = num_segments, segment_share
        self.min_gain_db, self.max_gain_db = min_gain_db, max_gain_db
        self.num_parameter_draws = 2 * num_segments

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The segments' places among those where they fit, as fractions, then their gains in dB."""
        place, loudness = uniforms.chunk(2, dim=1)
        return torch.cat([place, self.min_gain_db + loudness * (self.max_gain_db - self.min_gain_db)], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Multiply the segments."""
        place, gain_db = parameters.chunk(2, dim=1)
        size = torch.full_like(place[:, :1], clips.shape[-1])
        if lengths is not None:
            size = lengths[:, None].clamp(max=clips.shape[-1]).to(place.dtype)
        width = (self.segment_share * size).ceil()
        start = (place * (size - width + 1)).floor()
        return segment_gain(
            clips, start=start.long(), width=width.expand_as(start).long(), gain_db=gain_db, lengths=lengths
        )
