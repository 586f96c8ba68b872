"""Faster and slower: the pitch, the length, and what follows a clip that ends earlier."""

import numpy as np
import pytest
import torch

from tonearm.errors import RequestError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, speed, speed_lengths

FLOAT32_ROUNDING = 2e-6
TABLE_ROUNDING = 1e-5  # of sinc: its table is 1e-6 off at a tap at most, and the samples are up to 4
FREQUENCY_TOLERANCE_HZ = 1.0  # a bin of a second

RATE = 44_100

every_interpolation = pytest.mark.parametrize("interpolation", ["linear", "cubic", "sinc"])


def rates(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@every_interpolation
@pytest.mark.parametrize("whole", [False, True])
def test_it_agrees_with_the_reference(interpolation, whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    rate, lengths = [1.0, 0.8, 1.37, 1.6, 0.7, 1.6, 1.1, 0.9], [150, 150, 150, 90, 90, 2, 1, 0]
    clips = noise(8, 2, 150)
    clips[3:, :, 90:] = float("nan")  # which nobody may read
    played = speed(
        clips,
        rate=rates(*rate),
        lengths=torch.tensor(lengths),
        interpolation=interpolation,
        max_rate=1.6,
    )
    for clip in range(8):
        expected = reference.speed(
            clips[clip].double().numpy(), rate=rate[clip], length=lengths[clip], interpolation=interpolation
        )
        rounding = TABLE_ROUNDING if interpolation == "sinc" else FLOAT32_ROUNDING
        np.testing.assert_allclose(played[clip], expected, rtol=0, atol=rounding)


@every_interpolation
def test_a_tone_moves_with_the_rate_and_ends_when_it_should(interpolation):
    t = torch.arange(2 * RATE, dtype=torch.float64)
    tone = torch.sin(2 * torch.pi * 1000.0 / RATE * t).float().expand(2, 1, -1)
    played = speed(tone, rate=rates(1.25, 0.8), interpolation=interpolation)[:, 0]
    window = torch.hann_window(RATE)
    for clip, rate in zip(played, (1.25, 0.8), strict=True):
        amplitude = torch.fft.rfft(clip[:RATE] * window).abs() * 2 / window.sum()
        assert abs(amplitude.argmax() * 1.0 - 1000.0 * rate) < FREQUENCY_TOLERANCE_HZ
        assert amplitude.max() == pytest.approx(1.0, abs=0.01)
    end = round(2 * RATE / 1.25)
    assert (played[0, end:] == 0).all() and played[0, end - 50 : end].abs().max() > 0.9
    assert played[1, -50:].abs().max() > 0.9  # cut off


def test_an_event_comes_earlier_or_later():
    click = torch.zeros(2, 1, 1000)
    click[..., 400] = 1.0
    assert speed(click, rate=rates(1.25, 0.8)).argmax(dim=2).flatten().tolist() == [320, 500]


def test_at_rate_1_nothing_changes():
    clips = noise(1, 2, 500)
    for interpolation in ("linear", "cubic"):
        assert torch.equal(speed(clips, rate=rates(1.0), interpolation=interpolation), clips)


def test_lengths_are_the_inputs_over_the_rate_rounded():
    lengths = speed_lengths(torch.tensor([100, 100, 7, 1, 1, 0]), rate=rates(1.25, 0.8, 1.4, 1.9, 2.1, 0.5))
    assert lengths.tolist() == [80, 125, 5, 1, 0, 0] and lengths.dtype == torch.int64


@every_interpolation
def test_gradients_reach_what_is_heard_and_only_that(interpolation):
    clips = noise(2, 1, 300).requires_grad_()
    speed(clips, rate=rates(1.2, 0.5), interpolation=interpolation).square().sum().backward()
    assert torch.isfinite(clips.grad).all()
    assert (clips.grad[0].abs().sum() > 0) and (clips.grad[1, :, 200:] == 0).all()  # 150 and a kernel are played


@pytest.mark.parametrize("num_samples", [0, 1, 2])
def test_the_shortest_clips(num_samples):
    played = speed(torch.ones(2, 1, num_samples), rate=rates(0.5, 1.0))
    assert torch.equal(played, torch.ones(2, 1, num_samples))


def test_other_interpolations_are_refused():
    with pytest.raises(RequestError, match=r"interpolation: got 'best', may be 'linear', 'cubic' or 'sinc'\."):
        speed(torch.ones(1, 1, 9), rate=rates(1.0), interpolation="best")
