"""The effects that filter a clip, as modules; they take (batch, channel, time)."""

import math

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range, check_whole
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.filters import band_pass, band_transition_hz, high_pass, low_pass


class _CutoffFilter(ClipEffect):
    """What low-pass and high-pass have in common: draw a cutoff, log-uniform."""

    num_parameter_draws = 1

    def __init__(
        self, p: float, sample_rate: int, min_cutoff_hz: float, max_cutoff_hz: float, generator: torch.Generator | None
    ) -> None:
        super().__init__(p, generator)
        check_whole("sample_rate", sample_rate, at_least=1, unit=" Hz")
        _check_positive_range("min_cutoff_hz", min_cutoff_hz, "max_cutoff_hz", max_cutoff_hz)
        self.sample_rate, self.min_cutoff_hz, self.max_cutoff_hz = sample_rate, min_cutoff_hz, max_cutoff_hz

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The cutoff in Hz."""
        return _log_uniform(uniforms, self.min_cutoff_hz, self.max_cutoff_hz)


class LowPass(_CutoffFilter):
    """Muffle each clip: take away what lies above a cutoff of its own, drawn log-uniformly.

    Nothing is delayed. The gain is ½ at the cutoff, 1 below 3/4 of it, -60 dB above 5/4 of it. See
    :func:`~tonearm.gpu_augment.functional.low_pass`.

    Args:
        p: probability of a clip to be touched.
        sample_rate: in Hz. A cutoff of half of it or more changes nothing.
        min_cutoff_hz: strongest filter. The lower it is, the longer are the filters.
        max_cutoff_hz: weakest filter.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    def __init__(
        self,
        p: float = 0.5,
        *,
        sample_rate: int,
        min_cutoff_hz: float = 150.0,
        max_cutoff_hz: float = 7500.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, sample_rate, min_cutoff_hz, max_cutoff_hz, generator)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Filter the clips."""
        return low_pass(
            clips,
            cutoff_hz=parameters[:, 0],
            sample_rate=self.sample_rate,
            min_transition_hz=self.min_cutoff_hz / 2,
            lengths=lengths,
        )


class HighPass(_CutoffFilter):
    """Thin each clip out: take away what lies below a cutoff of its own, drawn log-uniformly.

    Nothing is delayed. The gain is ½ at the cutoff, -60 dB below 3/4 of it, 1 above 5/4 of it. See
    :func:`~tonearm.gpu_augment.functional.high_pass`.

    Args:
        p: probability of a clip to be touched.
        sample_rate: in Hz. A cutoff of half of it or more leaves silence.
        min_cutoff_hz: weakest filter. The lower it is, the longer are the filters.
        max_cutoff_hz: strongest filter.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    def __init__(
        self,
        p: float = 0.5,
        *,
        sample_rate: int,
        min_cutoff_hz: float = 20.0,
        max_cutoff_hz: float = 2400.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, sample_rate, min_cutoff_hz, max_cutoff_hz, generator)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Filter the clips."""
        return high_pass(
            clips,
            cutoff_hz=parameters[:, 0],
            sample_rate=self.sample_rate,
            min_transition_hz=self.min_cutoff_hz / 2,
            lengths=lengths,
        )


class BandPass(ClipEffect):
    """Leave of each clip a band of its own: center drawn log-uniformly, width uniformly in octaves.

    Nothing is delayed. The gain is 1 at the center and ½ at the edges. See
    :func:`~tonearm.gpu_augment.functional.band_pass`.

    Args:
        p: probability of a clip to be touched.
        sample_rate: in Hz. A band above half of it leaves silence.
        min_center_hz: lowest center, the geometric mean of the edges. The lower it is, the longer are the filters.
        max_center_hz: highest center.
        min_bandwidth_octaves: narrowest band. Below 1, the narrower it is, the longer are the filters.
        max_bandwidth_octaves: widest band.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 2

    def __init__(
        self,
        p: float = 0.5,
        *,
        sample_rate: int,
        min_center_hz: float = 200.0,
        max_center_hz: float = 4000.0,
        min_bandwidth_octaves: float = 0.75,
        max_bandwidth_octaves: float = 3.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_whole("sample_rate", sample_rate, at_least=1, unit=" Hz")
        _check_positive_range("min_center_hz", min_center_hz, "max_center_hz", max_center_hz)
        _check_positive_range(
            "min_bandwidth_octaves", min_bandwidth_octaves, "max_bandwidth_octaves", max_bandwidth_octaves
        )
        self.sample_rate, self.min_center_hz, self.max_center_hz = sample_rate, min_center_hz, max_center_hz
        self.min_bandwidth_octaves, self.max_bandwidth_octaves = min_bandwidth_octaves, max_bandwidth_octaves
        # Transitions are narrowest in the lowest bands, and there in the narrowest or in the widest.
        self._min_transition_hz = min(
            band_transition_hz(min_center_hz, octaves) for octaves in (min_bandwidth_octaves, max_bandwidth_octaves)
        )

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The center in Hz, and the width in octaves."""
        center_hz = _log_uniform(uniforms[:, :1], self.min_center_hz, self.max_center_hz)
        spread = self.max_bandwidth_octaves - self.min_bandwidth_octaves
        return torch.cat([center_hz, self.min_bandwidth_octaves + uniforms[:, 1:] * spread], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Filter the clips."""
        return band_pass(
            clips,
            center_hz=parameters[:, 0],
            bandwidth_octaves=parameters[:, 1],
            sample_rate=self.sample_rate,
            min_transition_hz=self._min_transition_hz,
            lengths=lengths,
        )


def _check_positive_range(low_name: str, low: float, high_name: str, high: float) -> None:
    check_range(low_name, low, high_name, high)
    if not low > 0:
        raise RequestError(f"{low_name}: got {low}, may be more than 0.")


def _log_uniform(uniforms: Tensor, low: float, high: float) -> Tensor:
    """Numbers from low to high; every octave is as likely."""
    return (low * torch.exp(uniforms * math.log(high / low))).clamp(max=high)
