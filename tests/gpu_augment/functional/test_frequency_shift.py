import math

import numpy as np
import pytest
import scipy.signal
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment.functional.fft_length import fast_fft_length
from tonearm.gpu_augment.functional.frequency_shift import _phasor, frequency_shift
from tonearm.gpu_augment.reference import spectral as reference

RATE = 8000
FLOAT32_ROUNDING = 5e-6


def hz(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def tones(*frequencies_hz: float) -> torch.Tensor:
    t = torch.arange(RATE, dtype=torch.float64)
    return torch.stack([torch.cos(2 * math.pi * f / RATE * t + f) for f in frequencies_hz]).sum(0).float()[None, None]


def amplitudes(samples: torch.Tensor) -> torch.Tensor:
    window = torch.hann_window(len(samples))
    return torch.fft.rfft(samples * window).abs() * 2 / window.sum()


def test_it_agrees_with_the_reference():
    clips, shift, lengths = noise(3, 2, 90), [100.0, -333.3, 0.0], [90, 61, 90]
    shifted = frequency_shift(clips, shift_hz=hz(*shift), sample_rate=RATE, lengths=torch.tensor(lengths))
    for clip in range(3):
        expected = reference.frequency_shift(
            clips[clip].double().numpy(),
            shift_hz=shift[clip],
            sample_rate=RATE,
            length=lengths[clip],
            n_fft=fast_fft_length(180),
        )
        np.testing.assert_allclose(shifted[clip], expected, rtol=0, atol=FLOAT32_ROUNDING)


def test_it_agrees_with_scipys_analytic_signal():
    clip = tones(500.0, 1200.0)
    turning = np.exp(2j * math.pi * 150.0 / RATE * np.arange(RATE))
    expected = (scipy.signal.hilbert(clip[0, 0].double().numpy()) * turning).real
    shifted = frequency_shift(clip, shift_hz=hz(150.0), sample_rate=RATE)[0, 0]
    # The two differ in what the ends ring, as scipy's FFT makes neighbours of them.
    np.testing.assert_allclose(shifted[1000:-1000], expected[1000:-1000], rtol=0, atol=2e-3)


def test_all_tones_move_by_as_much_and_keep_their_level():
    for shift in (-170.0, 20.0, 999.0):
        got = amplitudes(frequency_shift(tones(300.0, 900.0, 2000.0), shift_hz=hz(shift), sample_rate=RATE)[0, 0])
        for frequency in (300.0, 900.0, 2000.0):
            assert float(got[round(frequency + shift)]) == pytest.approx(1.0, abs=0.01)
        assert len(torch.nonzero(got > 0.6)) == 3  # a Hann window's neighbours are at 0.5


@pytest.mark.parametrize(("frequency_hz", "shift"), [(100.0, -200.0), (3900.0, 200.0)])
def test_what_would_leave_the_band_is_removed_and_does_not_fold_back(frequency_hz, shift):
    shifted = frequency_shift(tones(frequency_hz), shift_hz=hz(shift), sample_rate=RATE)[0, 0]
    assert amplitudes(shifted).max() < 5e-3  # the skirts of a tone that begins and ends at once


def test_a_shift_of_nothing_gives_the_clip_back():
    clips = noise(2, 1, 5001)
    shifted = frequency_shift(clips, shift_hz=hz(0.0, 0.0), sample_rate=RATE)
    torch.testing.assert_close(shifted, clips, rtol=0, atol=FLOAT32_ROUNDING)


def test_the_phasor_is_exact_after_ten_minutes():
    t = 10 * 60 * 44_100 - 1
    phasor = _phasor(hz(123.456 / 44_100), t + 1, torch.float64)[0, t]
    exact = np.exp(2j * math.pi * math.fmod(123.456 / 44_100 * t, 1.0))
    assert abs(complex(phasor) - exact) < 1e-7


def test_what_it_refuses():
    with pytest.raises(ShapeError, match=r"waveform: got \(10,\)"):
        frequency_shift(torch.zeros(10), shift_hz=hz(1.0), sample_rate=RATE)
