"""What the effects in time draw, what they hand to their functions, and what they refuse."""

import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError
from tonearm.gpu_augment import Augmented, Reverse, Shift, Speed, TimeShiftStretch
from tonearm.gpu_augment.functional import reverse, shift, speed, speed_lengths, time_shift_stretch

CLIPS = 4000


def drawn(effect) -> torch.Tensor:
    return effect.sample(CLIPS, 100, generator=seeded(0)).steps[0].rows[:, 1:]


def spans(values: torch.Tensor, low: float, high: float) -> bool:
    """Whether the values look uniform between low and high."""
    quarters = torch.linspace(0, 1, 5, dtype=torch.float64)
    quantiles = torch.quantile((values - low) / (high - low), quarters)
    return bool((quantiles - quarters).abs().max() < 0.04 and quantiles[0] >= 0)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(1))


def test_they_draw_uniformly():
    assert spans(drawn(Shift(1.0))[:, 0], -0.5, 0.5)
    assert spans(drawn(Shift(1.0, min_shift_fraction=0.1, max_shift_fraction=0.9))[:, 0], 0.1, 0.9)
    assert spans(drawn(Speed(1.0))[:, 0], 0.9, 1.1)
    assert (drawn(Speed(1.0, min_rate=1.3, max_rate=1.3)) == 1.3).all()
    assert drawn(Reverse(1.0)).shape == (CLIPS, 0)


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "sinc"])
def test_time_shift_stretch_is_its_function_with_the_cuts_it_drew(interpolation):
    waveform, lengths = noise(6, 2, 300), torch.tensor([300, 299, 200, 50, 1, 0])
    effect = TimeShiftStretch(1.0, max_rate=1.6, interpolation=interpolation)
    params = effect.sample(6, 300, generator=seeded(2))
    cut_out, cut_in = params.steps[0].rows[:, 1:].unbind(1)
    expected = time_shift_stretch(
        waveform, cut_out=cut_out, cut_in=cut_in, lengths=lengths, interpolation=interpolation, max_rate=1.6
    )
    assert torch.equal(effect.apply(waveform, params, lengths).waveform, expected)


@pytest.mark.parametrize("mode", ["roll", "zero"])
def test_shift_moves_by_a_part_of_the_valid_length(mode):
    waveform, lengths = noise(6, 2, 300), torch.tensor([300, 299, 200, 50, 1, 0])
    effect = Shift(1.0, mode=mode)
    params = effect.sample(6, 300, generator=seeded(2))
    fraction = params.steps[0].rows[:, 1]
    for own, valid in ((lengths, lengths), (None, torch.full((6,), 300))):
        places = (fraction * valid).round().long()
        out = effect.apply(waveform, params, own)
        out = out.waveform if isinstance(out, Augmented) else out
        assert torch.equal(out, shift(waveform, num_samples=places, mode=mode, lengths=own))


@pytest.mark.parametrize("interpolation", ["linear", "cubic", "sinc"])
def test_speed_is_its_function_and_says_the_new_lengths(interpolation):
    waveform, lengths = noise(6, 2, 300), torch.tensor([300, 299, 200, 50, 1, 0])
    effect = Speed(1.0, min_rate=0.5, max_rate=1.6, interpolation=interpolation)
    params = effect.sample(6, 300, generator=seeded(2))
    rate = params.steps[0].rows[:, 1]
    played = effect.apply(waveform, params, lengths)
    expected = speed(waveform, rate=rate, lengths=lengths, interpolation=interpolation, max_rate=1.6)
    assert torch.equal(played.waveform, expected)
    assert torch.equal(played.lengths, speed_lengths(lengths, rate=rate).clamp(max=300))
    with_targets = effect.apply(waveform, params, None, torch.eye(6))
    assert torch.equal(with_targets.lengths, speed_lengths(torch.full((6,), 300), rate=rate).clamp(max=300))


def test_clips_that_are_off_keep_their_length():
    lengths = torch.tensor([300, 200, 100]).repeat(10)
    effect = Speed(0.5, min_rate=1.5, max_rate=1.6)
    params = effect.sample(30, 300, generator=seeded(0))
    out = effect.apply(noise(30, 1, 300), params, lengths)
    changed = torch.zeros(30, dtype=torch.bool)
    changed[params.steps[0].clips] = True
    assert 0 < changed.sum() < 30
    assert torch.equal(out.lengths[~changed], lengths[~changed]) and (out.lengths[changed] < lengths[changed]).all()


def test_reverse_is_its_function():
    waveform, lengths = noise(4, 2, 30), torch.tensor([30, 20, 1, 0])
    assert torch.equal(Reverse(1.0)(waveform), reverse(waveform))
    assert torch.equal(Reverse(1.0)(waveform, lengths).waveform, reverse(waveform, lengths=lengths))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TimeShiftStretch(interpolation="best"), r"interpolation: got 'best', may be 'linear', 'cubic' or"),
        (lambda: Speed(interpolation=None), r"interpolation: got None, may be 'linear', 'cubic' or 'sinc'"),
        (lambda: Speed(min_rate=0), r"min_rate: got 0, may be more than 0"),
        (lambda: Speed(min_rate=1.2), r"min_rate, max_rate: got 1.2 and 1.1, may be finite numbers, min_rate <= max"),
        (lambda: Speed(max_rate="2"), r"min_rate, max_rate: got 0.9 and '2', may be finite numbers"),
        (lambda: Shift(mode="wrap"), r"mode: got 'wrap', may be 'roll' or 'zero'"),
        (lambda: Shift(min_shift_fraction=-1.5), r"min_shift_fraction, .*: got -1.5 and 0.5, may be from -1 to 1"),
        (lambda: Shift(max_shift_fraction=2), r"got -0.5 and 2, may be from -1 to 1"),
        (lambda: Shift(min_shift_fraction=0.6), r"got 0.6 and 0.5, may be finite numbers, min_shift_fraction <= max"),
        (lambda: Reverse(2), r"p: got 2, may be a number from 0 to 1"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(RequestError, match=message):
        make()
