"""Reverberation: convolution with a room impulse response, and responses made of decaying noise."""

import math

import torch
from torch import Tensor

from tonearm.errors import ShapeError
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.counter import gaussian
from tonearm.gpu_augment.functional.fft_length import fast_fft_length as fast_fft_length  # others import it from here
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform, valid_samples
from tonearm.gpu_augment.functional.overlap_save import overlap_save


def convolve(waveform: Tensor, rir: Tensor, *, lengths: Tensor | None = None) -> Tensor:
    """Convolve each clip with its response, by FFT, and keep the clip's length.

        y(t) = Σ_k rir(k) · x(t - k),    0 ≤ t < time

    Nothing is shifted or scaled: where the response begins with its direct path, events stay where they were, and the
    level is the response's affair. What rings on after the clip's end is cut off. On a CPU it goes in pieces (see
    :func:`~tonearm.gpu_augment.functional.overlap_save.overlap_save`), unless it is differentiated or compiled.

    Args:
        waveform: (batch, channel, time), floating point.
        rir: (batch, channel, taps); batch and channel may be 1, one response for all.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point, or the response does not fit it.

    Example:
        >>> convolve(torch.tensor([[[1.0, 0.0, 2.0]]]), torch.tensor([[[1.0, 0.5]]])).round(decimals=4)
        tensor([[[1.0000, 0.5000, 2.0000]]])
    """
    check_waveform(waveform)
    fits = rir.dim() == 3 and all(r in (1, w) for r, w in zip(rir.shape[:2], waveform.shape[:2], strict=True))
    if not fits or rir.shape[2] == 0:
        raise ShapeError(
            f"rir: got {tuple(rir.shape)}, must be (batch, channel, taps) with the batch and channels of waveform, "
            f"{tuple(waveform.shape)}, or 1."
        )
    if waveform.numel() == 0:  # which no FFT takes
        return waveform.clone()
    clean = at_least_float32(waveform)
    batch, num_channels, num_samples = waveform.shape
    rir = rir[..., :num_samples].to(clean.dtype)  # later taps reach no sample that is kept
    if blocks.on_cpu(clean) and not (torch.is_grad_enabled() and (clean.requires_grad or rir.requires_grad)):
        each = [num_samples] * batch if lengths is None else lengths.clamp(0, num_samples).tolist()
        rows = clean.reshape(batch * num_channels, num_samples)
        taps = rir.expand(batch, num_channels, -1).reshape(len(rows), -1)
        wet = overlap_save(rows, taps, lengths=[length for length in each for _ in range(num_channels)])
        return wet.view(waveform.shape).to(waveform.dtype)
    signal = clean if lengths is None else torch.where(valid_samples(lengths, num_samples), clean, 0.0)
    # Long enough that the end of the tail does not wrap around onto the beginning.
    n_fft = fast_fft_length(num_samples + rir.shape[-1] - 1)
    spectrum = torch.fft.rfft(signal, n=n_fft) * torch.fft.rfft(rir, n=n_fft)
    whole: Tensor = torch.fft.irfft(spectrum, n=n_fft)[..., :num_samples]
    if lengths is not None:
        whole = torch.where(valid_samples(lengths, num_samples), whole, clean)
    return whole.to(waveform.dtype)


def synthetic_rir(keys: Tensor, *, rt60_seconds: Tensor, drr_db: Tensor, sample_rate: int, num_samples: int) -> Tensor:
    """Responses of made-up rooms: the direct path at index 0, then Gaussian noise that decays exponentially.

        h(0) = d,    h(t) = g · n(t) · 10^(-3·t / (rt60·sample_rate))  for t > 0

    d and g are such that d² / Σ h(t>0)² is the direct-to-reverberant ratio and Σ h² = 1. So a signal whose spectrum is
    flat keeps its level on average, and a tone's level depends on the room, as it does in one.

    Args:
        keys: (batch, 2) int32; equal keys give equal rooms, on every device.
        rt60_seconds: (batch,) seconds in which the tail falls by 60 dB, above 0.
        drr_db: (batch,) direct-to-reverberant ratio in dB.
        sample_rate: in Hz.
        num_samples: length of a response; the tail is cut off there.

    Returns:
        (batch, num_samples) float32 on the keys' device.

    Reference:
        Polack: La transmission de l'énergie sonore dans les salles, 1988 (decaying noise as the model of a late tail).
        There is no early pattern of reflections here and no dependence of the decay on frequency.

    Example:
        >>> keys, one = torch.tensor([[1, 2]], dtype=torch.int32), torch.ones(1)
        >>> rir = synthetic_rir(keys, rt60_seconds=one, drr_db=0 * one, sample_rate=8000, num_samples=8000)
        >>> (rir[:, 0] ** 2).round(decimals=4), (rir**2).sum().round(decimals=4)
        (tensor([0.5000]), tensor(1.))
    """
    time_seconds = torch.arange(1, num_samples, dtype=torch.float32, device=keys.device) / sample_rate
    rate = -3.0 * math.log(10.0) / rt60_seconds.float()[:, None]
    ratio_db = drr_db.float()[:, None]
    direct, reverberant = (torch.rsqrt(1 + torch.pow(10.0, db / 10.0)) for db in (-ratio_db, ratio_db))
    noise = gaussian(keys, num_samples - 1)
    tail = noise * torch.exp(time_seconds * rate)
    norm = torch.linalg.vector_norm(tail, dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    return torch.cat([direct, tail * (reverberant / norm)], dim=1)
