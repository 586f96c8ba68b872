"""Two clips made one, sample by sample."""

import math

import numpy as np

from tonearm.gpu_augment.reference.array import Array


def mixup(clip: Array, partner: Array, *, weight: float, length: int, partner_length: int) -> Array:
    """The weighted sum; a clip is silent after its end."""
    mixed = clip.copy()
    for t in range(max(length, partner_length)):
        own = clip[:, t] if t < length else 0.0
        other = partner[:, t] if t < partner_length else 0.0
        mixed[:, t] = weight * own + (1 - weight) * other
    return mixed


def a_weighted_loudness_db(clip: Array, *, sample_rate: int, length: int, silence_db: float = -140.0) -> float:
    """The A-weighted level of the loudest window, in dB below a sine of amplitude 1 at 1 kHz."""
    n_fft = 2 ** round(math.log2(0.1 * sample_rate))
    hann = np.array([math.sin(math.pi * t / n_fft) ** 2 for t in range(n_fft)])
    loudest = 0.0
    for begin in range(0, max(1, length), n_fft // 2):
        power = 0.0
        for channel in clip[:, :length]:
            window = np.zeros(n_fft)
            window[: len(channel[begin : begin + n_fft])] = channel[begin : begin + n_fft]
            spectrum = np.fft.fft(hann * window)
            for k in range(n_fft):
                square = float(min(k, n_fft - k) * sample_rate / n_fft) ** 2  # of the frequency
                weight = 12194.217**2 * square**2 / (square + 20.598997**2) / (square + 12194.217**2)
                weight /= math.sqrt((square + 107.65265**2) * (square + 737.86223**2))
                power += abs(spectrum[k] * weight * 10 ** (2.0 / 20)) ** 2 / n_fft / len(clip)
        loudest = max(loudest, power / sum(hann**2))
    return max(silence_db, 10 * math.log10(2 * loudest)) if loudest > 0 else silence_db


def between_class_mixup(
    clip: Array, partner: Array, *, ratio: float, sample_rate: int, length: int, partner_length: int
) -> Array:
    """The weighted sum in which both are heard as ratio to 1 - ratio, with the energy of one."""
    own_db = a_weighted_loudness_db(clip, sample_rate=sample_rate, length=length)
    other_db = a_weighted_loudness_db(partner, sample_rate=sample_rate, length=partner_length)
    difference_db = 0.0 if -140.0 in (own_db, other_db) else own_db - other_db
    p = 0.0 if ratio == 0 else 1 / (1 + 10 ** (difference_db / 20) * (1 - ratio) / ratio)
    mixed = mixup(clip, partner, weight=p, length=length, partner_length=partner_length)
    mixed[:, : max(length, partner_length)] /= math.sqrt(p**2 + (1 - p) ** 2)
    return mixed


def cutmix(clip: Array, partner: Array, *, start: int, width: int, length: int, partner_length: int) -> Array:
    """The clip with an interval of the partner; either is silent after its end."""
    mixed = clip.copy()
    for t in range(max(length, partner_length)):
        source, source_length = (partner, partner_length) if start <= t < start + width else (clip, length)
        mixed[:, t] = source[:, t] if t < source_length else 0.0
    return mixed
