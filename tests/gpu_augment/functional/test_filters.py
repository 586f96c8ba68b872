import numpy as np
import pytest
import scipy.signal
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.filters import band_pass, high_pass, low_pass
from tonearm.gpu_augment.reference import filters as reference

RATE = 8000
FFT_ROUNDING = 5e-6  # float32, on samples of up to 5
RIPPLE = 1e-3  # -60 dB
CUTOFF_HZ = torch.tensor([200.0, 1000.0, 2500.0])
BAND = {"center_hz": torch.tensor([400.0, 1000.0, 1500.0]), "bandwidth_octaves": torch.tensor([2.5, 0.5, 1.0])}
FILTERS = [(low_pass, {"cutoff_hz": CUTOFF_HZ}), (high_pass, {"cutoff_hz": CUTOFF_HZ}), (band_pass, BAND)]
every_filter = pytest.mark.parametrize(("function", "parameters"), FILTERS)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def response(function, parameters, frequencies_hz: torch.Tensor) -> torch.Tensor:
    """Gains at frequencies, (clip, frequency), measured on an impulse in the middle of silence."""
    impulse = torch.zeros(3, 1, 2 * RATE + 1, dtype=torch.float64)
    impulse[..., RATE] = 1
    taps = function(impulse, **parameters, sample_rate=RATE)[:, 0]
    torch.testing.assert_close(taps, taps.flip(1), rtol=0, atol=1e-9)  # symmetric about where it was: no delay
    phase = 2 * torch.pi * frequencies_hz.double()[:, None] * (torch.arange(2 * RATE + 1) - RATE) / RATE
    return (taps[:, None] * phase.cos()).sum(dim=2)


@every_filter
@pytest.mark.parametrize("path", ["pieces", "whole"])
def test_it_agrees_with_the_reference(function, parameters, path, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", path == "whole")
    clean, lengths = noise(3, 2, 300), [300, 131, 7]
    filtered = function(clean, **parameters, sample_rate=RATE, lengths=torch.tensor(lengths))
    for clip, length in enumerate(lengths):
        own = {name: float(value[clip]) for name, value in parameters.items()}
        plain = getattr(reference, function.__name__)
        expected = plain(clean[clip].double().numpy(), **own, sample_rate=RATE, length=length)
        np.testing.assert_allclose(filtered[clip], expected, rtol=0, atol=FFT_ROUNDING)
        assert torch.equal(filtered[clip, :, length:], clean[clip, :, length:])


@every_filter
@pytest.mark.parametrize("with_lengths", [False, True])
def test_pieces_give_what_the_whole_gives(function, parameters, with_lengths, monkeypatch):
    clean = noise(3, 2, 20_000)
    lengths = torch.tensor([20_000, 9000, 0]) if with_lengths else None
    pieces = function(clean, **parameters, sample_rate=RATE, lengths=lengths)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    whole = function(clean, **parameters, sample_rate=RATE, lengths=lengths)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=FFT_ROUNDING)


def test_the_taps_are_scipys():
    impulse = torch.zeros(1, 1, 2001, dtype=torch.float64)
    impulse[..., 1000] = 1
    # An odd number of taps whose window ends where ours does: 2 · floor(half) + 1, half a whole number.
    half = 100
    cutoff_hz = (65 - 7.95) / 14.36 / 2 * RATE / (half + 1e-6) * 2
    cutoff = torch.tensor([cutoff_hz], dtype=torch.float64)
    taps = low_pass(impulse, cutoff_hz=cutoff, sample_rate=RATE)[0, 0, 900:1101]
    window = ("kaiser", 0.1102 * (65 - 8.7))
    expected = scipy.signal.firwin(2 * half + 1, cutoff_hz, window=window, fs=RATE)
    np.testing.assert_allclose(taps, expected, rtol=0, atol=1e-6)  # ours are float32


def test_a_low_pass_keeps_what_is_below_halves_at_the_cutoff_and_takes_away_what_is_above():
    for clip, cutoff in enumerate(CUTOFF_HZ.tolist()):
        frequencies = torch.cat([torch.linspace(0, 0.75 * cutoff, 50), torch.tensor([cutoff])])
        above = torch.linspace(1.25 * cutoff, RATE / 2, 50)
        gains = response(low_pass, {"cutoff_hz": CUTOFF_HZ}, torch.cat([frequencies, above]))[clip]
        assert (gains[:50] - 1).abs().max() < RIPPLE
        assert gains[50] == pytest.approx(0.5, abs=2e-3)  # -6 dB
        assert gains[51:].abs().max() < RIPPLE


def test_a_high_pass_is_what_a_low_pass_leaves():
    clean = noise(3, 1, 5000)
    both = [function(clean, cutoff_hz=CUTOFF_HZ, sample_rate=RATE) for function in (low_pass, high_pass)]
    torch.testing.assert_close(both[0] + both[1], clean, rtol=0, atol=FFT_ROUNDING)


@pytest.mark.parametrize("width", [0.25, 0.5, 1.0, 3.0])
def test_a_band_pass_has_gain_1_at_its_center_and_a_half_at_its_edges(width):
    center = torch.tensor([300.0, 700.0, 1200.0])
    band = {"center_hz": center, "bandwidth_octaves": torch.full((3,), width)}
    for clip in range(3):
        low, high = (float(center[clip]) * 2 ** (sign * width / 2) for sign in (-1, 1))
        transition = min(low, high - low) / 2
        wanted = torch.tensor([float(center[clip]), low, high, low - transition / 2, high + transition / 2, 0.0])
        gains = response(band_pass, band, wanted)[clip]
        assert gains[0] == pytest.approx(1, abs=2 * RIPPLE)
        assert gains[1:3].tolist() == pytest.approx([0.5, 0.5], abs=3e-3)
        assert gains[3:].abs().max() < 2 * RIPPLE  # of two low-passes


def test_tones_in_the_pass_band_come_through_in_place_and_those_in_the_stop_band_vanish():
    time = torch.arange(2 * RATE) / RATE
    tone = torch.sin(2 * torch.pi * 440 * time)[None, None]
    inner = slice(RATE // 2, -RATE // 2)  # the borders are held, which is no tone
    for cutoff, low, high in ((1000.0, 1, 0), (300.0, 0, 1)):
        for function, gain in ((low_pass, low), (high_pass, high)):
            filtered = function(tone, cutoff_hz=torch.tensor([cutoff]), sample_rate=RATE)
            assert (filtered - gain * tone)[..., inner].abs().max() < RIPPLE


@pytest.mark.parametrize("path", ["pieces", "whole"])
def test_a_constant_stays_under_a_low_pass_and_vanishes_under_the_others(path, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", path == "whole")
    constant, lengths = torch.full((3, 1, 4000), 0.7), torch.tensor([4000, 1500, 1])
    for function, parameters in FILTERS:
        filtered = function(constant, **parameters, sample_rate=RATE, lengths=lengths)
        expected = constant if function is low_pass else torch.zeros(3, 1, 4000)
        for clip, length in enumerate(lengths.tolist()):  # to the very borders
            torch.testing.assert_close(
                filtered[clip, :, :length], expected[clip, :, :length], rtol=0, atol=FFT_ROUNDING
            )


def test_from_half_the_sample_rate_on_a_low_pass_changes_nothing_and_a_high_pass_leaves_nothing():
    clean, cutoff = noise(2, 1, 500), torch.tensor([RATE / 2, 9 * RATE])
    torch.testing.assert_close(low_pass(clean, cutoff_hz=cutoff, sample_rate=RATE), clean, rtol=0, atol=FFT_ROUNDING)
    assert high_pass(clean, cutoff_hz=cutoff, sample_rate=RATE).abs().max() < FFT_ROUNDING


def test_near_half_the_sample_rate_the_gain_at_the_cutoff_goes_from_a_half_to_one():
    cutoffs = RATE * torch.tensor([0.4, 0.475, 0.4999])
    gains = response(low_pass, {"cutoff_hz": cutoffs}, cutoffs).diagonal().abs()
    assert gains[0].item() == pytest.approx(0.5, abs=0.01) and gains[-1].item() == pytest.approx(1.0, abs=0.01)
    assert (gains.diff() > 0).all()


def test_the_narrowest_transition_bounds_the_filters_length():
    impulse = torch.zeros(1, 1, 4001)
    impulse[..., 2000] = 1
    taps = low_pass(impulse, cutoff_hz=torch.tensor([20.0]), sample_rate=RATE, min_transition_hz=50.0)
    half = int((65 - 7.95) / 14.36 / 2 * RATE / 50)
    reached = (taps[0, 0].abs() > 1e-7).nonzero()
    assert 2000 - half <= reached.min() and reached.max() <= 2000 + half
    assert taps.sum() == pytest.approx(1, abs=1e-4)


@every_filter
@pytest.mark.parametrize("path", ["pieces", "whole"])
def test_nothing_of_one_clip_gets_into_another_and_silence_stays(function, parameters, path, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", path == "whole")
    clips = noise(3, 1, 3000)
    clips[0], clips[1, 0, 5] = 0.0, float("nan")
    filtered = function(clips, **parameters, sample_rate=RATE)
    assert not filtered[0].any() and filtered[2].isfinite().all()
    spoilt = noise(3, 1, 3000)
    spoilt[:, :, 2000:] = float("nan")  # padding
    lengths = torch.full((3,), 2000)
    assert function(spoilt, **parameters, sample_rate=RATE, lengths=lengths)[..., :2000].isfinite().all()


@every_filter
@pytest.mark.parametrize("shape", [(3, 0, 10), (3, 1, 0), (3, 1, 1)])
def test_odd_shapes(function, parameters, shape):
    assert function(torch.zeros(shape), **parameters, sample_rate=RATE).shape == shape


@every_filter
def test_parameters_may_be_learnt(function, parameters):
    learnt = {name: value.clone().requires_grad_() for name, value in parameters.items()}
    function(noise(3, 1, 500), **learnt, sample_rate=RATE).square().sum().backward()
    assert all(value.grad.isfinite().all() and value.grad.any() for value in learnt.values())


@every_filter
def test_what_is_no_waveform_is_refused(function, parameters):
    with pytest.raises(ShapeError, match=r"waveform: got \(3, 5\) torch.float32, must be \(batch, channel, time\)"):
        function(torch.zeros(3, 5), **parameters, sample_rate=RATE)
