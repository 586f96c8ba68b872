"""What the effects on spectra draw, and what they refuse."""

import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError
from tonearm.gpu_augment import Augmented
from tonearm.gpu_augment.functional.frequency_shift import frequency_shift
from tonearm.gpu_augment.functional.phase_noise import phase_noise
from tonearm.gpu_augment.functional.pitch_shift import pitch_shift
from tonearm.gpu_augment.functional.time_stretch import time_stretch
from tonearm.gpu_augment.transforms.spectral import FrequencyShift, PhaseNoise, PitchShift, TimeStretch

CLIPS = 4000
FRAMES = {"n_fft": 64, "hop_length": 16}


def drawn(effect) -> torch.Tensor:
    return effect.sample(CLIPS, 100, generator=seeded(0)).steps[0].rows[:, 1:]


def spans(values: torch.Tensor, low: float, high: float) -> bool:
    """Whether the values look uniform between low and high."""
    places = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).double()
    quantiles = torch.quantile((values - low) / (high - low), places)
    return bool((quantiles - places).abs().max() < 0.04 and quantiles[0] >= 0)


def test_what_they_draw_is_uniform():
    rate = drawn(TimeStretch(1.0, min_rate=0.5, max_rate=3.0))[:, 0]
    assert spans(rate.log2(), -1.0, 1.584962500721156)
    assert spans(drawn(PitchShift(1.0, min_semitones=-3.0, max_semitones=7.0))[:, 0], -3.0, 7.0)
    assert spans(drawn(FrequencyShift(1.0, sample_rate=8000, min_shift_hz=-50, max_shift_hz=10))[:, 0], -50, 10)
    rows = drawn(PhaseNoise(1.0, min_deviation=0.1, max_deviation=0.4))
    assert spans(rows[:, 0], 0.1, 0.4) and spans(rows[:, 1:].flatten(), -(2.0**31), 2.0**31)


@pytest.mark.parametrize("effect", [TimeStretch(1.0, min_rate=1.1, max_rate=1.1), PitchShift(1.0, min_semitones=4.0)])
def test_a_range_may_be_one_value(effect):
    assert len(drawn(effect).unique()) == 1


def test_each_is_its_function_with_the_columns_it_drew():
    waveform, lengths = torch.randn(6, 2, 900, generator=seeded(1)), torch.tensor([900, 800, 500, 30, 1, 0])
    calls = {
        TimeStretch(1.0, **FRAMES): lambda rows: time_stretch(waveform, rate=rows[:, 0], lengths=lengths, **FRAMES)[0],
        PitchShift(1.0, **FRAMES): lambda rows: pitch_shift(
            waveform, semitones=rows[:, 0], max_semitones=4.0, lengths=lengths, **FRAMES
        ),
        FrequencyShift(1.0, sample_rate=1000): lambda rows: frequency_shift(
            waveform, shift_hz=rows[:, 0], sample_rate=1000, lengths=lengths
        ),
        PhaseNoise(1.0, **FRAMES): lambda rows: phase_noise(
            waveform, keys=rows[:, 1:].to(torch.int32), deviation=rows[:, 0], lengths=lengths, **FRAMES
        ),
    }
    for effect, call in calls.items():
        params = effect.sample(6, 900, generator=seeded(2))
        out = effect.apply(waveform, params, lengths)
        assert isinstance(out, Augmented)
        assert torch.equal(out.waveform, call(params.steps[0].rows[:, 1:]))


def test_a_stretched_clip_has_the_length_that_its_rate_leaves():
    waveform = torch.randn(40, 1, 1000, generator=seeded(1))
    effect = TimeStretch(0.5, **FRAMES)
    params = effect.sample(40, 1000, generator=seeded(2))
    step = params.steps[0]
    rates = torch.ones(40, dtype=torch.float64).index_copy(0, step.clips, step.rows[:, 1])
    out = effect.apply(waveform, params, torch.full((40,), 800))
    assert torch.equal(out.lengths, (800 / rates).round().long())
    for clip, length in enumerate(out.lengths.tolist()):
        if rates[clip] != 1:
            assert (out.waveform[clip, :, length:] == 0).all() and (out.waveform[clip, :, :length] != 0).any()
    whole = effect.apply(waveform, params, None, torch.eye(40))
    assert torch.equal(whole.lengths, (1000 / rates).round().long().clamp(max=1000))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TimeStretch(min_rate=0.0), r"min_rate: got 0.0, may be more than 0"),
        (lambda: TimeStretch(min_rate=2.0), r"min_rate, max_rate: got 2.0 and 1.25, may be finite numbers"),
        (lambda: TimeStretch(n_fft=1000, hop_length=300), r"n_fft, hop_length: got 1000 and 300, n_fft may be 2, 3"),
        (lambda: PitchShift(min_semitones=5), r"min_semitones, max_semitones: got 5 and 4.0, may be finite"),
        (lambda: PitchShift(hop_length="x"), r"n_fft, hop_length: got 2048 and 'x', may be an even number"),
        (lambda: FrequencyShift(sample_rate=0), r"sample_rate: got 0, may be a whole number, 1 Hz or more"),
        (lambda: FrequencyShift(sample_rate=8000, min_shift_hz=None), r"min_shift_hz, max_shift_hz: got None and 200"),
        (lambda: PhaseNoise(min_deviation=-0.1), r"min_deviation: got -0.1, may be 0 radians or more"),
        (lambda: PhaseNoise(max_deviation=float("nan")), r"min_deviation, max_deviation: got 0.0 and nan"),
        (lambda: PhaseNoise(n_fft=7), r"n_fft, hop_length: got 7 and 256, may be an even number"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(RequestError, match=message):
        make()
