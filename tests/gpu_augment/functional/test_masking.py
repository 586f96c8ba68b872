import numpy as np
import pytest
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import blocks, frequency_mask, time_mask

FLOAT32_ROUNDING = 1e-6

START = torch.tensor([[0, 5], [3, 3], [0, 9]])
WIDTH = torch.tensor([[2, 3], [0, 1], [10, 1]])

both_axes = pytest.mark.parametrize(("function", "axis"), [(frequency_mask, 1), (time_mask, 2)])


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fill", ["mean", 0.0, -80.0])
@both_axes
def test_they_agree_with_the_reference(function, axis, fill):
    specgram = maps(3, 2, 10, 10)
    masked = function(specgram, start=START, width=WIDTH, fill=fill)
    for clip in range(3):
        spans = list(zip(START[clip].tolist(), WIDTH[clip].tolist(), strict=True))
        expected = reference.mask(specgram[clip].double().numpy(), spans=spans, axis=axis, fill=fill)
        np.testing.assert_allclose(masked[clip], expected, rtol=0, atol=FLOAT32_ROUNDING)


@pytest.mark.parametrize("fill", ["mean", -80.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@both_axes
def test_slices_on_a_cpu_give_what_one_mask_gives(function, axis, dtype, fill, monkeypatch):
    start = torch.tensor([[0, 5], [-3, 3], [8, 12]])  # also such as stick out
    width = torch.tensor([[2, 3], [4, 0], [9, 1]])
    for specgram in (maps(3, 2, 10, 10).to(dtype), maps(3, 10, 2, 10).to(dtype).transpose(1, 2), maps(3, 0, 10, 10)):
        monkeypatch.setattr(blocks, "ALWAYS_WHOLE", False)
        slices = function(specgram, start=start, width=width, fill=fill)
        monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
        assert torch.equal(slices, function(specgram, start=start, width=width, fill=fill))


@both_axes
def test_the_mean_is_that_of_the_map_before_masking_and_is_kept_up_to_what_was_covered(function, axis):
    specgram = maps(3, 2, 10, 10) - 40
    masked = function(specgram, start=START, width=WIDTH)
    for old, new in zip(specgram, masked, strict=True):
        changed = new != old
        if changed.any():
            assert new[changed].unique().tolist() == pytest.approx([old.mean().item()], rel=FLOAT32_ROUNDING)


def test_masks_need_not_share_their_clips_place():
    specgram = torch.ones(2, 1, 1, 4)
    masked = time_mask(specgram, start=torch.tensor([[0], [3]]), width=torch.tensor([[1], [1]]), fill=0.0)
    assert masked[:, 0, 0].tolist() == [[0, 1, 1, 1], [1, 1, 1, 0]]


def test_gradients_flow_around_the_mask_and_through_the_mean():
    specgram = maps(1, 1, 1, 4).requires_grad_()
    one = torch.tensor([[1]])
    time_mask(specgram, start=one, width=one, fill=0.0).sum().backward()
    assert specgram.grad.flatten().tolist() == [1, 0, 1, 1]
    specgram.grad = None
    time_mask(specgram, start=one, width=one).sum().backward()
    assert specgram.grad.flatten().tolist() == [1.25, 0.25, 1.25, 1.25]


@both_axes
def test_a_waveform_is_refused(function, axis):
    with pytest.raises(ShapeError, match=r"specgram: got \(3, 1, 10\) .* must be \(batch, channel, mel, time\)"):
        function(torch.zeros(3, 1, 10), start=START, width=WIDTH)
