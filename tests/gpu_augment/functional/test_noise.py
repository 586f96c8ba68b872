import numpy as np
import pytest
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import add_noise, blocks, white_noise
from tonearm.gpu_augment.functional.noise import add_gaussian_noise

SNR_TOLERANCE_DB = 0.05  # what is promised; float32 sums leave far less
FLOAT32_ROUNDING = 2e-6

KEYS = torch.tensor([[1, 2], [3, 4], [5, 6]], dtype=torch.int32)


def batch(samples: int = 4000, channels: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor([1.0, 0.01, 1e-4])  # from full scale to barely audible
    return torch.randn(3, channels, samples, generator=generator) * levels[:, None, None]


def level_db(waveform: torch.Tensor) -> torch.Tensor:
    return 10 * waveform.double().square().mean(dim=(1, 2)).log10()


def test_the_measured_ratio_is_the_one_asked_for():
    clean, snr_db = batch(), torch.tensor([0.0, 12.5, 30.0])
    added = add_noise(clean, white_noise(KEYS, num_channels=2, num_samples=4000), snr_db=snr_db) - clean
    assert (level_db(clean) - level_db(added) - snr_db).abs().max() < SNR_TOLERANCE_DB


def test_the_ratio_is_that_of_the_valid_samples():
    clean, lengths = batch(), torch.tensor([4000, 1000, 1])
    noisy = add_noise(clean, torch.ones_like(clean), snr_db=torch.full((3,), 6.0), lengths=lengths)
    for clip, length in enumerate(lengths.tolist()):
        valid = slice(clip, clip + 1), slice(None), slice(length)
        measured = level_db(clean[valid]) - level_db((noisy - clean)[valid])
        assert (measured - 6.0).abs() < SNR_TOLERANCE_DB
        assert torch.equal(noisy[clip, :, length:], clean[clip, :, length:])


@pytest.mark.parametrize("path", ["clip by clip", "whole"])
def test_the_noises_level_does_not_matter_in_fp16_either(path, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", path == "whole")
    clean, loud = batch(), torch.full((3, 2, 4000), 1000.0).half()  # its norm, 89443, is more than fp16 can hold
    added = add_noise(clean, loud, snr_db=torch.zeros(3)) - clean
    assert (level_db(clean) - level_db(added)).abs().max() < SNR_TOLERANCE_DB


def test_it_agrees_with_the_reference():
    clean, lengths, snr_db = batch(200), [200, 50, 0], [3.0, -3.0, 0.0]
    noise = white_noise(KEYS, num_channels=2, num_samples=200)
    noisy = add_noise(clean, noise, snr_db=torch.tensor(snr_db), lengths=torch.tensor(lengths))
    for clip in range(3):
        expected = reference.add_noise(
            clean[clip].double().numpy(), noise[clip].double().numpy(), snr_db=snr_db[clip], length=lengths[clip]
        )
        np.testing.assert_allclose(noisy[clip], expected, rtol=0, atol=FLOAT32_ROUNDING)


def test_white_noise_has_a_flat_spectrum_and_independent_channels():
    noise = white_noise(KEYS, num_channels=2, num_samples=65_536)
    power = torch.fft.rfft(noise).abs().square()[..., 1:] / 65_536
    bands = power.reshape(3, 2, 16, -1).mean(dim=-1)
    assert (bands - 1).abs().max() < 5 / 2048**0.5  # 5 deviations of a mean of 2048 exponential numbers
    correlation = (noise[:, 0] * noise[:, 1]).mean(dim=-1)
    assert correlation.abs().max() < 5 / 65_536**0.5


@pytest.mark.parametrize("noise_value", [0.0, 1.0])
def test_silence_and_silent_noise_make_no_nan(noise_value):
    silence, noise = torch.zeros(3, 1, 10), torch.full((3, 1, 10), noise_value)
    assert torch.equal(add_noise(silence, noise, snr_db=torch.zeros(3)), silence)
    loud = torch.full((3, 1, 10), 1e6)  # divided by a silent noise's norm, however guarded, it would be infinite
    assert torch.isfinite(add_noise(loud, noise, snr_db=torch.zeros(3))).all()
    assert torch.equal(add_noise(loud, 0 * noise, snr_db=torch.zeros(3)), loud)


def test_noise_of_another_shape_is_refused():
    with pytest.raises(ShapeError, match=r"noise: got \(3, 1, 5\), must be like waveform, \(3, 1, 10\)"):
        add_noise(torch.ones(3, 1, 10), torch.ones(3, 1, 5), snr_db=torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("lengths", [None, [4000, 50, 0], [9999, 3999, 1]])
def test_clip_by_clip_adds_what_the_whole_batch_at_once_adds(dtype, lengths, monkeypatch):
    clean, snr_db = batch().to(dtype), torch.tensor([0.0, -20.0, 30.0])
    clean[2, 1, 3999] = float("nan")
    noise = white_noise(KEYS, num_channels=2, num_samples=4000)
    lengths = None if lengths is None else torch.tensor(lengths)
    by_clip = add_noise(clean, noise, snr_db=snr_db, lengths=lengths)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    at_once = add_noise(clean, noise, snr_db=snr_db, lengths=lengths)
    assert by_clip.dtype == at_once.dtype == dtype
    tolerance = 4e-2 if dtype == torch.float16 else 2e-5  # of values up to 40
    torch.testing.assert_close(by_clip, at_once, rtol=0, atol=tolerance, equal_nan=True)
    assert torch.isfinite(by_clip[:2]).all()


def test_gradients_go_through_signal_noise_and_ratio():
    inputs = [
        torch.randn(2, 2, 5, dtype=torch.float64),
        torch.randn(2, 2, 5, dtype=torch.float64),
        torch.ones(2).double(),
    ]
    inputs = [one.requires_grad_() for one in inputs]
    lengths = torch.tensor([5, 3])
    assert torch.autograd.gradcheck(lambda x, n, r: add_noise(x, n, snr_db=r, lengths=lengths), inputs)


def test_gaussian_noise_agrees_with_the_reference():
    clean, lengths, deviation = batch(200), [200, 50, 0], [0.1, 0.02, 1.0]
    noisy = add_gaussian_noise(clean, keys=KEYS, deviation=torch.tensor(deviation), lengths=torch.tensor(lengths))
    noise = white_noise(KEYS, num_channels=2, num_samples=200)
    for clip in range(3):
        expected = reference.noise.add_gaussian_noise(
            clean[clip].double().numpy(), noise[clip].double().numpy(), deviation=deviation[clip], length=lengths[clip]
        )
        np.testing.assert_allclose(noisy[clip], expected, rtol=0, atol=FLOAT32_ROUNDING)
