"""Reading between samples: the kernels' exactness and their levels in dB, and one rate at a time against any."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicHermiteSpline
from scipy.signal import resample

from tonearm.errors import RequestError
from tonearm.gpu_augment.functional import interpolation as module
from tonearm.gpu_augment.functional.interpolation import (
    KAISER_BETA,
    PHASES,
    ROLL_OFF,
    ZERO_CROSSINGS,
    Player,
    check_interpolation,
    half_width,
    interpolate,
    player,
    sinc_tables,
)

FLOAT64_ROUNDING = 1e-12
FLOAT32_ROUNDING = 2e-6
TABLE_ERROR = 1.1e-6  # (π·c)² / 24 / 512², c the roll-off: the most that a line misses the kernel by between two rows
STOP_BAND_DB = -70.0  # what the module promises
PASS_BAND_DB = 0.1
PASS_BAND = 0.75  # of the Nyquist frequency of what is slower, the input or the output
ANALYSIS_SAMPLES = 8192
BINS_A_RATE = 8 * ANALYSIS_SAMPLES  # so fine that a peak between two bins loses less than 0.01 dB
CHARACTERS = ("linear", "cubic", "sinc")


def read(samples: torch.Tensor, position: torch.Tensor, interpolation: str, *, rate: float = 1.0) -> torch.Tensor:
    """(n,) of (time,) at (n,) positions."""
    rates = torch.tensor([[rate]], dtype=torch.float64)
    last = torch.tensor([[len(samples) - 1]])
    return interpolate(
        samples[None, None],
        position.double()[None].clamp(0, len(samples) - 1),
        last=last,
        interpolation=interpolation,
        rates=rates,
        max_rate=rate,
    )[0, 0]


def levels_db(frequency: float, rate: float, interpolation: str) -> np.ndarray:
    """The spectrum of what becomes of a sine of amplitude 1, ``BINS_A_RATE`` bins a sample rate; frequency in those."""
    margin = 100  # samples of the input, more than the widest kernel reads before the first
    x = torch.sin(2 * torch.pi * frequency * torch.arange(int(ANALYSIS_SAMPLES * rate) + 2 * margin).double())
    y = read(x, margin + rate * torch.arange(ANALYSIS_SAMPLES), interpolation, rate=rate)
    window = torch.from_numpy(np.kaiser(ANALYSIS_SAMPLES, 14.0))  # side lobes 100 dB down and more
    return (20 * (torch.fft.rfft(y * window, n=BINS_A_RATE).abs() * 2 / window.sum()).log10()).numpy()


def level_at(frequency: float, levels: np.ndarray) -> float:
    """The level of a component, known by its frequency, be it folded or not."""
    place = round(abs(frequency - round(frequency)) * BINS_A_RATE)
    return float(levels[max(place - 8, 0) : place + 9].max())


@pytest.mark.parametrize("interpolation", CHARACTERS)
@pytest.mark.parametrize("rate", [0.6, 1.0, 1.7])
def test_a_constant_stays_constant_up_to_the_ends(interpolation, rate):
    samples = torch.full((50,), 0.7, dtype=torch.float64)
    constant = read(samples, torch.linspace(0, 49, 333), interpolation, rate=rate)
    torch.testing.assert_close(constant, torch.full_like(constant, 0.7), rtol=0, atol=FLOAT64_ROUNDING)


def test_linear_is_numpys_interp_and_cubic_scipys_hermite_spline():
    samples = torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    position = torch.linspace(1, 58, 999, dtype=torch.float64)
    x, at = samples.numpy(), position.numpy()
    np.testing.assert_allclose(
        read(samples, position, "linear"), np.interp(at, np.arange(60), x), atol=FLOAT64_ROUNDING
    )
    spline = CubicHermiteSpline(np.arange(1, 59), x[1:-1], (x[2:] - x[:-2]) / 2)
    np.testing.assert_allclose(read(samples, position, "cubic"), spline(at), rtol=0, atol=FLOAT64_ROUNDING)


def test_cubic_is_exact_for_a_parabola():
    n = torch.arange(40, dtype=torch.float64)
    position = torch.linspace(1, 37.9, 500, dtype=torch.float64)
    parabola = read(0.1 * n**2 - n + 3, position, "cubic")
    torch.testing.assert_close(parabola, 0.1 * position**2 - position + 3, rtol=0, atol=FLOAT64_ROUNDING * 1e2)


def test_sinc_gives_what_lies_between_the_samples_of_a_band_limited_signal():
    """scipy's resample is exact for a periodic signal; ours lacks what is 70 dB down and ripples as much."""
    generator = torch.Generator().manual_seed(0)
    spectrum = torch.randn(513, dtype=torch.complex128, generator=generator)
    spectrum[0] = 0.0
    spectrum[int(PASS_BAND * 512) :] = 0.0
    period = torch.fft.irfft(spectrum)
    finer = torch.from_numpy(resample(period.numpy(), 4 * 1024))
    ours = read(period.repeat(3), 1024 + torch.arange(4 * 1024) / 4, "sinc")
    error_db = 20 * torch.log10((ours - finer).square().mean().sqrt() / finer.square().mean().sqrt())
    assert error_db < -60  # 10 dB more than a single image: it takes the ripple and all images together


@pytest.mark.parametrize("rate", [1.1, 1.25, 2.0])
def test_sinc_lets_nothing_fold_back(rate):
    for frequency in np.linspace(0.5 / rate, 0.499, 23):
        assert levels_db(frequency, rate, "sinc").max() < STOP_BAND_DB


@pytest.mark.parametrize("rate", [0.45, 0.8, 0.93])
def test_sinc_leaves_no_images(rate):
    """The image of a sine at f lies at 1 - f of the input; at a slower rate it may come out below Nyquist."""
    for frequency in (0.05, 0.2, 0.3, 0.41, 0.47):
        levels = levels_db(frequency, rate, "sinc")
        assert level_at((1 - frequency) * rate, levels) < STOP_BAND_DB
        assert level_at((1 + frequency) * rate, levels) < STOP_BAND_DB


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.0, 1.25, 2.0])
def test_sinc_keeps_the_pass_band(rate):
    for frequency in np.linspace(0.02, PASS_BAND * 0.5 / max(1.0, rate), 9):
        assert abs(level_at(frequency * rate, levels_db(frequency, rate, "sinc"))) < PASS_BAND_DB


@pytest.mark.parametrize("frequency", [0.1, 0.3, 0.408])
def test_linear_folds_and_dulls_as_its_kernel_says(frequency):
    """The transform of the triangle is sinc²; 0.3 and 0.408 (18 kHz of 44.1) come out at 1 - 1.9·frequency."""
    level = level_at(1.9 * frequency, levels_db(frequency, 1.9, "linear"))
    assert level == pytest.approx(20 * np.log10(np.sinc(frequency) ** 2), abs=0.05)


def test_images_of_treble_are_weaker_the_better_the_kernel():
    linear, cubic, sinc = (level_at(0.8 * 0.45, levels_db(0.2, 0.45, name)) for name in CHARACTERS)
    assert linear == pytest.approx(20 * np.log10(np.sinc(0.8) ** 2), abs=0.05)
    assert sinc < STOP_BAND_DB < cubic < linear - 5


@pytest.mark.parametrize("rate", [0.8, 1.0, 1.6])
def test_the_table_is_the_kernel(rate):
    half, cutoff = half_width(rate), ROLL_OFF / max(1.0, rate)
    table = sinc_tables(torch.tensor(rate), max_rate=rate, dtype=torch.float64).numpy()
    assert table.shape == (PHASES + 1, 2 * half)
    # Halfway between two rows, where the line is the farthest off; scipy and numpy have the Kaiser window sampled only.
    crossings = cutoff * ((np.arange(PHASES)[:, None] + 0.5) / PHASES - np.arange(1 - half, half + 1))
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (crossings / ZERO_CROSSINGS) ** 2, 0, None)))
    kernel = np.sinc(crossings) * window * (np.abs(crossings) < ZERO_CROSSINGS)
    kernel /= kernel.sum(axis=1, keepdims=True)
    assert np.abs((table[1:] + table[:-1]) / 2 - kernel).max() < TABLE_ERROR


@pytest.mark.parametrize("interpolation", CHARACTERS)
@pytest.mark.parametrize(("start", "rate"), [(0.0, 1.0), (3.7, 0.8), (0.25, 1.6), (150.5, 1.24)])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_run_at_one_rate_is_what_its_positions_give(interpolation, start, rate, channels, monkeypatch):
    monkeypatch.setattr(module, "RUN_SAMPLES", 64)
    monkeypatch.setattr(module, "WINDOW_SAMPLES", 64)
    clip = torch.randn(channels, 300, generator=torch.Generator().manual_seed(0))
    for count in (0, 1, 63, 64, 65, 203):
        output = torch.full((channels, count), 9.0)
        Player(interpolation, max_rate=1.6, dtype=torch.float32).play(clip, output, start=start, rate=rate)
        position = (start + rate * torch.arange(count, dtype=torch.float64)).clamp(max=299)
        expected = interpolate(
            clip[None],
            position[None],
            last=torch.tensor([[299]]),
            interpolation=interpolation,
            rates=torch.tensor([[rate]]),
            max_rate=1.6,
        )
        torch.testing.assert_close(output, expected[0], rtol=0, atol=FLOAT32_ROUNDING)


def test_each_thread_keeps_a_player_of_its_own():
    """They write to memory of theirs, again and again."""
    options = {"max_rate": 1.3, "dtype": torch.float32}
    mine = player("cubic", **options)
    assert player("cubic", **options) is mine
    with ThreadPoolExecutor(1) as other:
        assert other.submit(lambda: player("cubic", **options)).result() is not mine
    assert player("linear", **options).interpolation == "linear"


@pytest.mark.parametrize("interpolation", CHARACTERS)
def test_a_player_made_for_inference_also_serves_outside_it(interpolation):
    clip = torch.ones(1, 50)
    for inference in (True, False, True):
        with torch.inference_mode(inference):
            output = torch.zeros(1, 40)
            player(interpolation, max_rate=1.9, dtype=torch.float32).play(clip, output, start=0.0, rate=1.1)
            torch.testing.assert_close(output, torch.ones(1, 40))


@pytest.mark.parametrize("interpolation", CHARACTERS)
def test_a_fraction_that_rounds_to_one_is_the_next_sample(interpolation):
    samples = torch.randn(9, generator=torch.Generator().manual_seed(0))
    nearly = torch.tensor([3.0]).double() + (1 - 1e-12)
    torch.testing.assert_close(read(samples, nearly, interpolation), read(samples, torch.tensor([4.0]), interpolation))


def test_rates_above_the_fastest_get_its_kernel():
    tables = sinc_tables(torch.tensor([0.3, 1.0, 1.5, 7.0]), max_rate=1.5, dtype=torch.float32)
    assert torch.equal(tables[0], tables[1]) and torch.equal(tables[2], tables[3])
    assert not torch.equal(tables[1], tables[2])


@pytest.mark.parametrize("name", ["nearest", "Linear", None, 3])
def test_other_names_are_refused(name):
    with pytest.raises(RequestError, match=r"interpolation: got .*, may be 'linear', 'cubic' or 'sinc'\."):
        check_interpolation(name)
