"""The mission's effect: its parts at their rates, cut where they should be, exact after ten minutes."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from tonearm.errors import RequestError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, cut_range, time_shift_stretch
from tonearm.gpu_augment.functional.time_shift_stretch import input_positions

FLOAT32_ROUNDING = 2e-6
TABLE_ROUNDING = 1e-5  # of sinc: its table is 1e-6 off at a tap at most, and the samples are up to 4
FLOAT64_ROUNDING = 1e-12
POSITION_ROUNDING = 2e-8  # samples, of float64 products of 3e7
FREQUENCY_TOLERANCE_HZ = 2.0  # a bin of half a second

RATE = 44_100


def fractions(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def tone(frequency_hz: float, seconds: float) -> torch.Tensor:
    t = torch.arange(round(seconds * RATE), dtype=torch.float64)
    return torch.sin(2 * torch.pi * frequency_hz / RATE * t).float()[None, None]


def spectrum(samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Frequencies in Hz and amplitudes, where a sine of amplitude 1 has 1."""
    window = torch.hann_window(len(samples))
    amplitude = torch.fft.rfft(samples * window).abs() * 2 / window.sum()
    return torch.fft.rfftfreq(len(samples), 1 / RATE), amplitude


every_interpolation = pytest.mark.parametrize("interpolation", ["linear", "cubic", "sinc"])


@every_interpolation
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("whole", [False, True])
def test_it_agrees_with_the_reference(channels, interpolation, whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    clips = torch.randn(4, channels, 200, generator=torch.Generator().manual_seed(0))
    cut_out, cut_in, lengths = [0.5, 0.3, 0.9, 0.5], [0.6, 0.25, 0.92, 0.5], [200, 150, 3, 1]
    stretched = time_shift_stretch(
        clips,
        cut_out=fractions(*cut_out),
        cut_in=fractions(*cut_in),
        lengths=torch.tensor(lengths),
        interpolation=interpolation,
    )
    rounding = TABLE_ROUNDING if interpolation == "sinc" else FLOAT32_ROUNDING
    for clip in range(4):
        expected = reference.time_shift_stretch(
            clips[clip].double().numpy(),
            cut_out=cut_out[clip],
            cut_in=cut_in[clip],
            length=lengths[clip],
            interpolation=interpolation,
        )
        np.testing.assert_allclose(stretched[clip], expected, rtol=0, atol=rounding)


@every_interpolation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clip_by_clip_and_the_whole_batch_agree(interpolation, dtype, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(7, 2, 3000, dtype=dtype, generator=generator)
    lengths = torch.tensor([3000, 2999, 1700, 40, 2, 1, 0])
    cut_out = torch.rand(7, dtype=torch.float64, generator=generator).clamp(1e-9, 1 - 1e-9)
    lowest, highest = cut_range(cut_out, min_rate=0.6, max_rate=1.5)
    cuts = {"cut_out": cut_out, "cut_in": (lowest + highest) / 2, "interpolation": interpolation, "max_rate": 1.5}
    for own_lengths in (None, lengths):
        if own_lengths is not None:
            clips[3:, :, 40:] = float("nan")  # which nobody may read
        by_clip = time_shift_stretch(clips, lengths=own_lengths, **cuts)
        monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
        whole = time_shift_stretch(clips, lengths=own_lengths, **cuts)
        monkeypatch.setattr(blocks, "ALWAYS_WHOLE", False)
        torch.testing.assert_close(by_clip, whole, rtol=0, atol=FLOAT32_ROUNDING, equal_nan=True)
    for clip, length in enumerate(lengths.tolist()):
        assert torch.isfinite(by_clip[clip, :, : min(length, 40)]).all()


@every_interpolation
def test_gradients_go_where_the_samples_came_from(interpolation):
    """The effect is linear in the clip, so that its gradient is its transpose."""
    generator = torch.Generator().manual_seed(0)
    clip = torch.randn(1, 1, 200, dtype=torch.float64, generator=generator, requires_grad=True)
    weights = torch.randn(1, 1, 200, dtype=torch.float64, generator=generator)
    cuts = {"cut_out": fractions(0.4), "cut_in": fractions(0.45), "interpolation": interpolation}
    (weights * time_shift_stretch(clip, **cuts)).sum().backward()
    with torch.no_grad():
        identity = torch.eye(200, dtype=torch.float64)[:, None]
        columns = time_shift_stretch(
            identity,
            cut_out=fractions(0.4).expand(200),
            cut_in=fractions(0.45).expand(200),
            interpolation=interpolation,
        )
    expected = (columns[:, 0] * weights[0, 0]).sum(dim=1)
    torch.testing.assert_close(clip.grad[0, 0], expected, rtol=0, atol=FLOAT64_ROUNDING)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_equal_cuts_change_nothing(interpolation):
    clips = torch.randn(2, 1, 1000, generator=torch.Generator().manual_seed(0))
    cut = fractions(0.3, 0.8)
    same = time_shift_stretch(clips, cut_out=cut, cut_in=cut, interpolation=interpolation)
    torch.testing.assert_close(same, clips, rtol=0, atol=FLOAT32_ROUNDING)


@every_interpolation
def test_a_tone_has_the_frequency_of_its_rate_on_each_side_of_the_cut(interpolation):
    stretched = time_shift_stretch(
        tone(1000.0, 2.0), cut_out=fractions(0.5), cut_in=fractions(0.55), interpolation=interpolation
    )[0, 0]
    for half, rate in ((stretched[:RATE], 1.1), (stretched[RATE:], 0.9)):
        frequencies, amplitude = spectrum(half)
        peak = frequencies[amplitude.argmax()]
        assert abs(peak - 1000.0 * rate) < FREQUENCY_TOLERANCE_HZ
        assert amplitude.max() == pytest.approx(1.0, abs=0.01)


def test_an_event_at_the_cut_of_the_input_moves_to_the_cut_of_the_output():
    click = torch.zeros(1, 1, 1001)
    click[..., 600] = 1.0
    stretched = time_shift_stretch(click, cut_out=fractions(500 / 1001), cut_in=fractions(600 / 1001))
    assert stretched.argmax() == 500
    assert stretched.max() == pytest.approx(1.0, abs=1e-6)


def test_linear_interpolation_folds_as_documented():
    """At a rate near 2, 18 kHz becomes its image, sinc²(18/44.1) = -5 dB strong; a promise about a weakness."""
    rate = 1.9
    stretched = time_shift_stretch(tone(18_000.0, 2.0), cut_out=fractions(0.25), cut_in=fractions(0.25 * rate))
    frequencies, amplitude = spectrum(stretched[0, 0, : RATE // 2])
    assert abs(frequencies[amplitude.argmax()] - (RATE - rate * 18_000)) < 2 * FREQUENCY_TOLERANCE_HZ
    assert 20 * amplitude.max().log10() == pytest.approx(-5.05, abs=0.3)


@pytest.mark.parametrize("frequency_hz", [18_000.0, 19_500.0, 21_500.0])
def test_with_sinc_nothing_folds(frequency_hz):
    """At rate 1.25 what lies above 17.64 kHz has no place below half the sample rate."""
    cuts = {"cut_out": fractions(0.5), "cut_in": fractions(0.5 * 1.25), "interpolation": "sinc"}
    stretched = time_shift_stretch(tone(frequency_hz, 2.0), **cuts)[0, 0]
    # Not the ends: the tone begins there, and the two parts meet, with a click.
    _, amplitude = spectrum(stretched[500 : RATE - 500])
    assert 20 * amplitude.max().log10() < -70.0  # what functional/interpolation.py promises
    frequencies, amplitude = spectrum(stretched[RATE + 500 : -500])  # it comes out at rate 0.75 in the slower part
    assert abs(frequencies[amplitude.argmax()] - 0.75 * frequency_hz) < FREQUENCY_TOLERANCE_HZ
    image_hz = 0.75 * (RATE - frequency_hz)
    near = (frequencies - image_hz).abs() < 3 * FREQUENCY_TOLERANCE_HZ
    if abs(image_hz - 0.75 * frequency_hz) > 1000.0:
        assert 20 * amplitude[near].max().log10() < -70.0


def test_sinc_made_for_slower_rates_lets_treble_fold():
    """max_rate is what its kernel is wide enough for."""
    cuts = {"cut_out": fractions(0.25), "cut_in": fractions(0.5), "interpolation": "sinc"}  # rate 2
    levels = []
    for max_rate in (1.0, 2.0):
        stretched = time_shift_stretch(tone(16_000.0, 2.0), max_rate=max_rate, **cuts)[0, 0]
        _, amplitude = spectrum(stretched[500 : RATE // 2 - 500])
        levels.append(20 * amplitude.max().log10())
    assert levels[0] > -1.0 and levels[1] < -70.0


def test_other_interpolations_are_refused():
    with pytest.raises(RequestError, match=r"interpolation: got 'nearest', may be 'linear', 'cubic' or 'sinc'\."):
        time_shift_stretch(torch.ones(1, 1, 9), cut_out=fractions(0.5), cut_in=fractions(0.5), interpolation="nearest")


def test_positions_are_exact_after_ten_minutes():
    """float32 positions would be up to a sample off."""
    length = 10 * 60 * RATE
    b, a = Fraction(0.4) * length, Fraction(0.45) * length
    samples = [0, 1, 1_234_567, int(b), int(b) + 1, 20_000_001, length - 2]
    positions = input_positions(
        torch.tensor(samples, dtype=torch.float64),
        cut_out=fractions(0.4),
        cut_in=fractions(0.45),
        end=fractions(length)[:, None],
    )
    for t, position in zip(samples, positions[0].tolist(), strict=True):
        exact = t * a / b if t < b else a + (t - b) * (length - a) / (length - b)
        assert abs(Fraction(position) - exact) < POSITION_ROUNDING


@pytest.mark.parametrize("whole", [False, True])
def test_the_end_of_a_ten_minute_clip_is_in_its_place(whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    length = 10 * 60 * RATE
    clip = torch.zeros(1, 1, length)
    clip[..., length - 1000 :: 90] = 1.0  # clicks
    stretched = time_shift_stretch(clip, cut_out=fractions(0.5), cut_in=fractions(0.55))[0, 0]
    for click in range(length - 1000, length, 90):
        place = length - (length - click) / 0.9  # the second part runs at rate 0.9 and ends where it ended
        near = stretched[round(place) - 2 : round(place) + 3].double()
        center = (near * torch.arange(round(place) - 2, round(place) + 3)).sum() / near.sum()
        assert abs(center - place) < 0.1


@pytest.mark.parametrize(("min_rate", "max_rate"), [(0.8, 1.25), (0.5, 2.0), (0.99, 4.0), (1.0, 1.0), (0.1, 1.0)])
def test_rates_stay_in_range_wherever_the_cut_falls(min_rate, max_rate):
    cut_out = torch.rand(5000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).clamp(1e-3, 1 - 1e-3)
    lowest, highest = cut_range(cut_out, min_rate=min_rate, max_rate=max_rate)
    assert (lowest <= cut_out + FLOAT64_ROUNDING).all() and (cut_out <= highest + FLOAT64_ROUNDING).all()
    for cut_in in (lowest, (lowest + highest) / 2, highest):
        for rate in (cut_in / cut_out, (1 - cut_in) / (1 - cut_out)):
            assert (rate >= min_rate - FLOAT64_ROUNDING * 1e3).all() and (
                rate <= max_rate + FLOAT64_ROUNDING * 1e3
            ).all()
    # And the range is no narrower than it must be: at each end one of the rates is at its limit.
    at_limit = (lowest / cut_out - min_rate).abs().minimum(((1 - lowest) / (1 - cut_out) - max_rate).abs())
    assert at_limit.max() < FLOAT64_ROUNDING * 1e3


def test_lengths_beyond_the_clip_count_as_its_length():
    clips = torch.randn(2, 1, 100, generator=torch.Generator().manual_seed(0))
    cuts = {"cut_out": fractions(0.5, 0.4), "cut_in": fractions(0.6, 0.5)}
    got = time_shift_stretch(clips, lengths=torch.tensor([101, 5000]), **cuts)
    assert torch.equal(got, time_shift_stretch(clips, **cuts))


@pytest.mark.parametrize("num_samples", [0, 1, 2])
def test_the_shortest_clips(num_samples):
    clips = torch.ones(2, 1, num_samples)
    assert torch.equal(time_shift_stretch(clips, cut_out=fractions(0.5, 0.1), cut_in=fractions(0.4, 0.11)), clips)
