"""The front-end: waveforms to normalised log-mel spectrograms.

    power[k, t] = |Σ_n hann[n] · x[t·hop + n] · exp(-2πi·kn / n_fft)|²       centred, edges reflected
    mel[m, t]   = Σ_k triangle_m[k] · power[k, t]                            HTK's mel scale, triangles of height 1
    log_mel     = (10·log10(max(mel, 1e-10)) - mean) / std                   dB, floor at -100 dB

The mel part equals torchaudio.transforms.MelSpectrogram with its defaults (tests/models/test_features.py).
"""

import logging
import math

import torch
from torch import Tensor, nn

from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError, ShapeError
from tonearm.gpu_augment.functional.layout import check_waveform

_log = logging.getLogger(__name__)

POWER_FLOOR = 1e-10  # digital silence becomes -100 dB instead of minus infinity


def mel_filterbank(*, sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> Tensor:
    """Triangular filters, equally wide on HTK's mel scale, each 1 at its peak.

    Args:
        sample_rate: Hz.
        n_fft: length of the transform, samples.
        n_mels: number of filters.
        f_min, f_max: where the first begins and the last ends, Hz.

    Returns:
        (n_mels, n_fft // 2 + 1) float32.

    A filter so narrow that no bin of the transform falls into it is all zero, its band always at the floor; that is
    logged as a warning.

    Reference:
        Young et al.: The HTK Book 3.4, section 5.4: mel = 2595·log10(1 + f/700).
    """
    low, high = (2595.0 * math.log10(1.0 + hz / 700.0) for hz in (f_min, f_max))
    edges = 700.0 * (10.0 ** (torch.linspace(low, high, n_mels + 2, dtype=torch.float64) / 2595.0) - 1.0)
    hz = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    filters = torch.minimum(rising, falling).clamp(min=0)
    silent = int((filters.amax(dim=1) == 0).sum())
    if silent:
        _log.warning(
            "features: %d of %d mel bands lie between two bins of an n_fft of %d at %d Hz and stay silent; "
            "lower n_mels, raise n_fft or raise f_min",
            silent,
            n_mels,
            n_fft,
            sample_rate,
        )
    return filters.float()


class LogMel(nn.Module):
    """Log-mel spectrograms in dB, normalised once :meth:`set_normalization` has been called.

    Always computes in float32, also under autocast: the power of a loud window passes float16's 65,504.

    Args:
        config: window, hop, bands and range.
        sample_rate: Hz of the waveforms to come.

    Raises:
        ConfigError: f_min and f_max are not in order below half the sample rate.

    Example:
        >>> log_mel = LogMel(FeaturesConfig(n_fft=512, win_length=400, hop_length=160, n_mels=40), sample_rate=16_000)
        >>> log_mel(torch.zeros(2, 1, 16_000)).shape
        torch.Size([2, 1, 40, 101])
    """

    window: Tensor
    filters: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: FeaturesConfig, *, sample_rate: int) -> None:
        super().__init__()
        nyquist = sample_rate / 2
        f_max = nyquist if config.f_max is None else config.f_max
        if not config.f_min < f_max <= nyquist:
            raise ConfigError(
                f"features.f_min and f_max: got {config.f_min:g} to {f_max:g} Hz; "
                f"at {sample_rate} Hz they may be 0 to {nyquist:g}, in this order."
            )
        self.n_fft, self.win_length, self.hop_length = config.n_fft, config.win_length, config.hop_length
        filters = mel_filterbank(
            sample_rate=sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, f_min=config.f_min, f_max=f_max
        )
        # The window and the filters follow from the config; a checkpoint need not carry them.
        self.register_buffer("window", torch.hann_window(config.win_length), persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("mean", torch.zeros(config.n_mels, 1))
        self.register_buffer("std", torch.ones(config.n_mels, 1))

    def set_normalization(self, mean: Tensor | float, std: Tensor | float) -> None:
        """Subtract ``mean`` and divide by ``std`` from now on; both are saved in state_dict.

        Args:
            mean: dB, one number or one a mel band, (n_mels,).
            std: the same, above 0.

        Raises:
            ShapeError: neither one number nor one a band, or a std that is not above 0.
        """
        mean, std = (torch.as_tensor(value, dtype=torch.float32, device=self.mean.device) for value in (mean, std))
        for name, value in (("mean", mean), ("std", std)):
            if value.shape not in ((), (len(self.mean),)):
                raise ShapeError(f"{name}: got shape {tuple(value.shape)}; it may be () or ({len(self.mean)},).")
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all() and (std > 0).all()):
            raise ShapeError(f"mean must be finite and std above 0, got {mean} and {std}.")
        self.mean.copy_(mean.reshape(-1, 1).expand_as(self.mean))
        self.std.copy_(std.reshape(-1, 1).expand_as(self.std))

    def frames(self, num_samples: int) -> int:
        """How many frames a waveform of ``num_samples`` becomes."""
        return (num_samples - self.n_fft % 2) // self.hop_length + 1  # an odd n_fft is padded by half a sample less

    def forward(self, waveform: Tensor) -> Tensor:
        """The normalised log-mel spectrogram.

        Args:
            waveform: (batch, channel, time), any floating dtype; more than n_fft // 2 samples.

        Returns:
            (batch, channel, mel, frames(time)) float32; dB as long as no normalisation is set.

        Raises:
            ShapeError: another number of axes, integers, or too few samples to reflect at the edges.
        """
        check_waveform(waveform)
        if waveform.shape[-1] <= self.n_fft // 2:
            raise ShapeError(
                f"waveform: got {tuple(waveform.shape)}; it may be (batch, channel, time) with more than "
                f"{self.n_fft // 2} samples, half of features.n_fft."
            )
        if waveform.numel() == 0:  # no clips: torch.stft takes no empty batch
            shape = (*waveform.shape[:2], len(self.filters), self.frames(waveform.shape[-1]))
            return torch.empty(shape, dtype=torch.float32, device=waveform.device)
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float().flatten(0, 1),
                self.n_fft,
                self.hop_length,
                self.win_length,
                self.window,
                center=True,
                pad_mode="reflect",
                return_complex=True,
            )
            # Squares of the parts rather than abs().square(): no square root whose gradient is undefined at silence.
            power = torch.view_as_real(spectrum).square().sum(dim=-1)
            mel = (self.filters @ power).reshape(*waveform.shape[:2], len(self.filters), -1)
            decibels = 10.0 * mel.clamp(min=POWER_FLOOR).log10()
            log_mel: Tensor = (decibels - self.mean) / self.std
            return log_mel
