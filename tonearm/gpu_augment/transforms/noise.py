"""The effects that add sounds to a clip, as modules; they take (batch, channel, time)."""

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.counter import keys_from_uniforms
from tonearm.gpu_augment.functional.noise import add_noise, white_noise


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
