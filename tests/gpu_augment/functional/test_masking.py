import numpy as np
import pytest
import torch

from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import frequency_mask, time_mask

FLOAT32_ROUNDING = 1e-6

START = torch.tensor([[0, 5], [3, 3], [0, 9]])
WIDTH = torch.tensor([[2, 3], [0, 1], [10, 1]])


@pytest.mark.parametrize("fill", ["mean", 0.0, -80.0])
@pytest.mark.parametrize(("function", "axis"), [(frequency_mask, 1), (time_mask, 2)])
def test_they_agree_with_the_reference(function, axis, fill):
    specgram = torch.randn(3, 2, 10, 10, generator=torch.Generator().manual_seed(0))
    masked = function(specgram, start=START, width=WIDTH, fill=fill)
    for clip in range(3):
        spans = list(zip(START[clip].tolist(), WIDTH[clip].tolist(), strict=True))
        expected = reference.mask(specgram[clip].double().numpy(), spans=spans, axis=axis, fill=fill)
        np.testing.assert_allclose(masked[clip], expected, rtol=0, atol=FLOAT32_ROUNDING)


def test_masks_need_not_share_their_clips_place():
    specgram = torch.ones(2, 1, 1, 4)
    masked = time_mask(specgram, start=torch.tensor([[0], [3]]), width=torch.tensor([[1], [1]]), fill=0.0)
    assert masked[:, 0, 0].tolist() == [[0, 1, 1, 1], [1, 1, 1, 0]]
