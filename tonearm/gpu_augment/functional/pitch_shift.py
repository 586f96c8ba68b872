"""Shift the pitch of a clip, and leave its length.

    clip             ── phase vocoder, f times longer, same pitch ──→  ── read f times faster ──→  f times higher

The second step reads between samples. As the vocoder makes its output from spectra anyway, these are made to give two
samples for each one, without what would pass the Nyquist frequency: then six neighbours suffice, where a windowed sinc
on the plain grid takes dozens and still dulls treble. The kernel's own frequency response is divided out beforehand, in
the same spectra.
"""

import math

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform, valid_samples
from tonearm.gpu_augment.functional.phase_vocoder import check_frames, stretch

_OVERSAMPLING = 2
_HALF = 3  # samples of the finer grid that the kernel reaches to either side
# Kaiser-Bessel: the kernel's first zero lies where the images begin, 3/4 of the finer sample rate.
_BETA = 2 * math.pi * _HALF * (1 - 1 / (2 * _OVERSAMPLING))
_PHASES = 1 << 13  # places between two samples for which the kernel is tabulated; the nearest is taken
_LEAD = 2  # samples before the clip's first, for the kernel to reach back to
_POSITIONS = 1 << 15  # at a time on a CPU


def pitch_shift(
    waveform: Tensor,
    *,
    semitones: Tensor,
    max_semitones: float = 12.0,
    n_fft: int = 2048,
    hop_length: int = 512,
    lengths: Tensor | None = None,
) -> Tensor:
    """Shift all frequencies of each clip by a factor, without changing its length.

        f = 2^(semitones / 12)
        y(t) = s(f·t),    s the clip stretched by the phase vocoder to f times its length

    What a shift up would bring past the Nyquist frequency is removed rather than folded back, to -60 dB where it is 100
    Hz past it. Formants move with the pitch. What a phase vocoder does to clicks, and to the level of tones that begin,
    is in :func:`~tonearm.gpu_augment.functional.time_stretch`: a shift up by n semitones is a rate of 2^(-n/12) there.

    Args:
        waveform: (batch, channel, time), floating point.
        semitones: (batch,) 12 is an octave up.
        max_semitones: the largest shift that may come, as it decides how much memory is needed, and on a GPU only the
            device knows ``semitones``. Those above it count as it.
        n_fft: samples of a frame, a multiple of hop_length.
        hop_length: samples from frame to frame, at most n_fft / 2; n_fft / 4 is usual.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.
        RequestError: n_fft and hop_length do not fit each other.

    Reference:
        Laroche, Dolson: New phase-vocoder techniques for pitch-shifting, harmonizing and other exotic effects, 1999,
        section 2 (stretch, then resample). Fessler, Sutton: Nonuniform fast Fourier transforms using min-max
        interpolation, 2003 (a finer grid, a short kernel, and its response divided out).

    Example:
        >>> tone = torch.sin(0.05 * torch.arange(8000.0))[None, None]
        >>> octave_up = pitch_shift(tone, semitones=torch.tensor([12.0]))
        >>> octave_up.shape, torch.fft.rfft(tone).abs().argmax(), torch.fft.rfft(octave_up).abs().argmax()
        (torch.Size([1, 1, 8000]), tensor(64), tensor(127))
    """
    check_waveform(waveform)
    check_frames(n_fft, hop_length)
    if waveform.numel() == 0:
        return waveform.clone()
    num_channels, num_samples = waveform.shape[1:]
    clean = at_least_float32(waveform)
    factor = torch.pow(2.0, semitones.double().clamp(max=max_semitones) / 12.0)
    kernel = _kernel_table(clean)
    if blocks.on_cpu(clean) and not (torch.is_grad_enabled() and clean.requires_grad):
        shifted = torch.empty_like(clean, memory_format=torch.contiguous_format)
        ends = [num_samples] * len(clean) if lengths is None else lengths.clamp(max=num_samples).tolist()
        for clip, (one, end) in enumerate(zip(factor.split(1), ends, strict=True)):
            if end > 0:
                fine = _stretched(clean[clip, :, :end], one, end, max_factor=float(one), n_fft=n_fft, hop=hop_length)
                for begin in range(0, end, _POSITIONS):
                    block = slice(begin, min(begin + _POSITIONS, end))
                    shifted[clip, :, block] = _read(fine[None], one, block.start, block.stop, kernel)[0]
            shifted[clip, :, end:] = clean[clip, :, end:]
        return shifted.to(waveform.dtype)
    signal = clean if lengths is None else torch.where(valid_samples(lengths, num_samples), clean, 0.0)
    fine = _stretched(
        signal.flatten(0, 1),
        factor.repeat_interleave(num_channels),
        num_samples,
        max_factor=2.0 ** (max_semitones / 12.0),
        n_fft=n_fft,
        hop=hop_length,
    )
    shifted = _read(fine.unflatten(0, (-1, num_channels)), factor, 0, num_samples, kernel)
    if lengths is not None:
        shifted = torch.where(valid_samples(lengths, num_samples), shifted, clean)
    return shifted.to(waveform.dtype)


def _stretched(signal: Tensor, factor: Tensor, num_samples: int, *, max_factor: float, n_fft: int, hop: int) -> Tensor:
    """(rows, finer samples) of (rows, time), each ``factor`` times longer, ready to be read by the kernel."""
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device=signal.device)
    kept = bins * factor.clamp(min=1.0)[:, None] < n_fft // 2
    return stretch(
        signal,
        rate=factor.reciprocal().expand(len(signal)),
        num_samples=math.ceil(max_factor * num_samples) + _LEAD,
        n_fft=n_fft,
        hop_length=hop,
        lead=_LEAD,
        gain=(kept / _kernel_response(bins / (_OVERSAMPLING * n_fft))).to(signal.dtype).expand(len(signal), -1),
        oversampling=_OVERSAMPLING,
    )


def _read(fine: Tensor, factor: Tensor, begin: int, end: int, kernel: Tensor) -> Tensor:
    """(batch, channel, end - begin): the finer samples at the positions of the output's from begin to end."""
    time = torch.arange(begin, end, dtype=torch.float64, device=fine.device)
    position = (_OVERSAMPLING * time * factor[:, None]).add_(_OVERSAMPLING * _LEAD)
    index = position.long()
    phase = position.sub_(index).mul_(_PHASES).round_().long()
    num_channels = fine.shape[1]
    index = index.add_(1 - _HALF)[:, None]
    read = fine.new_zeros(())
    for tap, weights in enumerate(kernel):
        weight = weights.index_select(0, phase.flatten()).view_as(phase)[:, None]
        samples = fine.gather(2, (index + tap).expand(-1, num_channels, -1))
        read = torch.addcmul(read, samples, weight)
    return read


def _kernel_table(like: Tensor) -> Tensor:
    """(taps, phases + 1) what the samples from n + 1 - half on weigh at n + phase / phases."""
    phase = torch.arange(_PHASES + 1, dtype=torch.float64, device=like.device) / _PHASES
    distance = phase - torch.arange(1 - _HALF, _HALF + 1, device=like.device)[:, None]
    inside = (1 - (distance / _HALF).square()).clamp(min=0.0)
    table: Tensor = torch.special.i0(_BETA * inside.sqrt())
    return table.to(like.dtype)


def _kernel_response(frequency: Tensor) -> Tensor:
    """The kernel's Fourier transform, at frequencies in units of the finer sample rate, up to the coarser Nyquist's.

    Reference:
        Kaiser: Nonrecursive digital filter design using the I₀-sinh window function, 1974.
    """
    root = (_BETA**2 - (2 * math.pi * _HALF * frequency).square()).sqrt()
    response: Tensor = 2 * _HALF * root.sinh() / root
    return response
