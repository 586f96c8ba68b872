"""Moving clips: where their samples go, and what comes after them."""

import numpy as np
import pytest
import torch

from tonearm.errors import RequestError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, shift

LENGTHS = [20, 13, 7, 2, 1, 0]
SHIFTS = [0, 1, -1, 5, -5, 13, -13, 20, -20, 137, -137]

every_mode = pytest.mark.parametrize("mode", ["roll", "zero"])


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@every_mode
@pytest.mark.parametrize("places", SHIFTS)
@pytest.mark.parametrize("whole", [False, True])
def test_it_agrees_with_the_reference_to_the_bit(mode, places, whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    clips = noise(len(LENGTHS), 2, 20)
    moved = shift(clips, num_samples=torch.full((6,), places), mode=mode, lengths=torch.tensor(LENGTHS))
    for clip, got, length in zip(clips, moved, LENGTHS, strict=True):
        expected = reference.shift(clip.double().numpy(), num_samples=places, mode=mode, length=length)
        assert np.array_equal(got.double().numpy(), expected)


def test_rolled_it_is_numpys_roll():
    clips, places = noise(4, 2, 31), [3, -40, 0, 31]
    moved = shift(clips, num_samples=torch.tensor(places))
    for clip, got, own in zip(clips, moved, places, strict=True):
        assert np.array_equal(got, np.roll(clip, own, axis=1))


def test_rolled_on_and_back_it_is_as_before():
    clips, places, lengths = noise(5, 1, 50), torch.tensor([7, -20, 49, 1000, 0]), torch.tensor([50, 50, 30, 20, 10])
    there = shift(clips, num_samples=places, lengths=lengths)
    assert torch.equal(shift(there, num_samples=-places, lengths=lengths), clips)


@every_mode
@pytest.mark.parametrize("whole", [False, True])
def test_what_lies_beyond_a_clip_is_neither_read_nor_changed(mode, whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    clips, lengths = noise(3, 1, 20), torch.tensor([20, 12, 0])
    clips[1, :, 12:] = clips[2] = float("nan")
    moved = shift(clips, num_samples=torch.tensor([3, -4, 5]), mode=mode, lengths=lengths)
    assert torch.isfinite(moved[0]).all() and torch.isfinite(moved[1, :, :12]).all()
    assert moved[1, :, 12:].isnan().all() and moved[2].isnan().all()


@every_mode
def test_a_nan_that_is_moved_out_does_not_stay(mode):
    clips = torch.ones(1, 1, 6)
    clips[..., -1] = float("nan")
    assert shift(clips, num_samples=torch.tensor([1]), mode=mode).isnan().any() == (mode == "roll")


@every_mode
def test_lengths_beyond_the_clip_count_as_its_length(mode):
    clips, places = noise(2, 1, 30), torch.tensor([4, -9])
    moved = shift(clips, num_samples=places, mode=mode, lengths=torch.tensor([31, 5000]))
    assert torch.equal(moved, shift(clips, num_samples=places, mode=mode))


@every_mode
def test_gradients_follow_the_samples(mode):
    clips = noise(2, 1, 9).requires_grad_()
    weights = noise(2, 1, 9)
    (weights * shift(clips, num_samples=torch.tensor([2, -3]), mode=mode)).sum().backward()
    assert torch.equal(clips.grad, shift(weights, num_samples=torch.tensor([-2, 3]), mode=mode))


@pytest.mark.parametrize("mode", ["wrap", None, "Roll"])
def test_other_modes_are_refused(mode):
    with pytest.raises(RequestError, match=r"mode: got .*, may be 'roll' or 'zero'\."):
        shift(torch.ones(1, 1, 4), num_samples=torch.tensor([1]), mode=mode)
