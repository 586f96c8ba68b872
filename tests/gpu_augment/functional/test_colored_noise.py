"""The slope of each colour, down to where it ends; levels, independence, and the slow version."""

import math

import numpy as np
import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.colored_noise import (
    _FADE,
    _HOP,
    _PIECE,
    COLORS,
    LOWEST,
    circular_noise,
    colored_noise,
)
from tonearm.gpu_augment.reference import noise as reference

SAMPLE_RATE = 44_100
SLOPES = {"white": 0.0, "pink": -3.01, "brown": -6.02, "blue": 3.01, "violet": 6.02}  # dB an octave
SLOPE_TOLERANCE = 0.1  # dB an octave; the fit's own deviation is a fifth of it
FFT_ROUNDING = 2e-5  # of float32 FFTs of 32768 samples of deviation 1
COLORED = [color for color in COLORS if color != "white"]
FIVE_SECONDS = 220_500

every_color = pytest.mark.parametrize("color", COLORS)


def keys(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(-(2**31), 2**31, (count, 2), generator=seeded(seed)).to(torch.int32)


def octave_levels(noise: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean power in thirds of an octave from 40 Hz to 20 kHz, in dB, by windowed periodograms of 16384 samples."""
    frames = noise.double().unfold(-1, 16_384, 8192) * torch.hann_window(16_384, dtype=torch.float64)
    power = torch.fft.rfft(frames).abs().square().flatten(0, -2).mean(dim=0).numpy()
    frequency = np.arange(len(power)) * SAMPLE_RATE / 16_384
    centres = 40 * 2 ** (np.arange(27) / 3)
    bands = [(frequency >= c * 2 ** (-1 / 6)) & (frequency < c * 2 ** (1 / 6)) for c in centres]
    # Each bin on its band's centre by the law that is asked for would be circular; the mean frequency in dB is not.
    middle = np.array([np.log2(frequency[band]).mean() for band in bands])
    return middle, np.array([(10 * np.log10(power[band])).mean() for band in bands])


@every_color
def test_the_slope_is_that_of_the_colour_in_every_part_of_the_spectrum(color):
    octave, level = octave_levels(colored_noise(keys(12), color=color, num_channels=1, num_samples=FIVE_SECONDS))
    for part in (slice(0, 27), slice(6, 17), slice(16, 27)):  # all; 160 Hz to 1.6 kHz; 1.6 to 16 kHz
        slope = np.polyfit(octave[part], level[part], 1)[0]
        assert slope == pytest.approx(SLOPES[color], abs=SLOPE_TOLERANCE)
    residue = level - np.polyval(np.polyfit(octave, level, 1), octave)
    assert np.abs(residue).max() < 0.5  # dB: no bump where pieces meet


@pytest.mark.parametrize("color", COLORED)
def test_there_is_nothing_at_the_lowest_frequencies(color):
    noise = colored_noise(keys(4), color=color, num_channels=1, num_samples=FIVE_SECONDS).double()
    power = torch.fft.rfft(noise * torch.hann_window(FIVE_SECONDS, dtype=torch.float64)).abs().square().mean(dim=(0, 1))
    edge = round(LOWEST * FIVE_SECONDS)
    below, above = power[: edge // 4].mean(), power[edge : 2 * edge].mean()
    allowed = {"pink": -25, "brown": -25, "blue": -12, "violet": 0}  # dB; the fades spread a little of the rest
    assert 10 * math.log10(below / above) < allowed[color]
    assert 10 * math.log10(power[: edge // 4].sum() / power.sum()) < -30


@every_color
def test_the_deviation_is_1_and_the_same_all_along(color):
    noise = colored_noise(keys(200), color=color, num_channels=1, num_samples=2 * _PIECE).double()[:, 0]
    assert noise.square().mean().sqrt() == pytest.approx(1, abs=0.005)
    # Power in sixteenths of a piece, over the fades too: a mean of 200 clips of 2048 samples. In brown noise some 12
    # numbers carry such a part, so that 5 deviations are 5 · √(2 / (200 · 12)).
    power = noise.unflatten(1, (-1, 2048)).square().mean(dim=(0, 2))
    assert (power - 1).abs().max() < (0.15 if color == "brown" else 0.05)


@every_color
def test_the_distribution_is_gaussian(color):
    for clips, samples in ((2000, 1), (200, 1000), (20, 40_000)):
        noise = colored_noise(keys(clips), color=color, num_channels=1, num_samples=samples).double().flatten(1)
        ranks = noise[:, ::50].flatten().sort().values  # neighbours know of each other
        count = len(ranks)
        normal = torch.special.ndtr(ranks / noise.square().mean().sqrt())
        distance = (normal - (torch.arange(count) + 0.5) / count).abs().max()
        effective = count / 12 if color == "brown" and samples > 1 else count
        assert distance < 1.95 / effective**0.5  # Kolmogorov and Smirnov's, 1 in 1000


def test_the_kurtosis_of_the_colour_with_the_fewest_bins_is_nearly_a_gaussians():
    noise = colored_noise(keys(200), color="brown", num_channels=1, num_samples=FIVE_SECONDS).double()
    kurtosis = (noise**4).mean() / noise.square().mean() ** 2 - 3
    assert -0.06 < kurtosis < 0.02


@every_color
def test_nothing_repeats_and_channels_and_clips_have_nothing_in_common(color):
    noise = colored_noise(keys(3), color=color, num_channels=2, num_samples=FIVE_SECONDS).double().flatten(0, 1)
    # The correlation at all shifts at once. Of brown noise a clip holds some 5 s · 2 · 22 Hz · π/2 independent numbers.
    size = 2 * FIVE_SECONDS
    spectra = torch.fft.rfft(noise, n=size)
    largest = 0.35 if color == "brown" else 0.05
    for first in range(6):
        for second in range(first, 6):
            correlation = torch.fft.irfft(spectra[first] * spectra[second].conj(), n=size) / FIVE_SECONDS
            if first == second:
                correlation[:4096] = correlation[-4096:] = 0  # a colour is what neighbours know of each other
            assert correlation.abs().max() < largest


@every_color
@pytest.mark.parametrize("samples", [0, 1, 2, 999, _FADE, _FADE + 1, _PIECE, _PIECE + 1, _PIECE + _HOP + 1])
def test_it_is_the_slow_version(color, samples):
    got = colored_noise(keys(2), color=color, num_channels=2, num_samples=samples)
    assert got.shape == (2, 2, samples) and got.dtype == torch.float32
    if color == "white" or samples == 0:
        return
    key = tuple(keys(2)[1].tolist())
    expected = reference.colored_noise(key, exponent=COLORS[color], num_channels=2, num_samples=samples)
    np.testing.assert_allclose(got[1], expected, rtol=0, atol=FFT_ROUNDING)


@every_color
@pytest.mark.parametrize("samples", [1, 1000, 70_001])
def test_one_clip_after_the_other_gives_what_all_at_once_give(color, samples, monkeypatch):
    by_clip = colored_noise(keys(3), color=color, num_channels=2, num_samples=samples)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    at_once = colored_noise(keys(3), color=color, num_channels=2, num_samples=samples)
    torch.testing.assert_close(by_clip, at_once, rtol=0, atol=FFT_ROUNDING)


@every_color
def test_it_compiles_and_no_autocast_touches_it(color):
    torch._dynamo.reset()
    expected = colored_noise(keys(2), color=color, num_channels=1, num_samples=5000)
    compiled = torch.compile(colored_noise, fullgraph=True, backend="aot_eager")
    got = compiled(keys(2), color=color, num_channels=1, num_samples=5000)
    torch.testing.assert_close(got, expected, rtol=0, atol=FFT_ROUNDING)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(colored_noise(keys(2), color=color, num_channels=1, num_samples=5000), expected)


@pytest.mark.parametrize("shape", [(0, 1, 10), (2, 0, 10), (2, 1, 0)])
@every_color
def test_nothing_is_made_of_nothing(color, shape):
    assert colored_noise(keys(shape[0]), color=color, num_channels=shape[1], num_samples=shape[2]).shape == shape


@pytest.mark.parametrize("color", COLORED)
@pytest.mark.parametrize("samples", [4096, 5001])
def test_a_period_is_the_slow_version(color, samples):
    words = [int(word) & 0xFFFFFFFF for word in _bits(samples)]
    expected = reference.noise_period(reference.bytes_of(words), samples, exponent=COLORS[color])
    got = circular_noise(samples, color=color, keys=keys(1))[0]
    np.testing.assert_allclose(got, expected, rtol=0, atol=FFT_ROUNDING)


def _bits(samples: int) -> list[int]:
    from tonearm.gpu_augment.reference.counter import random_bits

    return random_bits(tuple(keys(1)[0].tolist()), -(-2 * (samples // 2 + 1) // 4))


@pytest.mark.parametrize("color", ["red", "", None, 1])
def test_other_colours_are_refused(color):
    for make in (
        lambda: colored_noise(keys(1), color=color, num_channels=1, num_samples=5),
        lambda: circular_noise(5, color=color, keys=keys(1)),
    ):
        with pytest.raises(RequestError, match=r"color: got .*, may be 'white', 'pink', 'brown', 'blue', 'violet'"):
            make()
