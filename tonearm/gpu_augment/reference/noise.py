"""Sounds that are added, sample by sample, and how they are made."""

import math

import numpy as np

from tonearm.gpu_augment.reference.array import Array
from tonearm.gpu_augment.reference.counter import random_bits


def add_noise(clip: Array, noise: Array, *, snr_db: float, length: int) -> Array:
    """The clip with noise at a ratio of powers over the valid samples."""
    signal_power = np.mean(clip[:, :length] ** 2) if length else 0.0
    noise_power = np.mean(noise[:, :length] ** 2) if length else 0.0
    noisy = clip.copy()
    if noise_power > 0:
        noisy[:, :length] += noise[:, :length] * math.sqrt(signal_power / noise_power / 10 ** (snr_db / 10))
    return noisy


def add_gaussian_noise(clip: Array, noise: Array, *, deviation: float, length: int) -> Array:
    """The clip with standard normal noise times a deviation on the valid samples."""
    noisy = clip.copy()
    noisy[:, :length] += deviation * noise[:, :length]
    return noisy


def noise_period(numbers: list[int], num_samples: int, *, exponent: float) -> Array:
    """One period of noise whose amplitude goes with a power of the frequency, from numbers of -128 to 127.

    Two numbers make a bin: they and the half that is missing for them to be symmetric about 0 are uniform, of variance
    2^16 / 12. Nothing is below 1/2048 of the sample rate. The deviation is 1.
    """
    bins, power = np.zeros(num_samples // 2 + 1, complex), 0.0
    for k in range(len(bins)):
        if k / num_samples >= 1 / 2048:
            amplitude = (k / num_samples) ** exponent
            bins[k] = amplitude * complex(numbers[2 * k] + 0.5, numbers[2 * k + 1] + 0.5)
            power += 2 * amplitude**2 * 2 * 2**16 / 12  # it stands for two, itself and its conjugate
    return np.fft.irfft(bins, n=num_samples) * num_samples / math.sqrt(power)


def bytes_of(words: list[int]) -> list[int]:
    """The four signed bytes of each 32-bit word, lowest first."""
    unsigned = [word >> shift & 0xFF for word in words for shift in (0, 8, 16, 24)]
    return [byte - 256 if byte > 127 else byte for byte in unsigned]


def colored_noise(
    key: tuple[int, int], *, exponent: float, num_channels: int, num_samples: int, piece: int = 2**15, fade: int = 2**12
) -> Array:
    """(channel, time): periods of noise, each going over into the next within ``fade`` samples."""
    hop, numbers_a_piece = piece - fade, 2 * (piece // 2 + 1)
    num_pieces = max(1, math.ceil((num_samples - fade) / hop))
    count = num_channels * num_pieces * numbers_a_piece
    numbers = bytes_of(random_bits(key, math.ceil(count / 4)))
    noise = np.zeros((num_channels, num_pieces * hop + fade))
    for channel in range(num_channels):
        for place in range(num_pieces):
            begin = (channel * num_pieces + place) * numbers_a_piece
            period = noise_period(numbers[begin : begin + numbers_a_piece], piece, exponent=exponent)
            for t in range(fade):
                quarter_turn = math.pi / 2 * (t + 0.5) / fade
                if place > 0:
                    period[t] *= math.sin(quarter_turn)
                if place < num_pieces - 1:
                    period[hop + t] *= math.cos(quarter_turn)
            noise[channel, place * hop : place * hop + piece] += period
    return noise[:, :num_samples]


def excerpt(sound: Array, *, start: int, num_samples: int, loop: bool) -> Array:
    """(time,) of a sound (time,) from a sample on; after its end it begins again, or is silent."""
    places = [start + t for t in range(num_samples)]
    return np.array([sound[place % len(sound)] if loop or place < len(sound) else 0.0 for place in places])


def sine(*, cycles_per_sample: float, phase: float, num_samples: int) -> Array:
    """(time,) of a sine whose phase is given in cycles."""
    return np.array([math.sin(2 * math.pi * (cycles_per_sample * t + phase)) for t in range(num_samples)])
