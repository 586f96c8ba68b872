"""Backwards, within each clip's length."""

import numpy as np
import pytest
import torch

from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, reverse

LENGTHS = [20, 13, 2, 1, 0]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("whole", [False, True])
def test_it_agrees_with_the_reference_to_the_bit(whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    clips = noise(len(LENGTHS), 2, 20)
    turned = reverse(clips, lengths=torch.tensor(LENGTHS))
    for clip, got, length in zip(clips, turned, LENGTHS, strict=True):
        assert np.array_equal(got.double().numpy(), reference.reverse(clip.double().numpy(), length=length))


@pytest.mark.parametrize("whole", [False, True])
def test_without_lengths_as_with_all_of_them(whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    clips = noise(3, 2, 20)
    turned = reverse(clips)
    assert np.array_equal(turned, np.flip(clips.numpy(), axis=2))
    assert torch.equal(reverse(clips, lengths=torch.tensor([20, 21, 5000])), turned)


def test_twice_it_is_as_before():
    clips, lengths = noise(5, 2, 20), torch.tensor(LENGTHS)
    assert torch.equal(reverse(reverse(clips, lengths=lengths), lengths=lengths), clips)
    assert torch.equal(reverse(reverse(clips)), clips)


@pytest.mark.parametrize("whole", [False, True])
def test_what_lies_beyond_a_clip_is_neither_read_nor_changed(whole, monkeypatch):
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    clips = noise(2, 1, 20)
    clips[1, :, 12:] = float("nan")
    turned = reverse(clips, lengths=torch.tensor([20, 12]))
    assert torch.isfinite(turned[1, :, :12]).all() and turned[1, :, 12:].isnan().all()


@pytest.mark.parametrize("lengths", [None, torch.tensor([9, 4])])
def test_gradients_follow_the_samples(lengths):
    clips, weights = noise(2, 1, 9).requires_grad_(), noise(2, 1, 9)
    (weights * reverse(clips, lengths=lengths)).sum().backward()
    assert torch.equal(clips.grad, reverse(weights, lengths=lengths))
