"""What the effects on levels draw, and what they refuse."""

import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError
from tonearm.gpu_augment import Clip, Gain, MuLaw, Polarity, Quantize, SegmentGain
from tonearm.gpu_augment.functional import clip, gain, mu_law, quantize, segment_gain

CLIPS = 4000


def drawn(effect) -> torch.Tensor:
    return effect.sample(CLIPS, 100, generator=seeded(0)).steps[0].rows[:, 1:]


def spans(values: torch.Tensor, low: float, high: float) -> bool:
    """Whether the values look uniform between low and high."""
    quarters = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0]).double()
    quantiles = torch.quantile((values - low) / (high - low), quarters)
    return bool((quantiles - quarters).abs().max() < 0.04 and quantiles[0] >= 0)


def test_they_draw_uniformly():
    assert spans(drawn(Gain(1.0, min_gain_db=-20.0, max_gain_db=3.0))[:, 0], -20.0, 3.0)
    assert spans(drawn(Clip(1.0, min_threshold_db=-9.0, max_threshold_db=-1.0))[:, 0], -9.0, -1.0)
    segments = drawn(SegmentGain(1.0, num_segments=2, min_gain_db=-3.0, max_gain_db=1.0))
    assert spans(segments[:, :2].flatten(), 0.0, 1.0) and spans(segments[:, 2:].flatten(), -3.0, 1.0)
    assert drawn(Polarity(1.0)).shape == (CLIPS, 0)


@pytest.mark.parametrize("effect", [Quantize(1.0, min_bits=3, max_bits=6), MuLaw(1.0, min_bits=3, max_bits=6)])
def test_bits_are_whole_and_uniform_with_both_ends(effect):
    counts = torch.bincount(drawn(effect)[:, 0].long())
    assert counts[:3].sum() == 0 and len(counts) == 7
    assert (counts[3:] / CLIPS - 0.25).abs().max() < 5 * (0.25 * 0.75 / CLIPS) ** 0.5
    assert (drawn(MuLaw(1.0)) == 8).all()


def test_they_are_their_functions_with_the_columns_they_drew():
    waveform = torch.rand(6, 2, 300, generator=seeded(1)) - 0.5
    for effect, function, name in [
        (Gain(1.0), gain, "gain_db"),
        (Clip(1.0), clip, "threshold_db"),
        (Quantize(1.0), quantize, "bits"),
        (MuLaw(1.0, min_bits=4), mu_law, "bits"),
    ]:
        params = effect.sample(6, 300, generator=seeded(2))
        expected = function(waveform, **{name: params.steps[0].rows[:, 1]})
        assert torch.equal(effect.apply(waveform, params), expected)


def test_segments_are_a_share_of_the_valid_samples_anywhere_among_them():
    lengths = torch.tensor([300, 100, 7, 1, 0] * 400)
    waveform = torch.ones(2000, 1, 300)
    effect = SegmentGain(1.0, segment_share=0.2, min_gain_db=-6.0, max_gain_db=-6.0, generator=seeded(0))
    changed = effect(waveform, lengths).waveform != waveform
    width = changed.sum(dim=(1, 2)).view(400, 5)
    assert width.min(dim=0).values.tolist() == width.max(dim=0).values.tolist() == [60, 20, 2, 1, 0]
    first, second = changed[::5, 0].double().mean(dim=0), changed[1::5, 0].double().mean(dim=0)
    assert first[0] > 0 and first[-1] > 0 and second[0] > 0 and second[99] > 0 and second[100:].max() == 0
    assert first[60:240].mean().item() == pytest.approx(60 / 241, rel=0.1)  # of 241 places 60 cover a sample


def test_several_segments_are_the_function_with_the_columns_it_drew():
    waveform = torch.rand(6, 2, 300, generator=seeded(1))
    effect = SegmentGain(1.0, num_segments=3, segment_share=0.25)
    params = effect.sample(6, 300, generator=seeded(2))
    place, gain_db = params.steps[0].rows[:, 1:].split(3, dim=1)
    start, width = (place * (300 - 75 + 1)).long(), torch.full((6, 3), 75)
    expected = segment_gain(waveform, start=start, width=width, gain_db=gain_db)
    assert torch.equal(effect.apply(waveform, params), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gain(-1), r"p: got -1, may be a number from 0 to 1"),
        (lambda: Gain(min_gain_db=13.0), r"min_gain_db, max_gain_db: got 13.0 and 12.0, may be finite numbers"),
        (lambda: Polarity("x"), r"p: got 'x', may be a number from 0 to 1"),
        (lambda: Clip(min_threshold_db=0.0), r"min_threshold_db, max_threshold_db: got 0.0 and -3.0, may be finite"),
        (lambda: Clip(max_threshold_db=1.0), r"max_threshold_db: got 1.0, may be 0 or less"),
        (lambda: Quantize(min_bits=0), r"min_bits, max_bits: got 0 and 12, may be whole numbers from 1 to 24"),
        (lambda: Quantize(max_bits=25), r"min_bits, max_bits: got 6 and 25, may be whole numbers from 1 to 24"),
        (lambda: Quantize(min_bits=8, max_bits=7), r"got 8 and 7, may be whole numbers .* min_bits <= max_bits"),
        (lambda: MuLaw(min_bits=1), r"min_bits, max_bits: got 1 and 8, may be whole numbers from 2 to 24"),
        (lambda: MuLaw(max_bits=8.5), r"min_bits, max_bits: got 8 and 8.5, may be whole numbers"),
        (lambda: SegmentGain(num_segments=0), r"num_segments: got 0, may be a whole number, 1 or more"),
        (lambda: SegmentGain(segment_share=1.5), r"segment_share: got 1.5, may be a number from 0 to 1"),
        (lambda: SegmentGain(max_gain_db=-7), r"min_gain_db, max_gain_db: got -6.0 and -7, may be finite numbers"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(RequestError, match=message):
        make()
