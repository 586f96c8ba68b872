import math

import numpy as np
import pytest
import torch

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.image_source import eyring_absorption, image_source_rir
from tonearm.gpu_augment.reference.room import image_source_rir as plain

RATE = 16_000
ROOMS = torch.tensor([[5.0, 4.0, 3.0], [8.0, 3.5, 2.6]], dtype=torch.float64)
SOURCES = torch.tensor([[1.0, 1.2, 1.1], [6.5, 1.0, 1.7]], dtype=torch.float64)
MICROPHONES = torch.tensor([[3.3, 2.5, 1.6], [1.5, 2.5, 1.2]], dtype=torch.float64)
ABSORPTION = torch.tensor([0.3, 0.6])
KEYS = torch.tensor([[1, 2], [3, 4]], dtype=torch.int32)
ROUNDING = 1e-6  # float32 sincs, on sums of some tens of arrivals below 1


def rooms(num_samples: int, **options) -> torch.Tensor:
    settings = {"absorption": ABSORPTION, "sample_rate": RATE, "num_samples": num_samples} | options
    return image_source_rir(ROOMS, SOURCES, MICROPHONES, **settings)


@pytest.mark.parametrize("path", ["selected", "all"])
@pytest.mark.parametrize(("max_order", "high_pass_hz"), [(0, None), (1, 100.0), (4, 100.0), (4, None)])
def test_it_agrees_with_the_reference(max_order, high_pass_hz, path, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", path == "all")
    responses = rooms(900, max_order=max_order, high_pass_hz=high_pass_hz)
    for response, room, source, microphone, absorption in zip(
        responses, ROOMS, SOURCES, MICROPHONES, ABSORPTION.tolist(), strict=True
    ):
        expected = plain(
            room.tolist(),
            source.tolist(),
            microphone.tolist(),
            absorption=absorption,
            sample_rate=RATE,
            num_samples=900,
            max_order=max_order,
            high_pass_hz=high_pass_hz,
        )
        np.testing.assert_allclose(response, expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("keys", [None, KEYS])
def test_all_images_at_once_give_what_the_selected_give(keys, monkeypatch):
    selected = rooms(3000, keys=keys)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    torch.testing.assert_close(rooms(3000, keys=keys), selected, rtol=0, atol=ROUNDING)


def test_the_direct_sound_is_the_first_sample_and_1():
    responses = rooms(900, max_order=0, high_pass_hz=None)
    torch.testing.assert_close(responses[:, 0], torch.ones(2))
    assert responses[:, 1:].abs().max() < ROUNDING


def test_the_first_reflections_come_when_and_as_loud_as_geometry_says():
    room, height = torch.tensor([[20.0, 30.0, 25.0]]), 1.0  # all other walls are far
    source, microphone = torch.tensor([[8.0, 15.0, height]]), torch.tensor([[12.0, 15.0, height]])
    walls = {"absorption": torch.tensor([0.36]), "sample_rate": RATE, "num_samples": 200, "max_order": 3}
    walls["high_pass_hz"] = None
    response = image_source_rir(room, source, microphone, **walls)[0]
    reflected, direct = math.hypot(4.0, 2 * height), 4.0  # by way of the floor
    delay = (reflected - direct) / 343 * RATE
    first = response[5:]  # after the direct sound
    assert 5 + int(first.argmax()) == round(delay)
    # An arrival's samples, taken as a band-limited pulse, add up to its level.
    around = response[round(delay) - 7 : round(delay) + 9]
    assert around.sum() == pytest.approx(0.8 * direct / reflected, rel=0.01)  # 0.8² of the energy is reflected


def test_level_falls_with_distance():
    # The same wall, 1 m behind the source, seen from 2 m and 6 m: its image is 2 m farther.
    room = torch.tensor([[100.0, 100.0, 100.0]]).expand(2, 3)
    source = torch.tensor([[1.0, 50.0, 50.0]]).expand(2, 3)
    microphone = torch.tensor([[3.0, 50.0, 50.0], [7.0, 50.0, 50.0]])
    walls = {"absorption": torch.zeros(2), "sample_rate": 34_300, "num_samples": 300, "max_order": 1}
    walls["high_pass_hz"] = None
    responses = image_source_rir(room, source, microphone, **walls)
    torch.testing.assert_close(responses[:, 200], torch.tensor([2 / 4, 6 / 8]), rtol=0, atol=ROUNDING)


def decay_seconds(response: torch.Tensor) -> float:
    """RT60 from the slope between -5 and -25 dB (ISO 3382, T20) of Schroeder's backward integral."""
    remaining_db = 10 * response.double().square().flip(0).cumsum(0).flip(0).log10()
    begin, end = ((remaining_db < remaining_db[0] - fall).nonzero()[0, 0].item() for fall in (5, 25))
    return 3 * (end - begin) / RATE


@pytest.mark.parametrize("rt60", [0.3, 0.6])
@pytest.mark.parametrize("keys", [None, KEYS])
def test_sound_decays_as_eyring_says(rt60, keys):
    """With noise where images end, to 15 %; images alone to 40 %.

    Eyring takes the sound to be diffuse, and in a box with equal walls it is not: what runs along the long side meets
    walls less often, and stays longer.
    """
    seconds = torch.full((2,), rt60)
    options = {"absorption": eyring_absorption(ROOMS, seconds), "keys": keys}
    responses = rooms(int(1.2 * rt60 * RATE), max_order=10 if keys is not None else 30, **options)
    for response in responses:
        ratio = decay_seconds(response) / rt60
        assert 0.85 < ratio < (1.15 if keys is not None else 1.4)


def test_where_noise_takes_over_it_is_as_loud_as_the_images_would_be():
    options = {"absorption": eyring_absorption(ROOMS, torch.full((2,), 0.5))}
    images = rooms(RATE // 4, max_order=30, **options)
    mixed = rooms(RATE // 4, max_order=8, keys=KEYS, **options)
    late = slice(RATE // 10, RATE // 4)
    change_db = 10 * (mixed[:, late].square().sum(dim=1) / images[:, late].square().sum(dim=1)).log10()
    # 2400 samples of noise have an energy within 0.13 dB (a deviation); images are no noise, and Eyring's decay is not
    # theirs: in the long, low room, where more of them come along the long side, by a few dB.
    assert change_db[0].abs() < 1.0 and -6.0 < change_db[1] < 1.0
    early = rooms(300, max_order=8, **options)  # at first there are images alone
    torch.testing.assert_close(mixed[:, :300], early, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("room", ROOMS)
def test_eyrings_formula_is_sabines_where_little_is_absorbed(room):
    absorption = eyring_absorption(room[None], torch.tensor([20.0], dtype=torch.float64)).item()
    volume, surface = room.prod().item(), 2 * (room[0] * room[1] + room[0] * room[2] + room[1] * room[2]).item()
    assert absorption == pytest.approx(0.161 * volume / (surface * 20.0), rel=0.01)
    for rt60 in (0.01, 0.3):
        assert 0 < eyring_absorption(room[None], torch.tensor([rt60])).item() <= 1


def test_a_source_at_the_microphone_counts_as_a_tenth_of_a_metre_away():
    here = torch.tensor([[1.0, 2.0, 1.5]])
    walls = {"absorption": torch.tensor([0.5]), "sample_rate": RATE, "num_samples": 500}
    response = image_source_rir(ROOMS[:1], here, here, **walls)
    assert response[0, 0] == pytest.approx(1.0, abs=ROUNDING) and response.isfinite().all()
    assert response[0, 20:].abs().max() < 0.1
