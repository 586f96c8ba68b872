"""What the rooms draw, and what they refuse; see also tests/gpu_augment/test_transforms.py."""

import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment.bank import SoundBank
from tonearm.gpu_augment.functional import blocks, convolve
from tonearm.gpu_augment.functional.image_source import eyring_absorption, image_source_rir
from tonearm.gpu_augment.transforms.room import BankReverb, ImageSourceReverb

RATE = 8000
FFT_ROUNDING = 2e-6


def measured_rooms() -> list[torch.Tensor]:
    """Three responses with 0, 5 and 40 samples before the direct path."""
    rooms = []
    for number, (before, length, peak) in enumerate([(0, 300, 1.0), (5, 50, -0.2), (40, 1000, 30.0)]):
        room = peak * torch.logspace(-0.5, -3, length) * torch.randn(length, generator=seeded(number)).clamp(-2, 2)
        room[:before] = 0.01 * peak
        room[before] = peak
        rooms.append(room)
    return rooms


BANK = SoundBank(measured_rooms(), sample_rate=RATE)


def test_bank_reverb_draws_each_response_as_often():
    index = BankReverb(BANK, p=1.0).sample(3000, 10, generator=seeded(0)).steps[0].rows[:, 1].long()
    counts = index.bincount(minlength=3)
    assert counts.sum() == 3000 and (counts - 1000).abs().max() < 4.5 * (3000 * 2 / 9) ** 0.5  # deviations of a share


@pytest.mark.parametrize("path", ["pieces", "whole"])
@pytest.mark.parametrize("max_rir_seconds", [None, 0.01, 7.0])
def test_bank_reverb_convolves_with_the_response_from_its_direct_path_on_at_energy_1(
    path, max_rir_seconds, monkeypatch
):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", path == "whole")
    clips = torch.randn(4, 2, 2000, generator=seeded(1))
    effect = BankReverb(BANK, p=1.0, max_rir_seconds=max_rir_seconds)
    wet = effect.effect(clips, torch.tensor([[2.0], [0.0], [1.0], [2.0]]), None)
    for clip, (number, before) in enumerate([(2, 40), (0, 0), (1, 5), (2, 40)]):
        rir = measured_rooms()[number][before:]
        rir = rir[: None if max_rir_seconds is None else round(max_rir_seconds * RATE)].double()
        expected = convolve(clips[clip : clip + 1].double(), (rir / rir.norm())[None, None])
        torch.testing.assert_close(wet[clip].double(), expected[0], rtol=0, atol=FFT_ROUNDING)


def test_bank_reverb_keeps_events_in_place_and_the_level_of_noise():
    impulse = torch.zeros(3, 1, 500)
    impulse[..., 100] = 1.0
    wet = BankReverb(BANK, p=1.0).effect(impulse, torch.arange(3.0)[:, None], None)
    assert (wet.abs().argmax(dim=2) == 100).all() and wet[..., :100].abs().max() < FFT_ROUNDING
    noise = torch.randn(3, 1, 8 * RATE, generator=seeded(0))
    change_db = 20 * (BankReverb(BANK, p=1.0)(noise).std(dim=2) / noise.std(dim=2)).log10()
    assert change_db.abs().max() < 0.3  # noise through a filter of energy 1, plus the run-in and the cut-off tail


def test_bank_reverb_goes_where_its_bank_goes():
    effect = BankReverb(SoundBank(measured_rooms(), sample_rate=RATE), p=1.0)
    params = effect.sample(2, 100)
    effect.to("meta")
    assert effect.bank.samples.device.type == effect.gains.device.type == "meta"
    with pytest.raises(ShapeError, match="bank: on meta, but the batch is on cpu"):
        effect.apply(torch.zeros(2, 1, 100), params)


def test_image_source_reverb_draws_places_within_its_rooms():
    effect = ImageSourceReverb(
        1.0, sample_rate=RATE, min_room_meters=(1.0, 3.0, 2.5), max_room_meters=(1.0, 8.0, 4.0), max_rt60_seconds=0.5
    )
    rows = effect.sample(4000, 10, generator=seeded(0)).steps[0].rows[:, 1:]
    sides, source, microphone, rt60, _ = rows.split([3, 3, 3, 1, 2], dim=1)
    shortest, longest = torch.tensor([1.0, 3.0, 2.5]), torch.tensor([1.0, 8.0, 4.0])
    assert (sides >= shortest).all() and (sides <= longest).all()
    torch.testing.assert_close(sides.mean(dim=0).float(), (shortest + longest) / 2, rtol=0.02, atol=0)
    margin = torch.tensor([0.25, 0.5, 0.5])
    for place in (source, microphone):
        assert (place >= margin).all() and (place <= sides - margin).all()
        share = (place - margin) / (sides - 2 * margin)
        assert (share.mean(dim=0) - 0.5).abs().max() < 0.03 and (share.std(dim=0) - 12**-0.5).abs().max() < 0.02
    assert rt60.min() >= 0.2 and rt60.max() <= 0.5 and rt60.mean() == pytest.approx(0.35, abs=0.01)
    assert (source - microphone).abs().amax(dim=1).min() > 0


def test_image_source_reverb_is_its_function_with_the_columns_it_drew():
    waveform = torch.randn(3, 2, 900, generator=seeded(1))
    effect = ImageSourceReverb(1.0, sample_rate=RATE, max_order=3, max_rt60_seconds=0.3001)
    params = effect.sample(3, 900, generator=seeded(2))
    room, source, microphone, rt60, keys = params.steps[0].rows[:, 1:].split([3, 3, 3, 1, 2], dim=1)
    rir = image_source_rir(
        room,
        source,
        microphone,
        absorption=eyring_absorption(room, rt60[:, 0]),
        sample_rate=RATE,
        num_samples=2401,  # as long as the liveliest room rings, rounded up
        max_order=3,
        keys=keys.to(torch.int32),
    )
    rir = rir / rir.norm(dim=1, keepdim=True)
    expected = convolve(waveform, rir[:, None])
    torch.testing.assert_close(effect.apply(waveform, params), expected, rtol=0, atol=FFT_ROUNDING)


def test_image_source_reverb_keeps_events_in_place():
    impulse = torch.zeros(8, 1, 900)
    impulse[..., 100] = 1.0
    wet = ImageSourceReverb(1.0, sample_rate=RATE, generator=seeded(0))(impulse)
    assert wet[..., :100].abs().max() < FFT_ROUNDING and (wet[..., 100] > 0.05).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BankReverb([torch.ones(3)]), "bank: got a list, may be a SoundBank"),
        (lambda: BankReverb(BANK, max_rir_seconds=0), "max_rir_seconds: got 0, may be a number of seconds, or None"),
        (lambda: BankReverb(BANK, max_rir_seconds="1"), "max_rir_seconds: got '1', may be a number of seconds"),
        (lambda: BankReverb(BANK, 1.5), "p: got 1.5, may be a number from 0 to 1"),
        (lambda: ImageSourceReverb(sample_rate=0), "sample_rate: got 0, may be a whole number, 1 Hz or more"),
        (lambda: ImageSourceReverb(sample_rate=RATE, max_order=-1), "max_order: got -1, may be a whole number, 0 or"),
        (
            lambda: ImageSourceReverb(sample_rate=RATE, min_rt60_seconds=0.0),
            "min_rt60_seconds: got 0.0, may be more than 0",
        ),
        (
            lambda: ImageSourceReverb(sample_rate=RATE, min_room_meters=3.0),
            r"min_room_meters: got 3.0, may be three numbers, each 0.4 m or more",
        ),
        (
            lambda: ImageSourceReverb(sample_rate=RATE, max_room_meters=(9, 9)),
            r"max_room_meters: got \(9, 9\), may be three numbers",
        ),
        (
            lambda: ImageSourceReverb(sample_rate=RATE, max_room_meters=(9, 9, 2)),
            r"min_room_meters, max_room_meters: got 2.5 and 2, may be finite numbers",
        ),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(RequestError, match=message):
        make()
