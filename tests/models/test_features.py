import math
import warnings
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor

from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError, ShapeError
from tonearm.models import LogMel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torchaudio

POWER_TOLERANCE = 1e-5  # of the loudest cell
DECIBEL_TOLERANCE = 1e-3  # where float32 has the digits for it: not far below the loudest bin of the same window
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


def options(**changed: Any) -> FeaturesConfig:
    """A small front-end with Slaney's filters."""
    return FeaturesConfig.model_validate(
        {"n_fft": 512, "win_length": 512, "hop_length": 160, "n_mels": 32, "mel_scale": "slaney", "mel_norm": "area"}
        | changed
    )


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


LIBROSA = [
    (32_000, options(n_fft=1024, win_length=1024, hop_length=320, n_mels=64, f_min=50, f_max=14_000)),  # PANNs
    (32_000, options(mel_norm="peak", mel_scale="htk", window="hamming", power=1)),
    (22_050, options(padding="none", win_length=400, log="ln", floor=1e-5)),
    (22_050, options(padding="zeros", win_length=333, hop_length=77, power=1, log="ln", offset=1e-3)),
]


@pytest.mark.parametrize(("sample_rate", "config"), LIBROSA)
def test_equals_librosa(sample_rate: int, config: FeaturesConfig) -> None:
    waveform = sound(sample_rate)[:2]
    arguments: dict[str, Any] = {"pad_mode": "reflect" if config.padding == "reflect" else "constant"}
    librosas = librosa.feature.melspectrogram(
        y=waveform[:, 0].double().numpy(),
        sr=sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        win_length=config.win_length,
        window=config.window,
        center=config.padding != "none",
        power=config.power,
        n_mels=config.n_mels,
        fmin=config.f_min,
        fmax=config.f_max or sample_rate / 2,
        htk=config.mel_scale == "htk",
        norm="slaney" if config.mel_norm == "area" else None,
        dtype=np.float64,
        **arguments,
    )
    log_mel = LogMel(config, sample_rate=sample_rate)
    mel = torch.from_numpy(librosas)[:, None]
    floored = mel.clamp(min=config.floor) + config.offset
    expected = (10 * floored.log10() if config.log == "db" else floored.log()).float()
    got = log_mel(waveform)
    assert got.shape == expected.shape == (2, 1, config.n_mels, log_mel.frames(sample_rate))
    heard = mel > mel.amax(dim=2, keepdim=True) * 1e-3**config.power
    assert heard.float().mean() > 0.3
    torch.testing.assert_close(got[heard], expected[heard], rtol=0, atol=DECIBEL_TOLERANCE)


def test_equals_torchaudio_with_a_plain_logarithm() -> None:
    """Seeds write log(clamp(mel, 1e-5)) of torchaudio's mel."""
    config = FeaturesConfig(n_fft=1024, win_length=1024, hop_length=256, n_mels=64, log="ln", floor=1e-5)
    waveform = sound(44_100)
    expected = torchaudio_mel(44_100, config, waveform).clamp(min=1e-5).log()
    got = LogMel(config, sample_rate=44_100)(waveform)
    assert (got.min().item(), expected.max().item() > 0) == (pytest.approx(math.log(1e-5)), True)
    heard = expected > math.log(1e-4)
    torch.testing.assert_close(got[heard], expected[heard], rtol=0, atol=DECIBEL_TOLERANCE)


@pytest.mark.parametrize("padding", ["reflect", "zeros", "none"])
@pytest.mark.parametrize("n_fft", [512, 511])
def test_frames_and_samples(padding: str, n_fft: int) -> None:
    log_mel = LogMel(options(padding=padding, n_fft=n_fft, win_length=400, hop_length=160), sample_rate=16_000)
    for num_samples in (log_mel.min_samples, 600, 671, 672, 1600, 5001):
        assert log_mel(torch.zeros(1, 1, num_samples)).shape[-1] == log_mel.frames(num_samples)
    for num_frames in range(1, 9):
        fewest = log_mel.samples(num_frames)
        assert log_mel.frames(fewest) >= num_frames
        assert fewest == log_mel.min_samples or log_mel.frames(fewest - 1) < num_frames


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("log", ["db", "ln"])
def test_the_gradient_is_that_of_finite_differences(power: int, log: str) -> None:
    config = options(n_fft=128, win_length=100, hop_length=50, n_mels=8, power=power, log=log)
    log_mel = LogMel(config, sample_rate=8000)
    generator = torch.Generator().manual_seed(1)
    waveform = 0.1 * torch.randn(1, 1, 600, generator=generator)
    ways = torch.randn(6, 1, 1, 600, generator=generator)
    (gradient,) = torch.autograd.grad(log_mel(waveform.requires_grad_()).sum(), waveform)
    for way in ways:
        step = 1e-3 * way
        with torch.no_grad():
            slope = (log_mel(waveform + step).double().sum() - log_mel(waveform - step).double().sum()) / 2e-3
        assert (gradient * way).sum().item() == pytest.approx(slope.item(), rel=0.02, abs=0.5)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("floor", [1e-10, 1e-30])
def test_the_gradient_at_silence_is_zero(power: int, floor: float) -> None:
    waveform = torch.zeros(1, 1, 2000)
    waveform[..., 1500:] = torch.randn(500, generator=torch.Generator().manual_seed(2))
    log_mel = LogMel(options(power=power, floor=floor, offset=1e-3), sample_rate=16_000)
    log_mel(waveform.requires_grad_()).sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()
    assert (waveform.grad[..., :900] == 0).all()
    assert (waveform.grad[..., 1600:] != 0).all()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # which torch uses here itself
def test_a_forward_mode_derivative_agrees_with_the_gradient() -> None:
    log_mel = LogMel(options(), sample_rate=16_000)
    waveform = sound(16_000)[1:2, :, 8000:]
    way = torch.linspace(-1, 1, 8000)[None, None]
    slopes: Tensor = torch.func.jvp(log_mel, (waveform,), (way,))[1]
    gradient = torch.func.grad(lambda clip: log_mel(clip).sum())(waveform)
    assert slopes.sum().item() == pytest.approx((gradient * way).sum().item(), rel=1e-3)


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
    with torch.autocast("cpu", dtype=dtype):
        by_stft = log_mel(loud.requires_grad_())
    assert by_stft.dtype == torch.float32
    torch.testing.assert_close(by_stft[:, :, 0], got[:, :, 0], rtol=0, atol=DECIBEL_TOLERANCE)


def test_compiles_in_one_graph() -> None:
    log_mel = LogMel(FRONT_ENDS[3][1], sample_rate=16_000)
    waveform = sound(16_000)
    compiled = torch.compile(log_mel, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(waveform), log_mel(waveform), rtol=0, atol=DECIBEL_TOLERANCE)


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
    with pytest.raises(
        ShapeError, match=r"got \(1, 1, 255\); .* with at least 256 samples: n_fft is 511 and padding reflect"
    ):
        log_mel(torch.zeros(1, 1, 255))
    assert log_mel(torch.zeros(1, 1, 256)).shape == (1, 1, 40, 2)
    with pytest.raises(ShapeError, match=r"at least 512 samples: n_fft is 512 and padding none"):
        LogMel(options(padding="none"), sample_rate=16_000)(torch.zeros(1, 1, 511))
    with pytest.raises(ShapeError, match=r"at least 1 samples: n_fft is 512 and padding zeros"):
        LogMel(options(padding="zeros"), sample_rate=16_000)(torch.zeros(1, 1, 0))
    with pytest.raises(ShapeError, match=r"mean: got shape \(3,\); it may be \(\) or \(40,\)"):
        log_mel.set_normalization(torch.zeros(3), 1.0)
    with pytest.raises(ShapeError, match="std above 0"):
        log_mel.set_normalization(0.0, 0.0)
    with pytest.raises(ShapeError, match="mean must be finite"):
        log_mel.set_normalization(float("nan"), 1.0)


@pytest.mark.parametrize("padding", ["reflect", "zeros", "none"])
@pytest.mark.parametrize("n_fft", [64, 65])
def test_frames_within_see_nothing_of_what_follows(padding: Any, n_fft: int) -> None:
    # a rectangle would do; Hann's first sample is 0, so a window that only touches sample 300 does not see it
    config = FeaturesConfig(n_fft=n_fft, win_length=n_fft, hop_length=16, n_mels=4, padding=padding)
    log_mel = LogMel(config, sample_rate=8000)
    silence = torch.zeros(1, 1, 500)
    louder = silence.clone()
    louder[..., 300:] = torch.randn(200, generator=torch.Generator().manual_seed(0))
    same = (log_mel(silence) == log_mel(louder)).all(dim=2)[0, 0]
    assert log_mel.frames_within(300) <= int(same.sum()) <= log_mel.frames_within(300) + 1
    assert same[: log_mel.frames_within(300)].all()
    assert log_mel.frames_within(1) == 1


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch's, of vmap over its stft
def test_a_traced_or_cast_front_end_is_the_same() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    log_mel = LogMel(FeaturesConfig(n_fft=64, win_length=64, hop_length=32, n_mels=8), sample_rate=8000)
    waveform = torch.randn(3, 1, 400, generator=torch.Generator().manual_seed(0))
    traced = make_fx(log_mel)(waveform)
    torch.testing.assert_close(traced(2 * waveform), log_mel(2 * waveform), rtol=1e-4, atol=1e-3)
    each = torch.func.vmap(lambda clip: log_mel(clip[None])[0])(waveform)
    torch.testing.assert_close(each, log_mel(waveform), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(log_mel.double()(waveform).float(), each, rtol=1e-4, atol=1e-3)
