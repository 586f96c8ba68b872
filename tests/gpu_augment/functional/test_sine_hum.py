import numpy as np
import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.gpu_augment.functional.sine_hum import add_sine_hum, sine
from tonearm.gpu_augment.reference import noise as reference

FLOAT32_ROUNDING = 3e-7  # of two products of numbers up to 1
SNR_TOLERANCE_DB = 0.05


@pytest.mark.parametrize("samples", [0, 1, 511, 512, 513, 3000])
def test_it_is_the_slow_version(samples):
    frequency, phase = [0.001134, 0.4999, 0.25], [0.0, 0.7, 0.999]
    got = sine(
        cycles_per_sample=torch.tensor(frequency, dtype=torch.float64), phase=torch.tensor(phase), num_samples=samples
    )
    assert got.shape == (3, samples) and got.dtype == torch.float32
    for row, f, p in zip(got, frequency, torch.tensor(phase).tolist(), strict=True):
        expected = reference.sine(cycles_per_sample=f, phase=p, num_samples=samples)
        np.testing.assert_allclose(row, expected, rtol=0, atol=FLOAT32_ROUNDING)


def test_it_keeps_its_phase_for_ten_minutes():
    minutes = 10 * 60 * 44_100
    got = sine(
        cycles_per_sample=torch.tensor([50.1 / 44_100], dtype=torch.float64), phase=torch.zeros(1), num_samples=minutes
    )
    time = np.arange(minutes - 1000, minutes)
    np.testing.assert_allclose(got[0, -1000:], np.sin(2 * np.pi * 50.1 / 44_100 * time), rtol=0, atol=FLOAT32_ROUNDING)


def test_what_is_added_is_one_line_of_the_spectrum_at_the_ratio_asked_for():
    clean = torch.randn(2, 2, 8000, generator=seeded(0)) * torch.tensor([1.0, 0.01])[:, None, None]
    snr_db = torch.tensor([0.0, 20.0])
    frequency = torch.tensor([50.0, 60.0]) / 8000
    added = (
        add_sine_hum(clean, cycles_per_sample=frequency, phase=torch.tensor([0.1, 0.6]), snr_db=snr_db) - clean
    ).double()
    measured = 10 * (clean.square().sum(dim=(1, 2)) / added.square().sum(dim=(1, 2))).log10()
    assert (measured - snr_db).abs().max() < SNR_TOLERANCE_DB
    power = torch.fft.rfft(added).abs().square()
    assert power.argmax(dim=-1).tolist() == [[50, 50], [60, 60]]
    assert power[0, 0, 50] / power[0, 0].sum() > 1 - 1e-6
    assert torch.equal(added[:, 0] > 0, added[:, 1] > 0)  # all channels alike


def test_lengths_and_silence():
    clean = torch.randn(2, 1, 1000, generator=seeded(0))
    clean[1] = 0
    options = {"cycles_per_sample": torch.tensor([0.01, 0.01]), "phase": torch.tensor([0.3, 0.3])}
    noisy = add_sine_hum(clean, **options, snr_db=torch.zeros(2), lengths=torch.tensor([300, 1000]))
    assert torch.equal(noisy[0, :, 300:], clean[0, :, 300:]) and not torch.equal(noisy[0], clean[0])
    assert torch.equal(noisy[1], clean[1])
