import numpy as np
import pytest
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, cutmix

START, WIDTH = torch.tensor([0, 10, 5, 3, 35]), torch.tensor([40, 12, 30, 0, 5])
LENGTHS, PARTNER_LENGTHS = torch.tensor([40, 25, 0, 7, 40]), torch.tensor([40, 18, 9, 0, 12])


def clips(seed: int) -> torch.Tensor:
    return torch.randn(5, 2, 40, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_the_reference_exactly(with_lengths, dtype):
    lengths = {"lengths": LENGTHS, "partner_lengths": PARTNER_LENGTHS} if with_lengths else {}
    own, other = clips(0).to(dtype), clips(1).to(dtype)
    mixed = cutmix(own, other, start=START, width=WIDTH, **lengths)
    assert mixed.dtype == dtype
    for clip in range(5):
        expected = reference.cutmix(
            own[clip].double().numpy(),
            other[clip].double().numpy(),
            start=START[clip].item(),
            width=WIDTH[clip].item(),
            length=LENGTHS[clip].item() if with_lengths else 40,
            partner_length=PARTNER_LENGTHS[clip].item() if with_lengths else 40,
        )
        assert np.array_equal(mixed[clip].double(), expected)


def test_slices_on_a_cpu_give_what_one_mask_gives(monkeypatch):
    slices = cutmix(clips(0), clips(1), start=START, width=WIDTH)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    assert torch.equal(slices, cutmix(clips(0), clips(1), start=START, width=WIDTH))


def test_partners_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"partners: got \(4, 2, 40\), must be like waveform, \(5, 2, 40\)"):
        cutmix(clips(0), clips(1)[:4], start=START, width=WIDTH)
