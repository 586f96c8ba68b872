import logging
import warnings
from typing import Literal

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from tonearm.models.mel_filterbank import MelNorm, MelScale, hz_to_mel, mel_filterbank, mel_to_hz

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchaudio

# torchaudio computes its filters in float32, we in float64: they differ by 1e-5 where a filter is 1 at its peak.
TORCHAUDIO_TOLERANCE = 2e-5
LIBROSA_TOLERANCE = 2e-7  # it rounds to float32 twice
SIZES = [
    (44_100, 1380, 128, 0.0, 22_050.0),
    (44_100, 2048, 64, 20.0, 20_000.0),
    (32_000, 1024, 64, 50.0, 14_000.0),
    (16_000, 512, 40, 0.0, 8000.0),
]
KINDS: list[tuple[MelScale, MelNorm]] = [("htk", "peak"), ("htk", "area"), ("slaney", "peak"), ("slaney", "area")]


@pytest.mark.parametrize(("scale", "norm"), KINDS)
@pytest.mark.parametrize(("sample_rate", "n_fft", "n_mels", "f_min", "f_max"), SIZES)
def test_equals_torchaudio_and_librosa(
    sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float, scale: MelScale, norm: MelNorm
) -> None:
    got = mel_filterbank(
        sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, f_min=f_min, f_max=f_max, scale=scale, norm=norm
    )
    peak = got.max().item()
    area: Literal["slaney"] | None = "slaney" if norm == "area" else None
    theirs = torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1, f_min, f_max, n_mels, sample_rate, norm=area, mel_scale=scale
    )
    torch.testing.assert_close(got, theirs.T, rtol=0, atol=TORCHAUDIO_TOLERANCE * peak)
    librosas = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max, htk=scale == "htk", norm=area
    )
    torch.testing.assert_close(got, torch.from_numpy(librosas), rtol=0, atol=LIBROSA_TOLERANCE * peak)


def test_an_odd_transform_equals_torchaudios() -> None:
    got = mel_filterbank(sample_rate=16_000, n_fft=511, n_mels=40, f_min=0, f_max=8000)
    expected = torchaudio.functional.melscale_fbanks(256, 0, 8000, 40, 16_000)
    torch.testing.assert_close(got, expected.T, rtol=0, atol=TORCHAUDIO_TOLERANCE)


def tensorflows(*, sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> Tensor:
    """Triangles that are straight over mel, none at 0 Hz: tf.signal.linear_to_mel_weight_matrix's documentation."""
    mel = 1127 * np.log1p(np.linspace(0, sample_rate / 2, n_fft // 2 + 1) / 700)
    corners = 1127 * np.linspace(np.log1p(f_min / 700), np.log1p(f_max / 700), n_mels + 2)
    low, middle, high = (corners[i : i + n_mels, None] for i in range(3))
    filters = np.minimum((mel - low) / (middle - low), (high - mel) / (high - middle)).clip(0)
    filters[:, 0] = 0
    return torch.from_numpy(filters).float()


def test_tensorflow_differs_as_little_as_the_docstring_says() -> None:
    vggish = {"sample_rate": 16_000, "n_fft": 512, "n_mels": 64, "f_min": 125.0, "f_max": 7500.0}
    ours, theirs = mel_filterbank(**vggish), tensorflows(**vggish)  # type: ignore[arg-type]
    assert 0.004 < (ours - theirs).abs().max().item() < 0.0045
    assert 0.005 < (10 * (ours.sum(dim=1) / theirs.sum(dim=1)).log10()).abs().max().item() < 0.006


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_there_and_back(scale: MelScale) -> None:
    hz = torch.linspace(0, 20_000, 101, dtype=torch.float64)
    mel = hz_to_mel(hz, scale)
    assert (mel.diff() > 0).all()
    torch.testing.assert_close(mel_to_hz(mel, scale), hz)


def test_an_area_of_one_hertz() -> None:
    filters = mel_filterbank(sample_rate=16_000, n_fft=16_000, n_mels=20, f_min=100, f_max=7000, norm="area")
    torch.testing.assert_close(filters.sum(dim=1), torch.ones(20), rtol=1e-3, atol=0)  # bins are 1 Hz apart


def test_a_band_between_two_bins_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tonearm.models.mel_filterbank"):
        mel_filterbank(sample_rate=44_100, n_fft=256, n_mels=128, f_min=0, f_max=22_050)
        assert "of 128 mel bands lie between two bins of an n_fft of 256 at 44100 Hz" in caplog.text
        caplog.clear()
        mel_filterbank(sample_rate=44_100, n_fft=1380, n_mels=128, f_min=0, f_max=22_050)
    assert not caplog.text
