"""The effects that work on spectra, as modules; they take (batch, channel, time)."""

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range, check_whole
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.counter import keys_from_uniforms
from tonearm.gpu_augment.functional.frequency_shift import frequency_shift
from tonearm.gpu_augment.functional.phase_noise import phase_noise
from tonearm.gpu_augment.functional.phase_vocoder import check_frames
from tonearm.gpu_augment.functional.pitch_shift import pitch_shift
from tonearm.gpu_augment.functional.time_stretch import stretched_lengths, time_stretch


class TimeStretch(ClipEffect):
    """Play each clip faster or slower and keep its pitch; the batch stays as wide, lengths change.

    The rate's logarithm is uniform, so that a clip becomes 1.25 times as fast as often as 1.25 times as slow. What a
    slower clip has more than the batch is wide is cut off; after a faster one there are zeros, and ``lengths`` say from
    where on. See :func:`~tonearm.gpu_augment.functional.time_stretch`.

    Args:
        p: probability of a clip to be touched.
        min_rate: slowest, above 0.
        max_rate: fastest; 2 is twice as fast and half as long.
        n_fft: samples of a frame, 2, 3, 4 … times hop_length.
        hop_length: samples from frame to frame.
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
        min_rate: float = 0.8,
        max_rate: float = 1.25,
        n_fft: int = 2048,
        hop_length: int = 512,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_rate", min_rate, "max_rate", max_rate)
        if not min_rate > 0.0:
            raise RequestError(f"min_rate: got {min_rate}, may be more than 0.")
        check_frames(n_fft, hop_length)
        self.min_rate, self.max_rate = min_rate, max_rate
        self.n_fft, self.hop_length = n_fft, hop_length

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The rate."""
        return self.min_rate * (self.max_rate / self.min_rate) ** uniforms

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Stretch."""
        stretched, _ = time_stretch(
            clips, rate=parameters[:, 0], n_fft=self.n_fft, hop_length=self.hop_length, lengths=lengths
        )
        return stretched

    def lengths_after(self, parameters: Tensor, lengths: Tensor) -> Tensor:
        """As many as the rate leaves."""
        return stretched_lengths(lengths, rate=parameters[:, 0])


class PitchShift(ClipEffect):
    """Shift each clip's pitch and keep its length; uniform in semitones.

    See :func:`~tonearm.gpu_augment.functional.pitch_shift`.

    Args:
        p: probability of a clip to be touched.
        min_semitones: largest shift down, as a negative number; 12 are an octave.
        max_semitones: largest shift up.
        n_fft: samples of a frame, 2, 3, 4 … times hop_length.
        hop_length: samples from frame to frame.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 1

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_semitones: float = -4.0,
        max_semitones: float = 4.0,
        n_fft: int = 2048,
        hop_length: int = 512,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_semitones", min_semitones, "max_semitones", max_semitones)
        check_frames(n_fft, hop_length)
        self.min_semitones, self.max_semitones = min_semitones, max_semitones
        self.n_fft, self.hop_length = n_fft, hop_length

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The shift in semitones."""
        return self.min_semitones + uniforms * (self.max_semitones - self.min_semitones)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Shift."""
        return pitch_shift(
            clips,
            semitones=parameters[:, 0],
            max_semitones=self.max_semitones,
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            lengths=lengths,
        )


class FrequencyShift(ClipEffect):
    """Move all frequencies of each clip by the same number of Hz; uniform in Hz.

    See :func:`~tonearm.gpu_augment.functional.frequency_shift`, also for what the shift takes away.

    Args:
        p: probability of a clip to be touched.
        sample_rate: in Hz.
        min_shift_hz: largest shift down, as a negative number.
        max_shift_hz: largest shift up.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 1

    def __init__(
        self,
        p: float = 0.5,
        *,
        sample_rate: int,
        min_shift_hz: float = -200.0,
        max_shift_hz: float = 200.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_whole("sample_rate", sample_rate, at_least=1, unit=" Hz")
        check_range("min_shift_hz", min_shift_hz, "max_shift_hz", max_shift_hz)
        self.sample_rate = sample_rate
        self.min_shift_hz, self.max_shift_hz = min_shift_hz, max_shift_hz

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The shift in Hz."""
        return self.min_shift_hz + uniforms * (self.max_shift_hz - self.min_shift_hz)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Shift."""
        return frequency_shift(clips, shift_hz=parameters[:, 0], sample_rate=self.sample_rate, lengths=lengths)


class PhaseNoise(ClipEffect):
    """Turn the bins of each clip's short-time spectra by random angles; the deviation is uniform in radians.

    See :func:`~tonearm.gpu_augment.functional.phase_noise`.

    Args:
        p: probability of a clip to be touched.
        min_deviation: least noise, in radians, 0 or more.
        max_deviation: most noise.
        n_fft: samples of a frame, 2, 3, 4 … times hop_length.
        hop_length: samples from frame to frame.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 3

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_deviation: float = 0.0,
        max_deviation: float = 0.5,
        n_fft: int = 1024,
        hop_length: int = 256,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_deviation", min_deviation, "max_deviation", max_deviation)
        if min_deviation < 0:
            raise RequestError(f"min_deviation: got {min_deviation}, may be 0 radians or more.")
        check_frames(n_fft, hop_length)
        self.min_deviation, self.max_deviation = min_deviation, max_deviation
        self.n_fft, self.hop_length = n_fft, hop_length

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The deviation in radians and the noise's key."""
        deviation = self.min_deviation + uniforms[:, :1] * (self.max_deviation - self.min_deviation)
        return torch.cat([deviation, keys_from_uniforms(uniforms[:, 1:])], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Draw the angles where the clips lie, and turn the bins."""
        return phase_noise(
            clips,
            keys=parameters[:, 1:].to(torch.int32),
            deviation=parameters[:, 0],
            n_fft=self.n_fft,
            hop_length=self.hop_length,
            lengths=lengths,
        )
