"""Low-pass, high-pass and band-pass filters: windowed sincs, so without delay and with straight phase.

gain
  1 ──────────╮                 pass band: within 0.1 % (0.009 dB) of 1
               ╲
1/2 ╌╌╌╌╌╌╌╌╌╌╌ ╲               transition: from 3/4 to 5/4 of the cutoff, ½ (-6 dB) in its middle
  0 ─────────────╰──────        stop band: -60 dB
               cutoff
"""

import math

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.fft_length import fast_fft_length
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform, valid_samples
from tonearm.gpu_augment.functional.overlap_save import overlap_save

# Kaiser's two formulas: the window's shape, and half its length in periods of the transition's width. They are for one
# edge, but there are two, at the cutoff and at minus the cutoff, whose ripples add up: 65 dB for one leave 60.
_EDGE_DB = 65.0
_BETA = 0.1102 * (_EDGE_DB - 8.7)
_HALF_PERIODS = (_EDGE_DB - 7.95) / 14.36 / 2


def low_pass(
    waveform: Tensor,
    *,
    cutoff_hz: Tensor,
    sample_rate: int,
    min_transition_hz: float = 10.0,
    lengths: Tensor | None = None,
) -> Tensor:
    """Take away what lies above each clip's cutoff.

        y(t) = Σ_k h(k) · x(t - k),    h(k) = 2c·sinc(2c·k)·kaiser(k / K) / Σ h,    c = cutoff / sample_rate

    The gain is ½ at the cutoff, 1 below 3/4 of it, -60 dB above 5/4 of it; a constant stays as it is. A transition that
    would reach past half the sample rate, that of a cutoff above 2/5 of it, folds back: the gain at the cutoff is more
    than ½ then, and 1 where the cutoff is half the sample rate. Before and after a clip its first and last sample are
    held: a clip that does not begin in silence gets no click.

    Args:
        waveform: (batch, channel, time), floating point.
        cutoff_hz: (batch,) in Hz, above 0; from half the sample rate on nothing is taken away.
        sample_rate: in Hz.
        min_transition_hz: narrowest transition, in Hz; it fixes the longest filter, 4 · sample_rate /
            min_transition_hz taps. A cutoff below twice that gets this one: flatter than said above.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Kaiser: Nonrecursive digital filter design using the I0-sinh window function, 1974.

    Example:
        >>> x = torch.tensor([[[0.0, 1.0] * 50]])
        >>> low_pass(x, cutoff_hz=torch.tensor([1000.0]), sample_rate=8000)[..., 48:52].round(decimals=2)
        tensor([[[0.5000, 0.5000, 0.5000, 0.5000]]])
    """
    check_waveform(waveform)
    if waveform.numel() == 0:
        return waveform.clone()
    taps = _low_pass_taps(cutoff_hz, cutoff_hz / 2, sample_rate=sample_rate, min_transition_hz=min_transition_hz)
    return _filter(waveform, taps, lengths)


def high_pass(
    waveform: Tensor,
    *,
    cutoff_hz: Tensor,
    sample_rate: int,
    min_transition_hz: float = 10.0,
    lengths: Tensor | None = None,
) -> Tensor:
    """Take away what lies below each clip's cutoff: all that :func:`low_pass` leaves.

        y = x - low_pass(x)

    A constant vanishes. So does everything where the cutoff is half the sample rate or more.

    Args:
        waveform: (batch, channel, time), floating point.
        cutoff_hz: (batch,) in Hz, above 0.
        sample_rate: in Hz.
        min_transition_hz: see :func:`low_pass`.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Kaiser: Nonrecursive digital filter design using the I0-sinh window function, 1974.

    Example:
        >>> x = torch.tensor([[[0.0, 1.0] * 50]])
        >>> high_pass(x, cutoff_hz=torch.tensor([1000.0]), sample_rate=8000)[..., 48:52].round(decimals=2)
        tensor([[[-0.5000,  0.5000, -0.5000,  0.5000]]])
    """
    check_waveform(waveform)
    if waveform.numel() == 0:
        return waveform.clone()
    taps = _low_pass_taps(cutoff_hz, cutoff_hz / 2, sample_rate=sample_rate, min_transition_hz=min_transition_hz)
    return _filter(waveform, torch.cat([1 - taps[:, :1], -taps[:, 1:]], dim=1), lengths)


def band_pass(
    waveform: Tensor,
    *,
    center_hz: Tensor,
    bandwidth_octaves: Tensor,
    sample_rate: int,
    min_transition_hz: float = 10.0,
    lengths: Tensor | None = None,
) -> Tensor:
    """Take away what lies outside of each clip's band.

        y = low_pass(x at center · 2^(bandwidth/2)) - low_pass(x at center · 2^(-bandwidth/2))

    The gain is ½ at both edges, as long as transitions lie below half the sample rate (see :func:`low_pass`). Both
    transitions are as wide as half the lower edge or half the band, whichever is less, so that the gain at the center
    is 1 in narrow bands too, and the filter longer.

    Args:
        waveform: (batch, channel, time), floating point.
        center_hz: (batch,) in Hz, above 0, the geometric mean of the edges.
        bandwidth_octaves: (batch,) above 0.
        sample_rate: in Hz. An edge from half of it on counts as half of it.
        min_transition_hz: see :func:`low_pass`.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Kaiser: Nonrecursive digital filter design using the I0-sinh window function, 1974.

    Example:
        >>> x = torch.tensor([[[0.0, 1.0] * 50]])
        >>> band = {"center_hz": torch.tensor([1000.0]), "bandwidth_octaves": torch.tensor([1.0])}
        >>> band_pass(x, **band, sample_rate=8000)[..., 48:52].abs().max() < 1e-3
        tensor(True)
    """
    check_waveform(waveform)
    if waveform.numel() == 0:
        return waveform.clone()
    half = torch.exp2(bandwidth_octaves / 2)
    low, high = center_hz / half, center_hz * half
    transition_hz = torch.minimum(low, high - low) / 2
    upper, lower = (
        _low_pass_taps(edge, transition_hz, sample_rate=sample_rate, min_transition_hz=min_transition_hz)
        for edge in (high, low)
    )
    return _filter(waveform, upper - lower, lengths)


def band_transition_hz(center_hz: float, bandwidth_octaves: float) -> float:
    """How wide the transitions of a band-pass are, in Hz, to give as ``min_transition_hz``.

    Example:
        >>> band_transition_hz(1000.0, 2.0), band_transition_hz(1000.0, 1.0)
        (250.0, 353.5533905932737)
    """
    half = math.pow(2.0, bandwidth_octaves / 2)
    return min(center_hz / half, center_hz * half - center_hz / half) / 2


def _low_pass_taps(cutoff_hz: Tensor, transition_hz: Tensor, *, sample_rate: int, min_transition_hz: float) -> Tensor:
    """(batch, taps) float32: the filters' middles and, after them, their second halves; they are symmetric."""
    cutoff, transition = (hz.double()[:, None] / sample_rate for hz in (cutoff_hz, transition_hz))
    half = (_HALF_PERIODS / transition).clamp(max=_HALF_PERIODS * sample_rate / min_transition_hz)
    if blocks.on_cpu(half):
        longest = math.floor(half.detach().max())
    else:
        longest = math.floor(_HALF_PERIODS * sample_rate / min_transition_hz)
    position = torch.arange(longest + 1, dtype=torch.float32, device=half.device)
    inside = 1 - (position / half.float()).square()
    window = torch.special.i0(_BETA * inside.clamp(min=1e-12).sqrt()) * (inside >= 0)
    taps: Tensor = torch.sinc(2 * cutoff.clamp(max=0.5).float() * position) * window
    total = 2 * taps.sum(dim=1, keepdim=True) - taps[:, :1]
    return taps / total


def _filter(waveform: Tensor, taps: Tensor, lengths: Tensor | None) -> Tensor:
    """Each clip convolved with its symmetric filter, of which the middle and the second half are given."""
    clean = at_least_float32(waveform)
    batch, num_channels, num_samples = waveform.shape
    taps = taps.to(clean.dtype)
    if blocks.on_cpu(clean) and not (torch.is_grad_enabled() and (clean.requires_grad or taps.requires_grad)):
        filtered = torch.empty_like(clean)
        each = [num_samples] * batch if lengths is None else lengths.clamp(0, num_samples).tolist()
        for clip, own_taps, own_filtered, length in zip(clean, taps, filtered, each, strict=True):
            # Short filters take short FFTs. Few different lengths, so that one cut serves many clips.
            reach = int(own_taps.nonzero().max()) if own_taps.any() else 0
            half = min(-(-reach // 64) * 64, len(own_taps) - 1)
            both_sides = _both_sides(own_taps[None, : half + 1]).expand(num_channels, -1)
            own_filtered.copy_(
                overlap_save(clip, both_sides, lengths=[length] * num_channels, advance=half, hold_edges=True)
            )
        return filtered.to(waveform.dtype)
    half = taps.shape[1] - 1
    taps = _both_sides(taps)
    valid = None if lengths is None else valid_samples(lengths, num_samples)
    signal, last = clean, clean[..., -1:]
    if lengths is not None and valid is not None:
        end = (lengths - 1).clamp(0, num_samples - 1)[:, None, None].expand(-1, num_channels, 1)
        last = clean.gather(2, end)
        signal = torch.where(valid, clean, last)
    signal = torch.cat([clean[..., :1].expand(-1, -1, half), signal, last.expand(-1, -1, half)], dim=2)
    # What wraps around falls on the first 2 · half samples, which are not kept.
    n_fft = fast_fft_length(signal.shape[-1])
    spectrum = torch.fft.rfft(signal, n=n_fft) * torch.fft.rfft(taps, n=n_fft)[:, None]
    whole: Tensor = torch.fft.irfft(spectrum, n=n_fft)[..., 2 * half : 2 * half + num_samples]
    if valid is not None:
        whole = torch.where(valid, whole, clean)
    return whole.to(waveform.dtype)


def _both_sides(taps: Tensor) -> Tensor:
    """Symmetric filters of which the middle and the second half are given."""
    return torch.cat([taps.flip(1)[:, :-1], taps], dim=1)
