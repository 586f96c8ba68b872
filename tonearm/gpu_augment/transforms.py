"""The effects on waveforms as modules: each samples, for each clip, the parameters that its function takes.

They take (batch, channel, time). Parameters are drawn as fractions of a clip wherever they can be, so that sampling
needs no lengths from the device.
"""

import math

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range, check_whole
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.counter import keys_from_uniforms
from tonearm.gpu_augment.functional.noise import add_noise, white_noise
from tonearm.gpu_augment.functional.reverb import convolve, synthetic_rir
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


class Noise(ClipEffect):
    """Add noise at a random signal-to-noise ratio, uniform in dB.

    The noise is new in each clip, sample and channel. See :func:`~tonearm.gpu_augment.functional.add_noise`.

    Args:
        p: probability of a clip to be touched.
        min_snr_db: loudest noise, as signal-to-noise ratio in dB.
        max_snr_db: faintest noise.
        color: "white", the only one so far.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 3

    def __init__(
        self,
        p: float = 0.5,
        min_snr_db: float = 0.0,
        max_snr_db: float = 30.0,
        color: str = "white",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_snr_db", min_snr_db, "max_snr_db", max_snr_db)
        if color != "white":
            raise RequestError(f"color: got {color!r}, may be 'white'.")
        self.min_snr_db, self.max_snr_db, self.color = min_snr_db, max_snr_db, color

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The ratio in dB and the noise's key."""
        snr_db = self.min_snr_db + uniforms[:, :1] * (self.max_snr_db - self.min_snr_db)
        return torch.cat([snr_db, keys_from_uniforms(uniforms[:, 1:])], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Draw the noise where the clips lie, and add it."""
        keys = parameters[:, 1:].to(torch.int32)
        noise = white_noise(keys, num_channels=clips.shape[1], num_samples=clips.shape[2])
        return add_noise(clips, noise, snr_db=parameters[:, 0], lengths=lengths)


class Reverb(ClipEffect):
    """Put each clip into a made-up room of its own: direct path first, then exponentially decaying noise.

    Nothing is shifted, and a response's energy is 1, which keeps the level of broadband sounds on average. All channels
    of a clip hear the same response. See :func:`~tonearm.gpu_augment.functional.synthetic_rir`.

    Args:
        p: probability of a clip to be touched.
        sample_rate: in Hz.
        min_rt60_seconds: driest room, as the time in which its tail falls by 60 dB; uniform up to the next.
        max_rt60_seconds: liveliest room. Responses are this long.
        min_drr_db: farthest source, as direct-to-reverberant ratio in dB; uniform up to the next.
        max_drr_db: nearest source.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 4

    def __init__(
        self,
        p: float = 0.5,
        *,
        sample_rate: int,
        min_rt60_seconds: float = 0.1,
        max_rt60_seconds: float = 1.0,
        min_drr_db: float = 0.0,
        max_drr_db: float = 15.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_whole("sample_rate", sample_rate, at_least=1, unit=" Hz")
        check_range("min_rt60_seconds", min_rt60_seconds, "max_rt60_seconds", max_rt60_seconds)
        if not min_rt60_seconds > 0:
            raise RequestError(f"min_rt60_seconds: got {min_rt60_seconds}, may be more than 0.")
        check_range("min_drr_db", min_drr_db, "max_drr_db", max_drr_db)
        self.sample_rate = sample_rate
        self.min_rt60_seconds, self.max_rt60_seconds = min_rt60_seconds, max_rt60_seconds
        self.min_drr_db, self.max_drr_db = min_drr_db, max_drr_db

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """RT60 in seconds, direct-to-reverberant ratio in dB, and the tail's key."""
        rt60_seconds = self.min_rt60_seconds + uniforms[:, :1] * (self.max_rt60_seconds - self.min_rt60_seconds)
        drr_db = self.min_drr_db + uniforms[:, 1:2] * (self.max_drr_db - self.min_drr_db)
        return torch.cat([rt60_seconds, drr_db, keys_from_uniforms(uniforms[:, 2:])], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Make the rooms where the clips lie, and put the clips into them."""
        rir = synthetic_rir(
            parameters[:, 2:].to(torch.int32),
            rt60_seconds=parameters[:, 0],
            drr_db=parameters[:, 1],
            sample_rate=self.sample_rate,
            num_samples=math.ceil(self.max_rt60_seconds * self.sample_rate),
        )
        return convolve(clips, rir[:, None], lengths=lengths)
