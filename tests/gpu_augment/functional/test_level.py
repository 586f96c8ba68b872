"""Gain, polarity, clipping, quantization, mu-law and segment gain."""

import numpy as np
import pytest
import torch
import torchaudio

from tonearm.errors import ShapeError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, clip, gain, invert_polarity, mu_law, quantize, segment_gain

FLOAT32_ROUNDING = 1e-6

GAIN_DB = torch.tensor([-12.0, 0.0, 6.0, -60.0, 12.0], dtype=torch.float64)
THRESHOLD_DB = torch.tensor([-20.0, 0.0, -6.0, -3.0, -0.1], dtype=torch.float64)
BITS = torch.tensor([8, 2, 5, 12, 16])
START, WIDTH = torch.tensor([[0, 30], [5, 10], [39, 0], [0, 0], [20, 21]]), torch.tensor([[10], [20], [1], [40], [3]])
SEGMENT_DB = torch.tensor([[-6.0, 2.0]], dtype=torch.float64).expand(5, 2)
LENGTHS = torch.tensor([40, 25, 12, 1, 0])

SEGMENTS = {"start": START, "width": WIDTH.expand(5, 2), "gain_db": SEGMENT_DB}
SEGMENTS_OF = [
    [(*place, db) for *place, db in zip(START[i].tolist(), WIDTH[i].tolist() * 2, SEGMENT_DB[i].tolist(), strict=True)]
    for i in range(5)
]

# function, its parameters, the slow version, its parameters for each clip
EFFECTS = {
    "gain": (gain, {"gain_db": GAIN_DB}, reference.gain, [{"gain_db": x} for x in GAIN_DB.tolist()]),
    "invert_polarity": (invert_polarity, {}, reference.invert_polarity, [{}] * 5),
    "clip": (
        clip,
        {"threshold_db": THRESHOLD_DB},
        reference.clip,
        [{"threshold_db": x} for x in THRESHOLD_DB.tolist()],
    ),
    "quantize": (quantize, {"bits": BITS}, reference.quantize, [{"bits": x} for x in BITS.tolist()]),
    "mu_law": (mu_law, {"bits": BITS}, reference.mu_law, [{"bits": x} for x in BITS.tolist()]),
    "segment_gain": (segment_gain, SEGMENTS, reference.segment_gain, [{"segments": x} for x in SEGMENTS_OF]),
}

every_effect = pytest.mark.parametrize("name", EFFECTS)
with_and_without_lengths = pytest.mark.parametrize("lengths", [None, LENGTHS])


def clips(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.rand(5, 2, 40, generator=torch.Generator().manual_seed(0)) * 2.4 - 1.2).to(dtype)


@every_effect
@with_and_without_lengths
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_they_agree_with_the_reference(name, lengths, dtype):
    function, parameters, slow, of_each_clip = EFFECTS[name]
    changed = function(clips(dtype), **parameters, lengths=lengths)
    assert changed.dtype == dtype
    for i, own in enumerate(of_each_clip):
        length = 40 if lengths is None else lengths[i].item()
        expected = slow(clips(dtype)[i].double().numpy(), **own, length=length)
        np.testing.assert_allclose(changed[i], expected, rtol=FLOAT32_ROUNDING, atol=FLOAT32_ROUNDING)


@every_effect
@with_and_without_lengths
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_cpu_does_slice_by_slice_a_gpu_does_at_once(name, lengths, dtype, monkeypatch):
    function, parameters, _, _ = EFFECTS[name]
    sliced = function(clips(dtype), **parameters, lengths=lengths)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    assert torch.equal(sliced, function(clips(dtype), **parameters, lengths=lengths))


@every_effect
def test_what_lies_beyond_the_length_stays_bit_identical_and_unheard(name):
    function, parameters, _, _ = EFFECTS[name]
    waveform, damaged = clips(), clips()
    for i, length in enumerate(LENGTHS.tolist()):
        damaged[i, :, length:] = float("nan")
    changed, again = (function(x, **parameters, lengths=LENGTHS) for x in (waveform, damaged))
    for i, length in enumerate(LENGTHS.tolist()):
        assert torch.equal(changed[i, :, length:], waveform[i, :, length:])
        assert torch.equal(again[i, :, :length], changed[i, :, :length])
    assert torch.equal(waveform, clips())


@every_effect
def test_gradients_of_silence_and_of_sound_are_finite(name):
    function, parameters, _, _ = EFFECTS[name]
    for waveform in (torch.zeros(5, 2, 40), clips()):
        waveform.requires_grad_()
        function(waveform, **parameters, lengths=LENGTHS).sum().backward()
        assert torch.isfinite(waveform.grad).all()


@every_effect
def test_a_map_is_refused(name):
    function, parameters, _, _ = EFFECTS[name]
    with pytest.raises(ShapeError, match=r"waveform: got \(5, 2, 4, 10\) .* must be \(batch, channel, time\)"):
        function(clips().view(5, 2, 4, 10), **parameters)


def test_twenty_decibels_are_a_factor_of_ten():
    torch.testing.assert_close(gain(clips(), gain_db=torch.full((5,), 20.0)), 10 * clips())
    assert torch.equal(gain(clips(), gain_db=torch.zeros(5)), clips())


def test_polarity_twice_is_the_clip_and_zeros_have_no_sign():
    assert torch.equal(invert_polarity(invert_polarity(clips())), clips())
    assert not invert_polarity(torch.zeros(1, 1, 3)).signbit().any()


def test_clipping_leaves_what_is_below_the_threshold_and_the_peak_is_there():
    clipped = clip(clips(), threshold_db=THRESHOLD_DB)
    limit = clips().abs().amax(dim=(1, 2)) * 10 ** (THRESHOLD_DB / 20)
    torch.testing.assert_close(clipped.abs().amax(dim=(1, 2)), limit.float())
    below = clips().abs() < (1 - FLOAT32_ROUNDING) * limit[:, None, None]
    assert torch.equal(clipped[below], clips()[below])
    assert below[0].sum() < below[3].sum()


def test_a_hum_is_cut_where_a_click_is_not():
    time = torch.arange(20_000) / 20_000
    hum, click = torch.sin(2 * torch.pi * 50 * time), torch.exp(-time * 200)
    both = torch.stack([hum, click])[:, None]
    cut = (clip(both, threshold_db=torch.tensor([-6.0, -6.0])) != both).double().mean(dim=(1, 2))
    # A sine is above half its peak in two thirds of the time, the click for the first 3.5 ms of the second.
    assert cut[0].item() == pytest.approx(2 / 3, abs=0.01) and cut[1].item() <= 0.004


def test_quantized_samples_are_multiples_of_the_step_and_no_farther_than_half_of_it():
    quantized = quantize(clips(torch.float64), bits=BITS)
    step = 2.0 ** (1 - BITS.double())[:, None, None]
    assert torch.equal((quantized / step).round() * step, quantized)
    assert ((quantized - clips(torch.float64)).abs() <= step / 2).all()


def test_quantization_noise_has_the_power_that_textbooks_say():
    waveform = torch.rand(1, 1, 200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    error = quantize(waveform, bits=torch.tensor([8])) - waveform
    assert error.square().mean().item() == pytest.approx((2**-7) ** 2 / 12, rel=0.01)  # Δ²/12; 5 deviations are 1 %


def test_twentyfive_bits_are_all_that_float32_has_from_a_half_to_one():
    waveform = (0.5 + torch.rand(1, 1, 1000, generator=torch.Generator().manual_seed(0)) / 2).clamp(max=1.0)
    bits = torch.tensor([25])
    assert torch.equal(quantize(waveform, bits=bits), waveform)
    assert not torch.equal(quantize(waveform, bits=bits - 1), waveform)
    assert not torch.equal(quantize(waveform / 3, bits=bits), waveform / 3)


@pytest.mark.parametrize("bits", [2, 8, 12])
def test_mu_law_is_torchaudios_coding_and_decoding_but_for_exact_zeros(bits):
    waveform = (torch.arange(-10_000, 10_001) / 10_000).double()[None, None]
    coded = torchaudio.functional.mu_law_encoding(waveform, 2**bits)
    expected = torchaudio.functional.mu_law_decoding(coded.double(), 2**bits)
    assert waveform[..., 10_000] == 0 and 0 < expected[..., 10_000] < 2.0**-bits
    expected[..., 10_000] = 0
    torch.testing.assert_close(mu_law(waveform, bits=torch.tensor([bits])), expected, rtol=0, atol=1e-12)


def test_mu_law_in_float32_is_torchaudios_but_where_rounding_decides_between_two_levels():
    waveform = torch.rand(1, 1, 200_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    coded = torchaudio.functional.mu_law_encoding(waveform, 256)
    away = (mu_law(waveform, bits=torch.tensor([8])) - torchaudio.functional.mu_law_decoding(coded, 256)).abs()
    assert (away > FLOAT32_ROUNDING).double().mean() < 1e-4  # levels are 1/128 of F apart, F is exact to 1e-7


def test_mu_laws_noise_follows_the_level():
    noise = torch.randn(1, 1, 100_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    snr_db = []
    for level in (0.2, 0.02):
        error = mu_law(level * noise, bits=torch.tensor([8])) - level * noise
        snr_db.append(10 * torch.log10((level * noise).square().mean() / error.square().mean()).item())
    assert all(36 < snr < 39 for snr in snr_db)  # about 6·8 - 10 dB, and 20 dB fainter hardly less


def test_segments_overlap_by_multiplying_and_the_rest_is_bit_identical():
    ten = torch.full((5, 2), -20.0)
    changed = segment_gain(clips(), start=START, width=WIDTH.expand(5, 2), gain_db=ten)
    both = slice(10, 25)  # of the second clip's 5 … 25 and 10 … 30
    torch.testing.assert_close(changed[1, :, both], clips()[1, :, both] / 100)
    torch.testing.assert_close(changed[1, :, 5:10], clips()[1, :, 5:10] / 10)
    assert torch.equal(changed[1, :, 30:], clips()[1, :, 30:]) and torch.equal(changed[1, :, :5], clips()[1, :, :5])
