"""What the modules draw, and what they refuse."""

import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError
from tonearm.gpu_augment import Chain, Noise, Reverb, TimeShiftStretch
from tonearm.gpu_augment.functional import add_noise, convolve, synthetic_rir, white_noise

CLIPS = 4000


def drawn(effect) -> torch.Tensor:
    return effect.sample(CLIPS, 100, generator=seeded(0)).steps[0].rows[:, 1:]


def spans(values: torch.Tensor, low: float, high: float) -> bool:
    """Whether the values look uniform between low and high."""
    quantiles = torch.quantile((values - low) / (high - low), torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).double())
    return bool((quantiles - torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])).abs().max() < 0.04 and quantiles[0] >= 0)


def test_time_shift_stretch_draws_cuts_all_over_with_both_rates_in_range():
    cut_out, cut_in = drawn(TimeShiftStretch(1.0)).unbind(1)
    assert spans(cut_out, 0.0, 1.0)
    for rate in (cut_in / cut_out, (1 - cut_in) / (1 - cut_out)):
        # The cut is kept 1e-9 off the ends, where dividing by it costs that much precision.
        assert rate.min() >= 0.8 - 1e-9 and rate.max() <= 1.25 + 1e-9
        assert rate.min() < 0.81 and rate.max() > 1.24


def test_noise_and_reverb_draw_uniformly():
    assert spans(drawn(Noise(1.0, -5.0, 12.0))[:, 0], -5.0, 12.0)
    assert (drawn(Noise(1.0, 7.0, 7.0))[:, 0] == 7.0).all()
    rooms = drawn(Reverb(1.0, sample_rate=8000, max_rt60_seconds=0.5, min_drr_db=-3.0))
    assert spans(rooms[:, 0], 0.1, 0.5) and spans(rooms[:, 1], -3.0, 15.0)


def test_keys_span_the_whole_range():
    keys = drawn(Noise(1.0))[:, 1:]
    assert spans(keys.flatten(), -(2.0**31), 2.0**31)
    assert torch.equal(keys, keys.to(torch.int32).double())


def test_noise_is_its_function_with_the_columns_it_drew():
    waveform = torch.randn(6, 2, 300, generator=seeded(1))
    effect = Noise(1.0, -5.0, 12.0)
    params = effect.sample(6, 300, generator=seeded(2))
    snr_db, first_key, second_key = params.steps[0].rows[:, 1:].unbind(1)
    keys = torch.stack([first_key, second_key], dim=1).to(torch.int32)
    expected = add_noise(waveform, white_noise(keys, num_channels=2, num_samples=300), snr_db=snr_db)
    assert torch.equal(effect.apply(waveform, params), expected)


def test_reverb_is_its_function_with_the_columns_it_drew():
    waveform = torch.randn(6, 2, 900, generator=seeded(1))
    effect = Reverb(1.0, sample_rate=1000, min_rt60_seconds=0.1, max_rt60_seconds=0.5004, min_drr_db=-9, max_drr_db=9)
    params = effect.sample(6, 900, generator=seeded(2))
    rt60_seconds, drr_db, first_key, second_key = params.steps[0].rows[:, 1:].unbind(1)
    rir = synthetic_rir(
        torch.stack([first_key, second_key], dim=1).to(torch.int32),
        rt60_seconds=rt60_seconds,
        drr_db=drr_db,
        sample_rate=1000,
        num_samples=501,  # as long as the liveliest room rings, rounded up
    )
    assert torch.equal(effect.apply(waveform, params), convolve(waveform, rir[:, None]))


ONE_ROOM = {"min_rt60_seconds": 0.3, "max_rt60_seconds": 0.3, "min_drr_db": 0.0, "max_drr_db": 0.0}


@pytest.mark.parametrize("effect", [Noise(1.0), Reverb(1.0, sample_rate=1000, **ONE_ROOM)])
def test_what_is_added_differs_from_clip_to_clip_and_from_call_to_call(effect):
    waveform = torch.randn(1, 1, 400, generator=seeded(1)).expand(4, 1, 400)
    added = torch.cat([effect(waveform) - waveform, effect(waveform) - waveform]).flatten(1)
    alike = torch.corrcoef(added) - torch.eye(8)
    assert alike.max() < 0.9  # equal noise at another level would correlate perfectly


def test_the_measured_snr_is_within_the_range():
    waveform = torch.randn(200, 1, 2000, generator=seeded(1))
    added = Noise(1.0, 3.0, 9.0, generator=seeded(2))(waveform) - waveform
    snr_db = 10 * (waveform.square().sum(dim=(1, 2)) / added.square().sum(dim=(1, 2))).log10()
    assert 3.0 - 1e-3 < snr_db.min() < 3.3 and 8.7 < snr_db.max() < 9.0 + 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Noise(1.5), r"p: got 1.5, may be a number from 0 to 1"),
        (lambda: Noise(float("nan")), r"p: got nan, may be a number from 0 to 1"),
        (lambda: Noise("a"), r"p: got 'a', may be a number from 0 to 1"),
        (lambda: Noise(None), r"p: got None, may be a number from 0 to 1"),
        (lambda: Noise(True), r"p: got True, may be a number from 0 to 1"),
        (lambda: Noise(0.5, "0"), r"min_snr_db, max_snr_db: got '0' and 30.0, may be finite numbers"),
        (lambda: Noise(0.5, 0, None), r"min_snr_db, max_snr_db: got 0 and None, may be finite numbers"),
        (lambda: Noise(generator=3), r"generator: got 3, may be a torch.Generator on the CPU, or None"),
        (lambda: Chain([], generator=3), r"generator: got 3, may be a torch.Generator"),
        (lambda: TimeShiftStretch(min_rate=None), r"min_rate, max_rate: got None and 1.25, may be finite numbers"),
        (lambda: TimeShiftStretch(max_rate=float("inf")), r"min_rate, max_rate: got 0.8 and inf, may be finite"),
        (lambda: Reverb(sample_rate="x"), r"sample_rate: got 'x', may be a whole number, 1 Hz or more"),
        (lambda: Reverb(sample_rate=8000.5), r"sample_rate: got 8000.5, may be a whole number, 1 Hz or more"),
        (lambda: Noise().sample(-1, 5), r"batch_size: got -1, may be a whole number, 0 or more"),
        (lambda: Noise().sample(3, -5), r"num_samples: got -5, may be a whole number, 0 or more"),
        (lambda: Noise().sample("3", 5), r"batch_size: got '3', may be a whole number, 0 or more"),
        (lambda: Noise(0.5, 10.0, 5.0), r"min_snr_db, max_snr_db: got 10.0 and 5.0, .* numbers, min_snr_db <= max"),
        (lambda: Noise(0.5, 10.0, float("inf")), r"got 10.0 and inf, .*finite numbers"),
        (lambda: Noise(color="red"), r"color: got 'red', may be "),
        (lambda: TimeShiftStretch(min_rate=1.1), r"min_rate, max_rate: got 1.1 and 1.25, may be 0 < min_rate <= 1"),
        (lambda: TimeShiftStretch(min_rate=0.0), r"min_rate, max_rate: got 0.0 and 1.25"),
        (lambda: TimeShiftStretch(max_rate=0.9), r"min_rate, max_rate: got 0.8 and 0.9"),
        (lambda: Reverb(sample_rate=0), r"sample_rate: got 0, may be a whole number, 1 Hz or more"),
        (lambda: Reverb(sample_rate=8000, min_rt60_seconds=0), r"min_rt60_seconds: got 0, may be more than 0"),
        (lambda: Reverb(sample_rate=8000, min_rt60_seconds=2), r"min_rt60_seconds, max_rt60_seconds: got 2 and 1.0"),
        (lambda: Reverb(sample_rate=8000, min_drr_db=20), r"min_drr_db, max_drr_db: got 20 and 15.0"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(RequestError, match=message):
        make()
