import numpy as np
import pytest
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import mixup

FLOAT32_ROUNDING = 1e-6

LENGTHS, PARTNER_LENGTHS = torch.tensor([40, 25, 0, 7, 40]), torch.tensor([40, 30, 9, 0, 12])


def clips(seed: int) -> torch.Tensor:
    return torch.randn(5, 2, 40, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("with_lengths", [False, True])
def test_it_agrees_with_the_reference(with_lengths):
    weight = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0], dtype=torch.float64)
    lengths = {"lengths": LENGTHS, "partner_lengths": PARTNER_LENGTHS} if with_lengths else {}
    mixed = mixup(clips(0), clips(1), weight=weight, **lengths)
    for clip in range(5):
        expected = reference.mixup(
            clips(0)[clip].double().numpy(),
            clips(1)[clip].double().numpy(),
            weight=weight[clip].item(),
            length=LENGTHS[clip].item() if with_lengths else 40,
            partner_length=PARTNER_LENGTHS[clip].item() if with_lengths else 40,
        )
        np.testing.assert_allclose(mixed[clip], expected, rtol=0, atol=FLOAT32_ROUNDING)


def test_at_the_ends_one_clip_comes_out_exactly():
    assert torch.equal(mixup(clips(0), clips(1), weight=torch.ones(5)), clips(0))
    assert torch.equal(mixup(clips(0), clips(1), weight=torch.zeros(5)), clips(1))


def test_what_lies_beyond_both_stays_bit_identical_and_what_lies_beyond_one_is_not_heard():
    weight = torch.full((5,), 0.3)
    lengths = {"lengths": LENGTHS, "partner_lengths": PARTNER_LENGTHS}
    mixed = mixup(clips(0), clips(1), weight=weight, **lengths)
    waveform, partners = clips(0), clips(1)
    for clip, (own, other) in enumerate(zip(LENGTHS.tolist(), PARTNER_LENGTHS.tolist(), strict=True)):
        assert torch.equal(mixed[clip, :, max(own, other) :], waveform[clip, :, max(own, other) :])
        waveform[clip, :, own:], partners[clip, :, other:] = float("nan"), float("nan")
    again = mixup(waveform, partners, weight=weight, **lengths)
    for clip, longer in enumerate(torch.maximum(LENGTHS, PARTNER_LENGTHS).tolist()):
        assert torch.equal(again[clip, :, :longer], mixed[clip, :, :longer])


def test_half_the_energy_of_uncorrelated_clips_is_left_in_the_middle():
    loud = [torch.randn(1, 1, 200_000, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    power = mixup(*loud, weight=torch.tensor([0.5])).square().mean().item()
    assert power == pytest.approx(0.5, abs=0.01)  # 5 deviations of a mean of 200,000 squares are 0.008


def test_partners_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"partners: got \(5, 2, 39\), must be like waveform, \(5, 2, 40\)"):
        mixup(clips(0), clips(1)[..., :39], weight=torch.ones(5))
    with pytest.raises(ShapeError, match=r"waveform: got \(5, 40\)"):
        mixup(clips(0)[:, 0], clips(1)[:, 0], weight=torch.ones(5))
