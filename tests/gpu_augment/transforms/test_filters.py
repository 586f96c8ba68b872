"""What the filters draw, and what they refuse."""

import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError
from tonearm.gpu_augment.functional.filters import band_pass, high_pass, low_pass
from tonearm.gpu_augment.transforms.filters import BandPass, HighPass, LowPass

RATE = 8000
QUARTERS = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
FFT_ROUNDING = 5e-6  # filters of other lengths are cut into other FFTs


def drawn(effect) -> torch.Tensor:
    return effect.sample(4000, 100, generator=seeded(0)).steps[0].rows[:, 1:]


def uniform(values: torch.Tensor, low: float, high: float) -> bool:
    return bool((torch.quantile((values - low) / (high - low), QUARTERS) - QUARTERS).abs().max() < 0.04)


@pytest.mark.parametrize("effect", [LowPass, HighPass])
def test_cutoffs_are_log_uniform(effect):
    cutoff_hz = drawn(effect(1.0, sample_rate=RATE, min_cutoff_hz=100.0, max_cutoff_hz=3200.0))[:, 0]
    assert uniform(cutoff_hz.log2(), *torch.tensor([100.0, 3200.0]).log2().tolist())
    assert cutoff_hz.min() >= 100 and cutoff_hz.max() <= 3200
    assert (drawn(effect(1.0, sample_rate=RATE, min_cutoff_hz=70, max_cutoff_hz=70))[:, 0] == 70).all()


def test_centers_are_log_uniform_and_widths_uniform_in_octaves():
    center_hz, octaves = drawn(BandPass(1.0, sample_rate=RATE, max_center_hz=3200.0)).unbind(1)
    assert uniform(center_hz.log2(), *torch.tensor([200.0, 3200.0]).log2().tolist()) and uniform(octaves, 0.75, 3.0)


@pytest.mark.parametrize(("effect", "function"), [(LowPass, low_pass), (HighPass, high_pass)])
def test_they_are_their_functions_with_the_columns_they_drew(effect, function):
    waveform = torch.randn(6, 2, 3000, generator=seeded(1))
    made = effect(1.0, sample_rate=RATE, min_cutoff_hz=90.0, max_cutoff_hz=900.0)
    params = made.sample(6, 3000, generator=seeded(2))
    expected = function(waveform, cutoff_hz=params.steps[0].rows[:, 1], sample_rate=RATE)
    torch.testing.assert_close(made.apply(waveform, params), expected, rtol=0, atol=FFT_ROUNDING)


@pytest.mark.parametrize("widths", [(0.2, 0.3), (0.5, 4.0), (3.0, 3.0)])
def test_band_pass_is_its_function_and_its_narrowest_transition_narrow_enough(widths):
    waveform = torch.randn(6, 2, 3000, generator=seeded(1))
    made = BandPass(1.0, sample_rate=RATE, min_bandwidth_octaves=widths[0], max_bandwidth_octaves=widths[1])
    uniforms = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.1, 0.5], [1.0, 0.0], [1.0, 1.0], [0.5, 0.5]]).double()
    center_hz, octaves = made.parameters_from(uniforms).unbind(1)
    filtered = made.effect(waveform, made.parameters_from(uniforms), None)
    expected = band_pass(
        waveform, center_hz=center_hz, bandwidth_octaves=octaves, sample_rate=RATE, min_transition_hz=1.0
    )
    torch.testing.assert_close(filtered, expected, rtol=0, atol=FFT_ROUNDING)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LowPass(2.0, sample_rate=RATE), "p: got 2.0, may be a number from 0 to 1"),
        (lambda: LowPass(sample_rate=0), "sample_rate: got 0, may be a whole number, 1 Hz or more"),
        (lambda: LowPass(sample_rate=RATE, min_cutoff_hz=0), "min_cutoff_hz: got 0, may be more than 0"),
        (lambda: HighPass(sample_rate=RATE, min_cutoff_hz=3000), "min_cutoff_hz, max_cutoff_hz: got 3000 and 2400.0"),
        (lambda: HighPass(sample_rate=RATE, max_cutoff_hz="x"), "min_cutoff_hz, max_cutoff_hz: got 20.0 and 'x'"),
        (lambda: BandPass(sample_rate=RATE, min_center_hz=-1), "min_center_hz: got -1, may be more than 0"),
        (lambda: BandPass(sample_rate=None), "sample_rate: got None, may be a whole number"),
        (
            lambda: BandPass(sample_rate=RATE, min_bandwidth_octaves=0),
            "min_bandwidth_octaves: got 0, may be more than 0",
        ),
        (
            lambda: BandPass(sample_rate=RATE, max_bandwidth_octaves=0.5),
            "min_bandwidth_octaves, max_bandwidth_octaves: got 0.75 and 0.5",
        ),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(RequestError, match=message):
        make()
