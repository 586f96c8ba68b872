"""Move all frequencies of a clip by the same number of Hz, as a badly tuned single-sideband receiver does."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional.fft_length import fast_fft_length
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform, valid_samples

_APART = 4096  # zeros at least between a clip's end and its beginning, which an FFT makes neighbours
_RUN = 1024  # samples of a run; the phasor is the product of one a run and one a sample of the run


def frequency_shift(waveform: Tensor, *, shift_hz: Tensor, sample_rate: int, lengths: Tensor | None = None) -> Tensor:
    """Shift each clip's spectrum by its own number of Hz.

        y(t) = Re( a(t) · exp(2πi · shift_hz · t / sample_rate) ),    a the analytic signal of x

    Harmonics are harmonics no longer, which a shift of pitch leaves them. What would come to lie below 0 Hz or above
    the Nyquist frequency, and fold back from there, is removed first: a shift of -100 Hz takes away all below 100 Hz.
    That filter is as steep as the clip is long, and rings where there is sound at its edge. A shift of 0 gives the clip
    back, to rounding.

    Args:
        waveform: (batch, channel, time), floating point.
        shift_hz: (batch,) in Hz, of either sign.
        sample_rate: in Hz.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Gabor: Theory of communication, 1946 (the analytic signal). Wardle: A Hilbert-transformer frequency shifter for
        audio, 1998 (with recursive filters in place of the FFT).

    Example:
        >>> tone = torch.cos(2 * torch.pi * 100 / 8000 * torch.arange(8000.0))[None, None]
        >>> shifted = frequency_shift(tone, shift_hz=torch.tensor([50.0]), sample_rate=8000)
        >>> torch.fft.rfft(shifted).abs().argmax()
        tensor(150)
    """
    check_waveform(waveform)
    if waveform.numel() == 0:  # which no FFT takes
        return waveform.clone()
    num_samples = waveform.shape[2]
    clean = at_least_float32(waveform)
    signal = clean if lengths is None else torch.where(valid_samples(lengths, num_samples), clean, 0.0)
    n_fft = fast_fft_length(num_samples + min(num_samples, _APART))
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device=waveform.device)
    frequency = bins / n_fft + shift_hz.double()[:, None] / sample_rate
    # Each bin stands for itself and its mirror image, but for the two that are their own.
    weight = torch.where((bins == 0) | (2 * bins == n_fft), 1.0, 2.0) * ((frequency >= 0.0) & (frequency <= 0.5))
    spectrum = torch.fft.rfft(signal, n=n_fft) * weight.to(clean.dtype)[:, None]
    analytic = torch.fft.ifft(spectrum, n=n_fft)[..., :num_samples]
    phasor = _phasor(shift_hz.double() / sample_rate, num_samples, clean.dtype)
    shifted: Tensor = (analytic * phasor[:, None]).real
    if lengths is not None:
        shifted = torch.where(valid_samples(lengths, num_samples), shifted, clean)
    return shifted.to(waveform.dtype)


def _phasor(turns: Tensor, num_samples: int, dtype: torch.dtype) -> Tensor:
    """(batch, num_samples) exp(2πi · turns · t), from (batch,) float64; as exact after ten minutes as at once."""
    run = torch.arange(-(-num_samples // _RUN), dtype=torch.float64, device=turns.device) * _RUN
    within = torch.arange(_RUN, dtype=torch.float64, device=turns.device)

    def unit(time: Tensor) -> Tensor:
        angle = ((turns[:, None] * time).remainder_(1.0) * (2 * torch.pi)).to(dtype)
        return torch.polar(torch.ones_like(angle), angle)

    return (unit(run)[:, :, None] * unit(within)[:, None]).flatten(1)[:, :num_samples]
