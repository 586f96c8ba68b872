"""Crops: where they begin, and what comes out of clips that are too short."""

import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError
from tonearm.gpu_augment import Augmented, Chain, Crop, Noise
from tonearm.gpu_augment.functional import blocks, crop


def ramp(clips: int, num_samples: int) -> torch.Tensor:
    """Each sample says where it stands: 1, 2, 3 …"""
    return torch.arange(1.0, num_samples + 1).expand(clips, 1, num_samples)


def test_crops_begin_anywhere_and_are_whole():
    out = Crop(4, generator=seeded(0))(ramp(3000, 10))
    assert out.shape == (3000, 1, 4)
    first = out[:, 0, 0]
    assert torch.equal(out[:, 0], first[:, None] + torch.arange(4.0))
    found, counts = first.unique(return_counts=True)
    assert found.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert (counts / 3000).tolist() == pytest.approx([1 / 7] * 7, abs=4.5 * (1 / 7 * 6 / 7 / 3000) ** 0.5)


def test_crops_lie_within_the_valid_samples():
    lengths = torch.tensor([10, 6, 4, 3, 0]).repeat(200)
    waveform = torch.where(torch.arange(10) < lengths[:, None, None], ramp(1000, 10), 0.0)
    out = Crop(4, generator=seeded(0))(waveform, lengths)
    assert isinstance(out, Augmented) and out.lengths is not None
    assert torch.equal(out.lengths, torch.tensor([4, 4, 4, 3, 0]).repeat(200))
    starts = [set(out.waveform[clip::5, 0, 0].tolist()) for clip in range(5)]
    assert starts == [{1, 2, 3, 4, 5, 6, 7}, {1, 2, 3}, {1}, {1}, {0}]
    assert (out.waveform[3::5, 0, 3] == 0).all()


def test_a_batch_that_is_narrower_than_the_crop_is_filled_up_with_zeros():
    out = Crop(6)(ramp(2, 4), None, torch.eye(2))
    assert out.waveform[0, 0].tolist() == [1, 2, 3, 4, 0, 0]
    assert out.lengths.tolist() == [4, 4] and torch.equal(out.targets, torch.eye(2))
    assert Crop(4)(ramp(2, 4), None, torch.eye(2)).lengths is None


def test_eval_leaves_clips_whole_also_within_a_chain():
    waveform = ramp(2, 10)
    assert Crop(4).eval()(waveform) is waveform
    chain = Chain([Crop(4), Noise(1.0)])
    assert chain(waveform).shape == (2, 1, 4)
    chain.effects[0].eval()
    assert chain(waveform).shape == (2, 1, 10)


def test_a_batch_of_none_is_as_narrow_as_others():
    assert Crop(4)(torch.zeros(0, 1, 10)).shape == (0, 1, 4)


def test_the_input_stays_as_it_is():
    waveform = torch.rand(3, 2, 10)
    before = waveform.clone()
    for size in (4, 10, 12):
        out = Crop(size)(waveform)
        out.zero_()
        assert torch.equal(waveform, before)


def test_slices_and_gather_agree(monkeypatch):
    waveform, start = torch.rand(5, 2, 30, generator=seeded(0)), torch.tensor([0, 3, 20, 7, 1])
    sliced = crop(waveform, start=start, num_samples=10)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    assert torch.equal(crop(waveform, start=start, num_samples=10), sliced)
    expected = torch.stack([waveform[clip, :, begin : begin + 10] for clip, begin in enumerate(start.tolist())])
    assert torch.equal(sliced, expected)


def test_gradients_reach_the_samples_that_are_kept():
    waveform = torch.rand(2, 1, 6, requires_grad=True)
    crop(waveform, start=torch.tensor([1, 2]), num_samples=3).sum().backward()
    assert waveform.grad[:, 0].tolist() == [[0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]]


@pytest.mark.parametrize("size", [0, -1, 2.5, "4", None, True])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(RequestError, match=r"num_samples: got .*, may be a whole number, 1 or more"):
        Crop(size)
