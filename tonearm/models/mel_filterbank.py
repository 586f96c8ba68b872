"""The mel filterbank: triangles that are equally wide on a scale of pitch, over the bins of a Fourier transform."""

import logging
import math
from typing import Literal

import torch
from torch import Tensor

_log = logging.getLogger(__name__)

MelScale = Literal["htk", "slaney"]
MelNorm = Literal["peak", "area"]

# Slaney's scale: 15 mel a kHz up to 1 kHz, above it 27 mel for each factor of 6.4.
SLANEY_BREAK_HZ = 1000.0
SLANEY_BREAK_MEL = 15.0
SLANEY_MEL_PER_LOG_HZ = 27.0 / math.log(6.4)


def hz_to_mel(hz: Tensor, scale: MelScale) -> Tensor:
    """Frequencies on a mel scale.

    Args:
        hz: frequencies, any shape, float64 where exactness matters.
        scale: "htk", logarithmic throughout, or "slaney", linear up to 1 kHz.

    Reference:
        Young et al.: The HTK Book 3.4, section 5.4: mel = 2595·log10(1 + f/700).
        Slaney: Auditory Toolbox, Interval Research Technical Report 1998-010: MFCC.
    """
    if scale == "htk":
        return 2595.0 * (1.0 + hz / 700.0).log10()
    linear = hz * (SLANEY_BREAK_MEL / SLANEY_BREAK_HZ)
    above = SLANEY_BREAK_MEL + SLANEY_MEL_PER_LOG_HZ * (hz / SLANEY_BREAK_HZ).clamp(min=1.0).log()
    return torch.where(hz < SLANEY_BREAK_HZ, linear, above)


def mel_to_hz(mel: Tensor, scale: MelScale) -> Tensor:
    """The inverse of :func:`hz_to_mel`."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    linear = mel * (SLANEY_BREAK_HZ / SLANEY_BREAK_MEL)
    above = SLANEY_BREAK_HZ * ((mel - SLANEY_BREAK_MEL) / SLANEY_MEL_PER_LOG_HZ).exp()
    return torch.where(mel < SLANEY_BREAK_MEL, linear, above)


def mel_filterbank(
    *,
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    f_min: float,
    f_max: float,
    scale: MelScale = "htk",
    norm: MelNorm = "peak",
) -> Tensor:
    """Triangular filters over the bins of a transform, their corners equally spaced on a mel scale.

    Between its corners a filter is straight over Hz, as in torchaudio and librosa. TensorFlow's
    ``linear_to_mel_weight_matrix`` draws it straight over mel and leaves out the bin at 0 Hz: with VGGish's settings
    (16 kHz, n_fft 512, 64 bands, 125 to 7500 Hz) its weights differ from ours by up to 0.0045 of a peak, a
    band of white noise by 0.006 dB.

    Args:
        sample_rate: Hz.
        n_fft: length of the transform, samples. The last bin counts as ``sample_rate // 2``, as in torchaudio; with an
            odd n_fft it really is half a bin lower.
        n_mels: number of filters.
        f_min, f_max: where the first begins and the last ends, Hz.
        scale: "htk" or "slaney", see :func:`hz_to_mel`.
        norm: "peak": each triangle's height is 1; "area": its area in Hz is 1, so its height 2 / (its width in Hz).

    Returns:
        (n_mels, n_fft // 2 + 1) float32.

    A filter so narrow that no bin of the transform falls into it is all zero, its band always at the floor; that is
    logged as a warning.

    Example:
        >>> mel_filterbank(sample_rate=16_000, n_fft=512, n_mels=40, f_min=0, f_max=8000).shape
        torch.Size([40, 257])
    """
    low, high = hz_to_mel(torch.tensor([f_min, f_max], dtype=torch.float64), scale).tolist()
    corners = mel_to_hz(torch.linspace(low, high, n_mels + 2, dtype=torch.float64), scale)
    hz = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1, dtype=torch.float64)
    rising = (hz - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - hz) / (corners[2:] - corners[1:-1])[:, None]
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
    if norm == "area":
        filters *= (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return filters.float()
