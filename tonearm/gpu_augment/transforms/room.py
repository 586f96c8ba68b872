"""The effects that put a clip into a room, as modules; they take (batch, channel, time)."""

import math

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range, check_whole
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.counter import keys_from_uniforms
from tonearm.gpu_augment.functional.reverb import convolve, synthetic_rir


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
