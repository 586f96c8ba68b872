"""Noise whose spectrum falls or rises with frequency, made from random bins of an inverse FFT.

    piece 0   ├───────────────╲
    piece 1               ╱───────────────╲
    piece 2                           ╱────────────── …

One FFT over a whole clip leaves the cache and is several times slower than many over pieces of it. So the noise is made
of independent pieces, each one period of an FFT, faded into each other by sine and cosine, whose squares add up to 1:
the power stays the same all along, and nothing repeats.
"""

import math

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.counter import gaussian, random_bits

# By which power of the frequency the amplitude goes
COLORS = {"white": 0.0, "pink": -0.5, "brown": -1.0, "blue": 0.5, "violet": 1.0}
LOWEST = 1 / 2048  # of the sample rate; coloured noise has nothing below
_PIECE = 1 << 15  # samples of an FFT
_FADE = 1 << 12
_HOP = _PIECE - _FADE


def check_color(color: object) -> None:
    """Refuse anything but the name of a colour."""
    if not isinstance(color, str) or color not in COLORS:
        raise RequestError(f"color: got {color!r}, may be {', '.join(map(repr, COLORS))}.")


def colored_noise(keys: Tensor, *, color: str, num_channels: int, num_samples: int) -> Tensor:
    """Coloured noise of deviation 1, independent from channel to channel and key to key.

        amplitude(f) ∝ f^a for f ≥ sample_rate / 2048, and 0 below;    power changes by 6.02·a dB an octave
        white a = 0, pink -1/2, brown -1, blue 1/2, violet 1

    The lower end (21.5 Hz at 44.1 kHz) is there because nearly all power of brown noise would otherwise lie in the
    lowest frequency that fits into the clip, a drift that nobody hears, and a signal-to-noise ratio would be that of
    the drift; so noise also is the same for clips of any length. White noise has no end, and is
    :func:`~tonearm.gpu_augment.functional.noise.white_noise`.

    The bins' real and imaginary parts are uniform over 256 values, so that a hash serves two bins. A sample is a sum
    over thousands of them, and Gaussian by the central limit theorem, in clips of one sample too; it is farthest from
    that in brown noise, where few bins carry the power: an excess kurtosis of about -0.02.

    Args:
        keys: (batch, 2) int32; equal keys give equal noise, on every device to the rounding of an FFT.
        color: "white", "pink", "brown", "blue" or "violet".
        num_channels: channels of a clip.
        num_samples: samples of a channel.

    Returns:
        (batch, num_channels, num_samples) float32 on the keys' device.

    Raises:
        RequestError: color is none of these.

    Reference:
        Timmer, König: On generating power law noise, 1995 (random bins and an inverse FFT; there bins are Gaussian, and
        one FFT makes all of the noise).

    Example:
        >>> colored_noise(torch.tensor([[1, 2]], dtype=torch.int32), color="pink", num_channels=1, num_samples=4).shape
        torch.Size([1, 1, 4])
    """
    check_color(color)
    batch = len(keys)
    if color == "white":
        return gaussian(keys, num_channels * num_samples).reshape(batch, num_channels, num_samples)
    weights, fade_in, fade_out = _weights(color, _PIECE, keys.device), *_fades(keys.device)
    num_pieces = max(1, math.ceil((num_samples - _FADE) / _HOP))
    numbers = _numbers(keys, num_channels * num_pieces * len(weights))
    noise = torch.empty(batch, num_channels, num_samples, device=keys.device)
    if noise.numel() == 0:  # which no FFT takes
        return noise
    for some, own in zip(noise, numbers, strict=True) if blocks.on_cpu(keys) else [(noise, numbers)]:
        spectra = _spectra(own.unflatten(-1, (num_channels, num_pieces, len(weights))), weights)
        _write(some, torch.fft.irfft(spectra, n=_PIECE, norm="forward"), fade_in, fade_out)
    return noise


def circular_noise(num_samples: int, *, color: str, keys: Tensor) -> Tensor:
    """One period of coloured noise, as long as wanted, that goes on at its beginning without a seam.

    Args:
        num_samples: of the period.
        color: as for :func:`colored_noise`.
        keys: (batch, 2) int32.

    Returns:
        (batch, num_samples) float32, of deviation 1.
    """
    check_color(color)
    if color == "white":
        return gaussian(keys, num_samples)
    weights = _weights(color, num_samples, keys.device)
    spectra = _spectra(_numbers(keys, len(weights)), weights)
    period: Tensor = torch.fft.irfft(spectra, n=num_samples, norm="forward")
    return period


def _weights(color: str, n_fft: int, device: torch.device) -> Tensor:
    """(2 · bins,) float32: what the two numbers of each bin are multiplied by, for noise of deviation 1."""
    frequency = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device=device) / n_fft
    amplitude = torch.where(frequency < LOWEST, 0.0, frequency.clamp(min=LOWEST) ** COLORS[color])
    # A bin's numbers are uniform over 2⁸ values, of variance 2¹⁶/12, and each counts as 2·cos or 2·sin, of mean square
    # 2, in all samples; that the last bin counts less does not matter.
    amplitude *= torch.rsqrt(4 * 2**16 / 12 * amplitude.square().sum())
    return amplitude.float().repeat_interleave(2)


def _numbers(keys: Tensor, count: int) -> Tensor:
    """(batch, count) int8, uniform."""
    return random_bits(keys, -(-count // 4)).view(torch.int8)[:, :count]


def _spectra(numbers: Tensor, weights: Tensor) -> Tensor:
    """(…, bins) complex64 from (…, 2 · bins) int8, which lie half a step below those that are symmetric about 0."""
    return torch.view_as_complex(torch.addcmul(0.5 * weights, numbers.float(), weights).unflatten(-1, (-1, 2)))


def _fades(device: torch.device) -> tuple[Tensor, Tensor]:
    """What a piece's beginning and the end of the piece before it are multiplied by."""
    angle = (torch.arange(_FADE, device=device) + 0.5) * (math.pi / 2 / _FADE)
    return angle.sin(), angle.cos()


def _write(noise: Tensor, pieces: Tensor, fade_in: Tensor, fade_out: Tensor) -> None:
    """Into (…, num_samples), the (…, pieces, _PIECE) faded into each other, which are written to as well."""
    pieces[..., 1:, :_FADE].mul_(fade_in).addcmul_(pieces[..., :-1, _HOP:], fade_out)
    last = (pieces.shape[-2] - 1) * _HOP
    noise[..., :last].unflatten(-1, (-1, _HOP)).copy_(pieces[..., :-1, :_HOP])
    noise[..., last:] = pieces[..., -1, : noise.shape[-1] - last]
