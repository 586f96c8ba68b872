import math

import numpy as np
import pytest
import torch
import torchaudio

from tonearm.errors import RequestError
from tonearm.gpu_augment.functional.phase_vocoder import (
    analysis,
    check_frames,
    count_frames,
    hann_window,
    phase_vocoder,
    stretch,
    synthesis,
)
from tonearm.gpu_augment.reference import spectral as reference

FLOAT64_ROUNDING = 1e-10  # a bin's phase is as uncertain as the bin is small, and goes into all later frames
N_FFT, HOP = 64, 16


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_spectra_are_those_of_torch_stft():
    signal = noise(2, 1000)
    expected = torch.stft(
        signal, N_FFT, HOP, window=hann_window(N_FFT, signal), center=True, pad_mode="constant", return_complex=True
    )
    spectra = analysis(signal, n_fft=N_FFT, hop_length=HOP, num_frames=expected.shape[2])
    torch.testing.assert_close(spectra.transpose(1, 2), expected)


@pytest.mark.parametrize("num_samples", [1, 15, 16, 17, 63, 64, 1000])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(64, 16), (64, 32), (48, 16), (64, 8), (6, 1)])
def test_synthesis_undoes_analysis(num_samples, n_fft, hop_length):
    signal = noise(2, num_samples)
    num_frames = count_frames(num_samples, n_fft=n_fft, hop_length=hop_length)
    spectra = analysis(signal, n_fft=n_fft, hop_length=hop_length, num_frames=num_frames)
    restored = synthesis(spectra, n_fft=n_fft, hop_length=hop_length, num_samples=num_samples)
    torch.testing.assert_close(restored, signal)


@pytest.mark.parametrize("rate", [0.5, 0.7931, 1.0, 1.2987, 2.7183])
def test_it_agrees_with_torchaudio(rate):
    spectra = analysis(noise(2, 3000), n_fft=N_FFT, hop_length=HOP, num_frames=180)
    advance = torch.linspace(0, math.pi * HOP, N_FFT // 2 + 1, dtype=torch.float64)[:, None]
    expected = torchaudio.functional.phase_vocoder(spectra.transpose(1, 2), rate, advance).transpose(1, 2)
    # What follows the last frame is silent there.
    positions = torch.arange(0, 180, rate, dtype=torch.float64).expand(2, -1)
    known = int((positions[0] < 179).sum())
    got = phase_vocoder(spectra, positions=positions)
    difference = (got - expected)[:, :known].abs().amax()
    assert difference < 1e-8 * spectra.abs().amax()


@pytest.mark.parametrize("rate", [0.8, 1.25])
def test_it_agrees_with_the_definition(rate):
    signal = noise(1, 2000)
    spectra = analysis(signal, n_fft=N_FFT, hop_length=HOP, num_frames=126)
    got = phase_vocoder(spectra, positions=rate * torch.arange(90, dtype=torch.float64)[None])[0]
    expected = np.stack(reference._read_faster(list(spectra[0].numpy()), rate=rate, num_frames=90))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("frames_at_a_time", [1, 3, 512])
def test_blocks_of_frames_agree_with_the_whole(frames_at_a_time, monkeypatch):
    from tonearm.gpu_augment.functional import blocks
    from tonearm.gpu_augment.functional import phase_vocoder as module

    signal, rate = noise(4, 2000), torch.tensor([0.8, 1.0, 1.3, 2.6], dtype=torch.float64)
    signal[1, 500:1000] = 0.0
    gain = torch.rand(4, N_FFT // 2 + 1, dtype=torch.float64)
    options = {"rate": rate, "num_samples": 1900, "n_fft": N_FFT, "hop_length": HOP}
    finer = {"gain": gain, "oversampling": 2, "lead": 4}
    monkeypatch.setattr(module, "_FRAMES", frames_at_a_time)
    got = [stretch(signal, **options), stretch(signal, **options, **finer)]
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    expected = [stretch(signal, **options), stretch(signal, **options, **finer)]
    torch.testing.assert_close(got, expected, rtol=0, atol=FLOAT64_ROUNDING)


def test_a_bin_that_is_zero_has_a_gradient_of_zero():
    spectra = torch.zeros(1, 6, 3, dtype=torch.complex128)
    spectra[:, 3:, 1] = 1.0 + 1.0j
    spectra.requires_grad_()
    read = phase_vocoder(spectra, positions=torch.tensor([[0.0, 0.8, 1.6, 2.4, 3.2, 3.9]], dtype=torch.float64))
    read.abs().square().sum().backward()
    assert torch.isfinite(torch.view_as_real(spectra.grad)).all()
    assert (spectra.grad[:, :, [0, 2]] == 0).all() and (spectra.grad[:, 3:, 1] != 0).any()


@pytest.mark.parametrize(
    ("n_fft", "hop_length", "message"),
    [
        (2048.0, 512, r"n_fft, hop_length: got 2048.0 and 512, may be an even number"),
        (63, 21, r"n_fft, hop_length: got 63 and 21, may be an even number, 4 or more"),
        (64, 0, r"n_fft, hop_length: got 64 and 0, may be an even number"),
        (64, 15, r"n_fft, hop_length: got 64 and 15, n_fft may be 2, 3, 4 … times hop_length"),
        (64, 64, r"n_fft, hop_length: got 64 and 64, n_fft may be 2, 3, 4 … times hop_length"),
    ],
)
def test_frames_that_do_not_fit_are_refused(n_fft, hop_length, message):
    with pytest.raises(RequestError, match=message):
        check_frames(n_fft, hop_length)
