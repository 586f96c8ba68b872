"""Blocks of frames on a CPU beside torch.stft on the whole batch: the same numbers, whatever is asked."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tonearm.config import FeaturesConfig
from tonearm.models import LogMel, features, log_mel_blocks
from tonearm.models.log_mel_blocks import BANDS_A_GROUP, Bands, group_bands

# Both are float32 transforms; a bin 60 dB below the loudest of its window has about four digits left.
NATS, NATS_FAR_DOWN = 1e-3, 1e-6
SIZES = [
    {"n_fft": 1380, "win_length": 1380, "hop_length": 345, "n_mels": 128},
    {"n_fft": 1440, "win_length": 1380, "hop_length": 345, "n_mels": 128},
    {"n_fft": 512, "win_length": 400, "hop_length": 161, "n_mels": 33},
    {"n_fft": 511, "win_length": 398, "hop_length": 600, "n_mels": 40},
    {"n_fft": 37, "win_length": 20, "hop_length": 7, "n_mels": 3},
]
OPTIONS: list[dict[str, Any]] = [
    dict(zip(("window", "power", "mel_scale", "mel_norm", "log", "floor", "offset"), values, strict=True))
    for values in (
        ("hann", 2, "htk", "peak", "db", 1e-10, 0.0),
        ("hamming", 1, "slaney", "area", "ln", 1e-5, 0.0),
        ("hann", 1, "htk", "area", "db", 1e-10, 1e-3),
    )
]


def front_end(**config: Any) -> LogMel:
    log_mel = LogMel(FeaturesConfig.model_validate(config), sample_rate=16_000)
    log_mel.set_normalization(torch.linspace(-9, 3, config["n_mels"]), 2.0)
    return log_mel


def clips(*shape: int) -> Tensor:
    """Noise that swells, the last of the batch silence."""
    waveform = 0.3 * torch.randn(shape, generator=torch.Generator().manual_seed(5)) * torch.linspace(0, 1, shape[-1])
    waveform[-1:] = 0
    return waveform


def by_stft(log_mel: LogMel, waveform: Tensor) -> Tensor:
    """The twin: a gradient needs torch.stft."""
    out: Tensor = log_mel(waveform.detach().clone().requires_grad_())
    return out.detach()


def assert_same(log_mel: LogMel, got: Tensor, expected: Tensor) -> None:
    assert got.shape == expected.shape
    assert got.is_contiguous()
    raw, expected_raw = (each * log_mel.std + log_mel.mean for each in (got, expected))
    unit = 10 / torch.tensor(10.0).log() if log_mel.log == "db" else 1.0
    mel, expected_mel = ((each / unit).exp() for each in (raw, expected_raw))
    assert ((mel - expected_mel).abs().max() / expected_mel.max()).item() < 1e-5
    heard = expected_mel > expected_mel.amax(dim=2, keepdim=True) * NATS_FAR_DOWN ** (log_mel.power / 2)
    torch.testing.assert_close(raw[heard] / unit, expected_raw[heard] / unit, rtol=0, atol=NATS)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """So that short clips have several, the last of them shorter."""
    monkeypatch.setattr(log_mel_blocks, "BLOCK_SAMPLES", 20 * 512)
    monkeypatch.setattr(log_mel_blocks, "FEWEST_FRAMES", 4)
    yield


@pytest.mark.parametrize("padding", ["reflect", "zeros", "none"])
@pytest.mark.parametrize(("size", "options"), list(itertools.product(SIZES, OPTIONS)))
def test_equals_the_twin(size: dict[str, int], options: dict[str, Any], padding: str) -> None:
    log_mel = front_end(**size, **options, padding=padding)
    shortest, longer = log_mel.min_samples, log_mel.samples(1) + 3
    for shape in ((1, 1, shortest), (2, 1, longer), (2, 3, 4 * size["n_fft"] + 17), (3, 1, 60 * size["hop_length"])):
        if shape[-1] >= shortest:
            waveform = clips(*shape)
            assert_same(log_mel, log_mel(waveform), by_stft(log_mel, waveform))


def test_the_twin_is_asked_only_for_a_gradient_or_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    log_mel, asked = front_end(**SIZES[2]), []
    stft = torch.stft
    monkeypatch.setattr(torch, "stft", lambda *a, **k: asked.append(1) or stft(*a, **k))  # type: ignore[func-returns-value]
    waveform = clips(2, 1, 4000)
    log_mel(waveform)
    with torch.no_grad():
        log_mel(waveform.clone().requires_grad_())
    assert not asked
    log_mel(waveform.clone().requires_grad_())
    assert asked


@pytest.mark.filterwarnings("ignore")  # tracing is deprecated, and warns of every length that it asks for
def test_a_traced_graph_has_no_blocks_in_it() -> None:
    log_mel = front_end(**SIZES[2])
    traced = torch.jit.trace(log_mel, clips(2, 1, 4000), check_trace=False)
    other = clips(2, 1, 4000).flip(2)
    assert_same(log_mel, traced(other), log_mel(other))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_made_float32(dtype: torch.dtype) -> None:
    log_mel = front_end(**SIZES[2])
    waveform = clips(2, 1, 4000).to(dtype)
    assert torch.equal(log_mel(waveform), log_mel(waveform.float()))


def test_strides_of_every_kind() -> None:
    log_mel, waveform = front_end(**SIZES[2]), clips(2, 3, 4000)
    expected = log_mel(waveform)
    every_other = torch.zeros(2, 3, 8000)
    every_other[..., ::2] = waveform
    in_time_first = waveform.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    for view in (every_other[..., ::2], in_time_first, waveform.transpose(0, 1).contiguous().transpose(0, 1)):
        assert not view.is_contiguous()
        assert torch.equal(log_mel(view), expected)
    assert torch.equal(log_mel(waveform[:1].expand(2, 3, 4000)), expected[:1].expand(2, -1, -1, -1))


def test_neither_the_batch_nor_the_threads_change_a_bit() -> None:
    log_mel, waveform = front_end(**SIZES[2]), clips(3, 2, 9000)
    expected = log_mel(waveform)
    assert torch.equal(torch.stack([log_mel(clip[None])[0] for clip in waveform]), expected)
    threads = torch.get_num_threads()
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            assert torch.equal(log_mel(waveform), expected)
    finally:
        torch.set_num_threads(threads)


def test_inference_mode_and_autocast() -> None:
    log_mel, waveform = front_end(**SIZES[2]), clips(2, 1, 4000)
    expected = log_mel(waveform)
    with torch.inference_mode():
        got = log_mel(waveform)
        assert got.is_inference()
        assert torch.equal(got, expected)
        assert torch.equal(log_mel(waveform.clone()), expected)  # a tensor of inference as input
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(log_mel(waveform), expected)


def test_the_input_is_left_alone() -> None:
    log_mel, waveform = front_end(**SIZES[2]), clips(1, 1, 4000)
    before = waveform.clone()
    first = log_mel(waveform)
    second = log_mel(waveform)
    assert torch.equal(waveform, before)
    assert torch.equal(first, second)
    assert first.data_ptr() != second.data_ptr()


def test_bands_are_grouped_with_their_bins() -> None:
    filters = torch.zeros(BANDS_A_GROUP + 2, 50)
    filters[0, 4] = filters[3, 7] = filters[BANDS_A_GROUP - 1, 20] = 1.0
    assert group_bands(filters) == (
        Bands(0, BANDS_A_GROUP, 4, 21),
        Bands(BANDS_A_GROUP, BANDS_A_GROUP + 2, 0, 1),  # silent: one bin, where the filters are zero
    )


def test_a_band_without_a_bin_is_at_the_floor() -> None:
    log_mel = LogMel(FeaturesConfig(n_fft=64, win_length=64, hop_length=32, n_mels=40), sample_rate=16_000)
    silent = log_mel.filters.amax(dim=1) == 0
    assert silent.any()
    assert (log_mel(clips(2, 1, 2000))[:, :, silent] == -100).all()


def test_a_forward_pass_uses_the_blocks_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Size] = []
    write = log_mel_blocks.write_log_mel

    def spy(batch: Tensor, out: Tensor, **more: Any) -> None:
        seen.append(batch.shape)
        write(batch, out, **more)

    monkeypatch.setattr(features, "write_log_mel", spy)
    front_end(**SIZES[2])(clips(2, 3, 4000))
    assert seen == [torch.Size([6, 4000])]
