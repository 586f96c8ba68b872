"""What is done to spectra, frame by frame and bin by bin."""

import math

import numpy as np
from numpy.typing import NDArray

from tonearm.gpu_augment.reference.array import Array


def _hann(distance: NDArray[np.floating], n_fft: int) -> Array:
    """The window at distances from a frame's middle."""
    return np.where(np.abs(distance) < n_fft / 2, 0.5 + 0.5 * np.cos(2 * math.pi * distance / n_fft), 0.0)


def _spectra(samples: Array, *, n_fft: int, hop_length: int, num_frames: int) -> list[NDArray[np.complex128]]:
    """One spectrum for each frame; frame m is centred on sample m · hop_length, and beyond the samples is silence."""
    around = np.concatenate([np.zeros(n_fft // 2), samples, np.zeros(num_frames * hop_length + n_fft)])
    window = _hann(np.arange(n_fft) - n_fft / 2, n_fft)
    return [np.fft.rfft(around[m * hop_length : m * hop_length + n_fft] * window) for m in range(num_frames)]


def _num_frames(num_samples: int, n_fft: int, hop_length: int) -> int:
    return (num_samples + n_fft // 2 - 1) // hop_length + 1


def _joined(
    spectra: list[NDArray[np.complex128]], positions: NDArray[np.floating], *, n_fft: int, hop_length: int
) -> Array:
    """The frames' sum, windowed once more, over that of the squared windows, at positions between samples, too."""
    signal, squares = np.zeros(len(positions)), np.zeros(len(positions))
    bins = np.arange(n_fft // 2 + 1)
    once = np.where((bins == 0) | (2 * bins == n_fft), 1.0, 2.0)  # the others stand for their mirror images, too
    for k, spectrum in enumerate(spectra):
        distance = positions - k * hop_length
        near = np.flatnonzero(np.abs(distance) < n_fft / 2)
        waves = np.exp(2j * math.pi * np.outer(distance[near] + n_fft / 2, bins) / n_fft)
        window = _hann(distance[near], n_fft)
        signal[near] += window * (waves @ (once * spectrum)).real / n_fft
        squares[near] += window**2
    return signal / squares


def _read_faster(
    spectra: list[NDArray[np.complex128]], *, rate: float, num_frames: int
) -> list[NDArray[np.complex128]]:
    """The phase vocoder, from its definition; a bin that is 0 has no phase."""
    silent = np.zeros_like(spectra[0])
    padded = [*spectra, silent, silent]

    def at(index: int) -> NDArray[np.complex128]:
        return padded[min(index, len(padded) - 1)]

    read = []
    phase = np.angle(spectra[0])
    behind = np.zeros_like(phase)
    for k in range(num_frames):
        i, weight = int(k * rate), k * rate - int(k * rate)
        if k > 0:
            before = int((k - 1) * rate)
            known = (at(before + 1) != 0) & (at(i) != 0)
            # What the output's phase is ahead of the input's grows by the step that was made and not read.
            step = np.where(known, np.angle(at(before + 1)) - np.angle(at(i)), 0.0)
            behind = behind + step
            phase = np.angle(at(i)) + behind
        magnitude = (1 - weight) * np.abs(at(i)) + weight * np.abs(at(i + 1))
        read.append(np.where(at(i) != 0, magnitude * np.exp(1j * phase), 0.0))
    return read


def time_stretch(clip: Array, *, rate: float, n_fft: int, hop_length: int, length: int) -> Array:
    """As wide as the clip, and zero beyond length / rate."""
    width = clip.shape[1]
    end = min(round(length / rate), width)
    num_frames = _num_frames(width, n_fft, hop_length)
    stretched = np.zeros_like(clip)
    for samples, out in zip(clip, stretched, strict=True):
        own = _num_frames(length, n_fft, hop_length)
        spectra = _spectra(samples[:length], n_fft=n_fft, hop_length=hop_length, num_frames=own)
        read = _read_faster(spectra, rate=rate, num_frames=num_frames)
        out[:end] = _joined(read, np.arange(end, dtype=np.float64), n_fft=n_fft, hop_length=hop_length)
    return stretched


def pitch_shift(clip: Array, *, semitones: float, n_fft: int, hop_length: int, length: int) -> Array:
    """The clip stretched, its spectra without what would pass the Nyquist frequency, and read between the samples."""
    factor = 2 ** (semitones / 12)
    num_frames = _num_frames(math.ceil(factor * length) + 2, n_fft, hop_length)
    shifted = clip.copy()
    for samples, out in zip(clip, shifted, strict=True):
        own = _num_frames(length, n_fft, hop_length)
        spectra = _spectra(samples[:length], n_fft=n_fft, hop_length=hop_length, num_frames=own)
        read = _read_faster(spectra, rate=1 / factor, num_frames=num_frames)
        for spectrum in read:
            spectrum[[b * max(1.0, factor) >= n_fft // 2 for b in range(n_fft // 2 + 1)]] = 0.0
        out[:length] = _joined(read, factor * np.arange(length), n_fft=n_fft, hop_length=hop_length)
    return shifted


def frequency_shift(clip: Array, *, shift_hz: float, sample_rate: int, length: int, n_fft: int) -> Array:
    """A sum of cosines of period n_fft, each moved, but for those that would leave the band."""
    shifted = clip.copy()
    t = np.arange(length)
    for samples, out in zip(clip, shifted, strict=True):
        spectrum = np.fft.rfft(samples[:length], n=n_fft)
        out[:length] = 0.0
        for b, value in enumerate(spectrum):
            frequency = b / n_fft + shift_hz / sample_rate
            if 0.0 <= frequency <= 0.5:
                once = 1 if b == 0 or 2 * b == n_fft else 2
                out[:length] += once * abs(value) / n_fft * np.cos(2 * math.pi * frequency * t + np.angle(value))
    return shifted


def phase_noise(clip: Array, angles: Array, *, n_fft: int, hop_length: int, length: int) -> Array:
    """The clip with its bins turned by (channel, frames, bins) angles."""
    noisy = clip.copy()
    for samples, own, out in zip(clip, angles, noisy, strict=True):
        spectra = _spectra(samples[:length], n_fft=n_fft, hop_length=hop_length, num_frames=len(own))
        turned = [spectrum * np.exp(1j * angle) for spectrum, angle in zip(spectra, own, strict=True)]
        out[:length] = _joined(turned, np.arange(length, dtype=np.float64), n_fft=n_fft, hop_length=hop_length)
    return noisy
