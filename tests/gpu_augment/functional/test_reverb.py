import math

import numpy as np
import pytest
import scipy.fft
import scipy.signal
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, convolve, fast_fft_length, overlap_save, synthetic_rir
from tonearm.gpu_augment.functional.counter import gaussian

FFT_ROUNDING = 5e-6  # float32, on sums of some hundred products of about 1
RATE = 8000
KEYS = torch.tensor([[1, 2], [3, 4], [5, 6]], dtype=torch.int32)
RT60_SECONDS = torch.tensor([0.2, 0.5, 0.9])
DRR_DB = torch.tensor([-6.0, 0.0, 15.0])


def rooms(num_samples: int = RATE) -> torch.Tensor:
    return synthetic_rir(KEYS, rt60_seconds=RT60_SECONDS, drr_db=DRR_DB, sample_rate=RATE, num_samples=num_samples)


@pytest.mark.parametrize("minimum", [1, 2, 7, 11, 345, 1000, 264_599, 1_000_003])
def test_fast_lengths_are_scipys(minimum):
    assert fast_fft_length(minimum) == scipy.fft.next_fast_len(minimum, real=True)


def test_a_reverbed_impulse_is_the_response():
    impulse = torch.zeros(3, 1, RATE)
    impulse[:, :, 100] = 1.0
    wet = convolve(impulse, rooms()[:, None])
    torch.testing.assert_close(wet[:, 0, 100:], rooms()[:, :-100], rtol=0, atol=FFT_ROUNDING)
    assert wet[:, 0, :100].abs().max() < FFT_ROUNDING  # nothing comes before it, nothing wraps around


@pytest.mark.parametrize(("taps", "rir_channels"), [(1, 1), (30, 1), (30, 2), (90, 1)])
def test_it_agrees_with_the_reference(taps, rir_channels):
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(3, 2, 60, generator=generator)
    rir = torch.randn(3, rir_channels, taps, generator=generator)
    lengths = [60, 31, 0]
    wet = convolve(clean, rir, lengths=torch.tensor(lengths))
    for clip in range(3):
        for channel in range(2):
            expected = reference.convolve(
                clean[clip, channel : channel + 1].double().numpy(),
                rir[clip, channel % rir_channels].double().numpy(),
                length=lengths[clip],
            )
            np.testing.assert_allclose(wet[clip, channel], expected[0], rtol=0, atol=FFT_ROUNDING)


@pytest.mark.parametrize("num_samples", [1, 700, 5000, 40_000])
@pytest.mark.parametrize("taps", [1, 2, 600, 5000, 45_000])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_pieces_give_what_the_whole_gives(num_samples, taps, with_lengths, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(3, 2, num_samples, generator=generator)
    rir = torch.randn(3, 2, taps, generator=generator) / taps**0.5
    lengths = torch.tensor([num_samples, num_samples // 3, 0]) if with_lengths else None
    pieces = convolve(clean, rir, lengths=lengths)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    torch.testing.assert_close(pieces, convolve(clean, rir, lengths=lengths), rtol=0, atol=FFT_ROUNDING)


@pytest.mark.parametrize(
    ("taps", "n_fft", "hop", "partitions"),
    [
        (3, 512, 510, 1),
        (3, 1024, 900, 1),
        (500, 512, 13, 1),
        (500, 8192, 7693, 1),
        (500, 512, 256, 2),
        (1500, 512, 256, 6),
    ],
)
@pytest.mark.parametrize(("advance", "hold_edges"), [(0, False), (0, True), (250, True), (250, False)])
def test_however_it_is_cut_the_result_is_the_same(taps, n_fft, hop, partitions, advance, hold_edges, monkeypatch):
    if partitions > 1:
        advance, hold_edges = 0, False  # a response is cut only where silence precedes the clip
    generator = torch.Generator().manual_seed(0)
    signal, lengths = torch.randn(3, 5000, generator=generator), [5000, 3071, 1]
    response = torch.randn(3, taps, generator=generator) / taps**0.5
    cut = overlap_save.Pieces(n_fft, hop, -(-5000 // hop), partitions)
    monkeypatch.setattr(overlap_save, "choose_pieces", lambda *_, **__: cut)
    options = {"lengths": lengths, "advance": advance, "hold_edges": hold_edges}
    convolved = overlap_save.overlap_save(signal, response, **options)
    for row, length in enumerate(lengths):
        valid = signal[row, :length].double().numpy()
        mode = "edge" if hold_edges else "constant"
        padded = np.pad(valid, (taps - 1, advance), mode=mode)
        expected = scipy.signal.fftconvolve(padded, response[row].double().numpy())[taps - 1 + advance :][:length]
        np.testing.assert_allclose(convolved[row, :length], expected, rtol=0, atol=FFT_ROUNDING)
        assert torch.equal(convolved[row, length:], signal[row, length:])


def test_what_a_cut_costs_decides_and_any_length_has_one():
    for num_samples in (1, 100, 220_500, 10_000_000):
        for taps in (1, 100, 44_100, 3_000_000):
            for may_partition in (False, True):
                n_fft, hop, frames, partitions = overlap_save.choose_pieces(
                    num_samples, taps, may_partition=may_partition
                )
                assert frames * hop >= num_samples
                assert taps <= (n_fft - hop + 1 if partitions == 1 else partitions * hop)
                assert partitions == 1 or (may_partition and n_fft == 2 * hop)


@pytest.mark.parametrize("path", ["pieces", "whole"])
def test_nothing_of_one_clip_or_of_padding_gets_into_another(path, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", path == "whole")
    clean = torch.randn(3, 1, 3000, generator=torch.Generator().manual_seed(0))
    clean[0], clean[1, 0, 5] = 0.0, float("nan")
    clean[2, 0, 2000:] = float("nan")
    wet = convolve(clean, rooms(900)[:, None], lengths=torch.tensor([3000, 3000, 2000]))
    assert not wet[0].any() and wet[2, 0, :2000].isfinite().all()


def test_it_is_differentiable_in_the_clip_and_in_the_response():
    clean = torch.randn(3, 1, 400, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    rir = rooms(90)[:, None].double().requires_grad_()
    assert torch.autograd.gradcheck(convolve, (clean[:1, :, :9].detach().requires_grad_(), rir[:1, :, :5].detach()))
    convolve(clean, rir).square().sum().backward()
    assert clean.grad.isfinite().all() and rir.grad.isfinite().all()
    with torch.no_grad():
        torch.testing.assert_close(convolve(clean, rir), convolve(clean.detach(), rir.detach()), rtol=0, atol=1e-12)


def test_it_agrees_with_scipy_on_a_long_clip():
    clean = torch.randn(3, 1, 20_000, generator=torch.Generator().manual_seed(0))
    expected = scipy.signal.fftconvolve(clean.double(), rooms()[:, None].double(), axes=2)[..., :20_000]
    np.testing.assert_allclose(convolve(clean, rooms()[:, None]), expected, rtol=0, atol=FFT_ROUNDING)


def test_one_response_may_serve_the_whole_batch():
    clean, rir = torch.randn(3, 2, 50, generator=torch.Generator().manual_seed(0)), rooms(20)[:1, None]
    expected = convolve(clean, rir.expand(3, 2, -1))
    torch.testing.assert_close(convolve(clean, rir), expected, rtol=0, atol=FFT_ROUNDING)


def test_rooms_agree_with_the_reference():
    noise = gaussian(KEYS, 199)
    for room, key_noise, rt60, drr in zip(rooms(200), noise, RT60_SECONDS, DRR_DB, strict=True):
        expected = reference.synthetic_rir(
            key_noise.double().numpy(), rt60_seconds=float(rt60), drr_db=float(drr), sample_rate=RATE
        )
        np.testing.assert_allclose(room, expected, rtol=0, atol=FFT_ROUNDING)


def test_rooms_have_unit_energy_and_the_ratio_that_was_asked_for():
    energy = rooms().double().square()
    torch.testing.assert_close(energy.sum(dim=1), torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-5)
    ratio_db = 10 * (energy[:, 0] / energy[:, 1:].sum(dim=1)).log10()
    torch.testing.assert_close(ratio_db.float(), DRR_DB, rtol=0, atol=1e-3)


@pytest.mark.parametrize("drr_db", [-1000.0, 1000.0])
def test_a_ratio_beyond_what_float32_can_hold_is_one_part_alone(drr_db):
    one = torch.ones(1)
    room = synthetic_rir(KEYS[:1], rt60_seconds=one, drr_db=drr_db * one, sample_rate=RATE, num_samples=100)[0]
    assert room[0] == (1.0 if drr_db > 0 else 0.0) and room.isfinite().all()
    torch.testing.assert_close(room.square().sum(), torch.tensor(1.0))


def test_tails_fall_by_60_db_in_rt60():
    for room, rt60 in zip(rooms(), RT60_SECONDS.tolist(), strict=True):
        tail = room[1:].double()
        remaining_db = 10 * tail.square().flip(0).cumsum(0).flip(0).log10()  # Schroeder's backward integration
        # From -5 to -25 dB, as rooms are measured (ISO 3382, T20).
        begin, end = ((remaining_db < remaining_db[0] - fall).nonzero()[0, 0] for fall in (5, 25))
        measured = 3 * (end - begin).item() / RATE
        assert measured == pytest.approx(rt60, rel=0.15)  # a tail of noise: 5 deviations of T20 at these lengths


def test_broadband_sound_keeps_its_level():
    clean = torch.randn(3, 1, 8 * RATE, generator=torch.Generator().manual_seed(0))
    change_db = 20 * (convolve(clean, rooms()[:, None]).std(dim=2) / clean.std(dim=2)).log10()
    assert change_db.abs().max() < 0.3  # noise through a filter of energy 1, plus the run-in and the cut-off tail


def test_a_response_of_one_sample_is_the_direct_path():
    room = rooms(1)
    torch.testing.assert_close(room[:, 0], torch.sqrt(1 - 1 / (1 + 10 ** (DRR_DB / 10))))
    assert math.isfinite(room.sum())


@pytest.mark.parametrize("shape", [(4, 1, 10), (3, 3, 10), (10,), (3, 2, 0)])
def test_a_response_that_does_not_fit_is_refused(shape):
    with pytest.raises(ShapeError, match=r"rir: got \(.*\), must be \(batch, channel, taps\).*\(3, 2, 50\), or 1"):
        convolve(torch.zeros(3, 2, 50), torch.zeros(shape))
