"""Noise from a tape: no seam, no repeat, a place of its own for each clip and channel; and excerpts of sounds."""

import numpy as np
import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import ShapeError
from tonearm.gpu_augment.functional import add_noise, blocks
from tonearm.gpu_augment.functional.colored_noise import COLORS
from tonearm.gpu_augment.functional.excerpts import add_excerpts, read_excerpts
from tonearm.gpu_augment.functional.noise_tape import add_tape_noise, noise_tape
from tonearm.gpu_augment.reference import noise as reference

SNR_TOLERANCE_DB = 0.05
FLOAT32_ROUNDING = 4e-6

every_color = pytest.mark.parametrize("color", COLORS)
both_ways = pytest.mark.parametrize("whole", [False, True])


def batch(samples: int = 3000, channels: int = 2) -> torch.Tensor:
    return torch.randn(3, channels, samples, generator=seeded(0)) * torch.tensor([1.0, 0.01, 1e-4])[:, None, None]


@every_color
def test_the_tape_is_the_same_each_time_and_has_deviation_1(color):
    tape = noise_tape(1 << 18, color=color)
    assert tape.shape == (1 << 18,) and tape.dtype == torch.float32
    assert torch.equal(tape, noise_tape(1 << 18, color=color))
    # Brown noise of that length is 128 periods of its lowest frequency: few numbers carry its power.
    assert tape.double().square().mean().sqrt() == pytest.approx(1, abs=0.15 if color == "brown" else 0.02)


def test_a_pinned_tape():
    """So that a run of last year can be repeated: change how it is made and this fails."""
    tape = noise_tape(1 << 14, color="pink")
    np.testing.assert_allclose(tape[:3], [0.287788, -0.163686, 0.381071], rtol=0, atol=1e-5)


@every_color
def test_the_wrap_has_no_seam(color):
    tape = noise_tape(1 << 16, color=color).double()
    step = (tape.roll(-1) - tape).abs()  # the last is the one from the end to the beginning
    assert step[-1] < 5 * step.square().mean().sqrt()
    curvature = (tape.roll(-1) - 2 * tape + tape.roll(1)).abs()
    assert curvature[[-1, 0]].max() < 5 * curvature.square().mean().sqrt()
    # A window around the wrap has the spectrum of one elsewhere: 12 dB for brown noise, whose octaves fall by 6 dB,
    # with a jump in it, would show where it has the least.
    if color in ("pink", "brown"):
        window = torch.hann_window(8192, dtype=torch.float64)
        power = [
            torch.fft.rfft(tape.roll(shift)[:8192] * window).abs().square()[2048:].mean() for shift in (4096, 30_000)
        ]
        assert 0.7 < power[0] / power[1] < 1.4


@both_ways
def test_each_clip_and_channel_reads_its_own_place(whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    clean, tape, snr_db = batch(), noise_tape(1 << 13, color="white"), torch.tensor([0.0, 10.0, 20.0])
    offset = torch.tensor([0, 1234, 8000])  # the last goes over the tape's end
    added = add_tape_noise(clean, tape, offset=offset, snr_db=snr_db).double() - clean.double()
    for clip, begin in enumerate(offset.tolist()):
        for channel in range(2):
            expected = tape.roll(-(begin + channel * 4096))[:3000].double()
            correlation = torch.corrcoef(torch.stack([added[clip, channel], expected]))[0, 1]
            assert correlation > 0.9999
    between = torch.corrcoef(added.flatten(0, 1)) - torch.eye(6)
    assert between.abs().max() < 5 / 3000**0.5


@both_ways
@pytest.mark.parametrize("with_lengths", [False, True])
def test_the_measured_ratio_is_the_one_asked_for(whole, with_lengths, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    lengths = torch.tensor([3000, 100, 0]) if with_lengths else None
    clean, tape, snr_db = batch(), noise_tape(1 << 13, color="pink"), torch.tensor([0.0, 10.0, 20.0])
    noisy = add_tape_noise(clean, tape, offset=torch.tensor([7000, 100, 8191]), snr_db=snr_db, lengths=lengths)
    for clip, end in enumerate([3000] * 3 if lengths is None else lengths.tolist()):
        assert torch.equal(noisy[clip, :, end:], clean[clip, :, end:])
        if end:
            signal, noise = clean[clip, :, :end].double(), (noisy - clean)[clip, :, :end].double()
            measured = 10 * (signal.square().sum() / noise.square().sum()).log10()
            assert abs(measured - snr_db[clip]) < SNR_TOLERANCE_DB


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("with_lengths", [False, True])
def test_slices_add_what_one_gather_adds(dtype, with_lengths, monkeypatch):
    lengths = torch.tensor([3000, 100, 0]) if with_lengths else None
    clean, tape, snr_db = batch().to(dtype), noise_tape(1 << 13, color="brown"), torch.tensor([0.0, 10.0, 20.0])
    offset = torch.tensor([7000, 100, 8191])
    slices = add_tape_noise(clean, tape, offset=offset, snr_db=snr_db, lengths=lengths)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    gathered = add_tape_noise(clean, tape, offset=offset, snr_db=snr_db, lengths=lengths)
    assert slices.dtype == gathered.dtype == dtype
    tolerance = 4e-3 if dtype == torch.float16 else FLOAT32_ROUNDING
    torch.testing.assert_close(slices, gathered, rtol=0, atol=tolerance)


def test_a_clip_in_which_the_tape_would_repeat_is_refused():
    with pytest.raises(ShapeError, match=r"tape: 5000 samples, fewer than the 2 x 3000 of a clip.*tape_samples"):
        add_tape_noise(batch(), torch.ones(5000), offset=torch.zeros(3).long(), snr_db=torch.zeros(3))


@both_ways
@pytest.mark.parametrize("loop", [False, True])
def test_excerpts_are_the_slow_version(loop, whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    samples = torch.randn(60, generator=seeded(1))
    offset, length, start = torch.tensor([0, 10, 10, 59, 30]), torch.tensor([10, 20, 20, 1, 30]), [3, 0, 19, 0, 95]
    got = read_excerpts(samples, offset=offset, length=length, start=torch.tensor(start), num_samples=25, loop=loop)
    for row, begin, size, first in zip(got, offset.tolist(), length.tolist(), start, strict=True):
        sound = samples[begin : begin + size].numpy()
        assert row.tolist() == reference.excerpt(sound, start=first, num_samples=25, loop=loop).tolist()
    assert read_excerpts(samples, offset=offset, length=length, start=offset, num_samples=0, loop=loop).shape == (5, 0)


@both_ways
def test_added_excerpts_are_those_that_are_read(whole, monkeypatch):
    samples = torch.randn(60, generator=seeded(1))
    offset, length, start = torch.tensor([0, 10, 30]), torch.tensor([10, 20, 30]), torch.tensor([[3], [0], [29]])
    clean, snr_db = batch(100), torch.tensor([0.0, -5.0, 5.0])
    noise = read_excerpts(samples, offset=offset, length=length, start=start[:, 0], num_samples=100)
    expected = add_noise(clean, noise[:, None].expand(-1, 2, -1), snr_db=snr_db)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    got = add_excerpts(clean, samples, offset=offset, length=length, start=start, snr_db=snr_db)
    torch.testing.assert_close(got, expected, rtol=0, atol=FLOAT32_ROUNDING)


def test_sounds_on_another_device_are_refused():
    one = torch.ones(3, dtype=torch.int64)
    with pytest.raises(ShapeError, match=r"samples: on meta, but the batch is on cpu\. .*\.to\('cpu'\)"):
        add_excerpts(batch(), torch.ones(9, device="meta"), offset=one, length=one, start=one[:, None], snr_db=one)
