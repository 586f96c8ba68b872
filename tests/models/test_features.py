import logging
import math
import warnings

import pytest
import torch
from torch import Tensor

from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError, ShapeError
from tonearm.models import LogMel
from tonearm.models.features import mel_filterbank

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchaudio

# torchaudio computes its filters in float32, we in float64: they differ by 1e-5 where a filter is 1 at its peak.
FILTER_TOLERANCE = 2e-5
POWER_TOLERANCE = 1e-5  # of the loudest cell
FRONT_ENDS = [
    (44_100, FeaturesConfig()),
    (44_100, FeaturesConfig(n_fft=2048, win_length=2048, hop_length=1024, n_mels=64)),
    (32_000, FeaturesConfig(n_fft=1024, win_length=800, hop_length=320, n_mels=64, f_min=50, f_max=14_000)),
    (16_000, FeaturesConfig(n_fft=511, win_length=400, hop_length=160, n_mels=40)),
]


def sound(sample_rate: int) -> Tensor:
    """A chirp, noise that swells, and a second of digital silence."""
    time = torch.arange(sample_rate, dtype=torch.float64) / sample_rate
    chirp = (2 * math.pi * (100 * time + 3000 * time**2)).sin()
    noise = torch.randn(sample_rate, generator=torch.Generator().manual_seed(0)) * time
    return torch.stack([0.5 * chirp, 0.1 * noise, torch.zeros_like(time)])[:, None].float()


def torchaudio_mel(sample_rate: int, config: FeaturesConfig, waveform: Tensor) -> Tensor:
    mel: Tensor = torchaudio.transforms.MelSpectrogram(
        sample_rate,
        n_fft=config.n_fft,
        win_length=config.win_length,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        f_min=config.f_min,
        f_max=config.f_max,
    )(waveform)
    return mel


@pytest.mark.parametrize(("sample_rate", "config"), FRONT_ENDS)
def test_equals_torchaudio(sample_rate: int, config: FeaturesConfig) -> None:
    waveform = sound(sample_rate)
    log_mel = LogMel(config, sample_rate=sample_rate)
    expected = torchaudio_mel(sample_rate, config, waveform)
    got = log_mel(waveform)
    assert got.shape == expected.shape == (3, 1, config.n_mels, log_mel.frames(sample_rate))
    assert ((10 ** (got / 10) - expected).abs().max() / expected.max()).item() < POWER_TOLERANCE
    audible = expected > 1e-3
    torch.testing.assert_close(got[audible], 10 * expected[audible].log10(), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("sample_rate", "config"), FRONT_ENDS)
def test_the_filters_equal_torchaudios(sample_rate: int, config: FeaturesConfig) -> None:
    f_max = config.f_max or sample_rate / 2
    expected = torchaudio.functional.melscale_fbanks(
        config.n_fft // 2 + 1, config.f_min, f_max, config.n_mels, sample_rate
    )
    got = mel_filterbank(
        sample_rate=sample_rate, n_fft=config.n_fft, n_mels=config.n_mels, f_min=config.f_min, f_max=f_max
    )
    torch.testing.assert_close(got, expected.T, rtol=0, atol=FILTER_TOLERANCE)


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    log_mel = LogMel(FeaturesConfig(n_fft=1024, win_length=1024, hop_length=256, n_mels=64), sample_rate=16_000)
    for hz in (300.0, 1000.0, 5000.0):
        tone = (2 * math.pi * hz * torch.arange(16_000) / 16_000).sin()[None, None]
        band = int(log_mel(tone)[0, 0, :, 30].argmax())
        centre = float(log_mel.filters[band].argmax()) * 16_000 / 1024
        assert abs(centre - hz) < 0.06 * hz


def test_ten_times_the_amplitude_is_20_db() -> None:
    log_mel = LogMel(FRONT_ENDS[1][1], sample_rate=44_100)
    waveform = sound(44_100)[1:2]
    torch.testing.assert_close(log_mel(10 * waveform) - log_mel(waveform), torch.full((1, 1, 64, 44), 20.0))


def test_silence_is_the_floor_and_its_gradient_is_finite() -> None:
    waveform = torch.zeros(1, 1, 4000, requires_grad=True)
    got = LogMel(FRONT_ENDS[3][1], sample_rate=16_000)(waveform)
    assert (got == -100.0).all()
    got.sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()


def test_a_batch_equals_the_stack_of_its_singles() -> None:
    log_mel = LogMel(FRONT_ENDS[3][1], sample_rate=16_000)
    waveform = sound(16_000)
    singles = torch.cat([log_mel(clip[None]) for clip in waveform])
    torch.testing.assert_close(log_mel(waveform), singles)
    torch.testing.assert_close(log_mel(waveform.transpose(0, 1)), singles.transpose(0, 1))  # clips as channels


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_no_clips_give_no_spectrograms(shape: tuple[int, int]) -> None:
    log_mel = LogMel(FRONT_ENDS[3][1], sample_rate=16_000)
    got = log_mel(torch.zeros(*shape, 16_000, dtype=torch.float16))
    assert got.shape == (*shape, 40, log_mel.frames(16_000))
    assert got.dtype == torch.float32


def test_normalisation_is_applied_and_saved() -> None:
    log_mel = LogMel(FRONT_ENDS[3][1], sample_rate=16_000)
    waveform = sound(16_000)[1:2]
    raw = log_mel(waveform)
    log_mel.set_normalization(-40.0, torch.tensor(20.0))
    torch.testing.assert_close(log_mel(waveform), (raw + 40) / 20)
    per_band = raw.mean(dim=(0, 1, 3)), raw.std(dim=(0, 1, 3))
    log_mel.set_normalization(*per_band)
    normalised = log_mel(waveform)
    torch.testing.assert_close(normalised.mean(dim=(0, 1, 3)), torch.zeros(40), rtol=0, atol=1e-4)
    torch.testing.assert_close(normalised.std(dim=(0, 1, 3)), torch.ones(40), rtol=0, atol=1e-4)

    assert set(log_mel.state_dict()) == {"mean", "std"}
    fresh = LogMel(FRONT_ENDS[3][1], sample_rate=16_000)
    fresh.load_state_dict(log_mel.state_dict())
    assert torch.equal(fresh(waveform), normalised)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_around_it_does_not_touch_it(dtype: torch.dtype) -> None:
    log_mel = LogMel(FRONT_ENDS[1][1], sample_rate=44_100)
    loud = torch.ones(1, 1, 44_100)  # the power at 0 Hz is about a million: beyond float16
    with torch.autocast("cpu", dtype=dtype):
        got = log_mel(loud)
    assert got.dtype == torch.float32
    assert torch.equal(got, log_mel(loud))
    assert torch.equal(log_mel(loud.to(dtype)), got)


def test_compiles_in_one_graph() -> None:
    log_mel = LogMel(FRONT_ENDS[3][1], sample_rate=16_000)
    waveform = sound(16_000)
    compiled = torch.compile(log_mel, fullgraph=True, backend="eager")
    assert torch.equal(compiled(waveform), log_mel(waveform))


def test_a_band_between_two_bins_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tonearm.models.features"):
        LogMel(FeaturesConfig(n_fft=256, win_length=256, hop_length=128, n_mels=128), sample_rate=44_100)
    assert "of 128 mel bands lie between two bins of an n_fft of 256 at 44100 Hz" in caplog.text
    caplog.clear()
    LogMel(FeaturesConfig(), sample_rate=44_100)
    assert not caplog.text


def test_errors() -> None:
    with pytest.raises(ConfigError, match=r"got 0 to 9000 Hz; at 16000 Hz they may be 0 to 8000"):
        LogMel(FeaturesConfig(f_max=9000), sample_rate=16_000)
    with pytest.raises(ConfigError, match=r"got 9000 to 8000 Hz"):
        LogMel(FeaturesConfig(f_min=9000), sample_rate=16_000)
    log_mel = LogMel(FRONT_ENDS[3][1], sample_rate=16_000)
    with pytest.raises(
        ShapeError, match=r"got \(2, 16000\) torch.float32, must be \(batch, channel, time\) floating point"
    ):
        log_mel(torch.zeros(2, 16_000))
    with pytest.raises(ShapeError, match=r"\(1, 1, 16000\) torch.int16, must be .* Convert it first: .* / 32768"):
        log_mel(torch.zeros(1, 1, 16_000, dtype=torch.int16))
    with pytest.raises(ShapeError, match=r"got \(1, 1, 255\); it may be \(batch, channel, time\) with more than 255"):
        log_mel(torch.zeros(1, 1, 255))
    assert log_mel(torch.zeros(1, 1, 256)).shape == (1, 1, 40, 2)
    with pytest.raises(ShapeError, match=r"mean: got shape \(3,\); it may be \(\) or \(40,\)"):
        log_mel.set_normalization(torch.zeros(3), 1.0)
    with pytest.raises(ShapeError, match="std above 0"):
        log_mel.set_normalization(0.0, 0.0)
    with pytest.raises(ShapeError, match="mean must be finite"):
        log_mel.set_normalization(float("nan"), 1.0)
