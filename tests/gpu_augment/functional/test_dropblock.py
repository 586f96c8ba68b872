import numpy as np
import pytest
import torch

from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment import reference
from tonearm.gpu_augment.functional import drop_block, drop_block_features, drop_block_mask, dropblock_gamma

FLOAT32_ROUNDING = 1e-6
SIGMAS = 5.0

BLOCKS = [(1, 1), (2, 3), (7, 7), (1, 12), (9, 1), (9, 12)]


def draw_seeds(clips: int, gamma: float, block_size: tuple[int, int], size: tuple[int, int] = (9, 12)) -> torch.Tensor:
    places = (clips, size[0] - block_size[0] + 1, size[1] - block_size[1] + 1)
    return torch.rand(places, generator=torch.Generator().manual_seed(0)) < gamma


@pytest.mark.parametrize("block_size", BLOCKS)
def test_the_mask_is_the_reference_mask(block_size):
    seeds = draw_seeds(20, 0.05, block_size)
    mask = drop_block_mask(seeds, block_size=block_size)
    assert mask.dtype == torch.bool and mask.shape == (20, 9, 12)
    for clip in range(20):
        assert np.array_equal(mask[clip], reference.drop_block_mask(seeds[clip].numpy(), block_size=block_size))


def test_leading_axes_are_free():
    seeds = draw_seeds(6, 0.1, (2, 3))
    mask = drop_block_mask(seeds, block_size=(2, 3))
    assert torch.equal(drop_block_mask(seeds.view(2, 3, 8, 10), block_size=(2, 3)), mask.view(2, 3, 9, 12))
    assert torch.equal(drop_block_mask(seeds[0], block_size=(2, 3)), mask[0])
    assert drop_block_mask(seeds[:0], block_size=(2, 3)).shape == (0, 9, 12)


@pytest.mark.parametrize("block_size", BLOCKS)
def test_the_share_dropped_in_each_cell_follows_from_the_seeds_that_can_cover_it(block_size):
    clips, gamma = 4000, 0.06
    share = drop_block_mask(draw_seeds(clips, gamma, block_size), block_size=block_size).double().mean(dim=0)
    everywhere = torch.ones(1, 1, 9 - block_size[0] + 1, 12 - block_size[1] + 1)
    covering = torch.nn.functional.conv_transpose2d(everywhere, torch.ones(1, 1, *block_size))[0, 0]
    expected = 1 - (1 - gamma) ** covering.double()
    assert ((share - expected).abs() <= SIGMAS * (expected * (1 - expected) / clips).sqrt()).all()


@pytest.mark.parametrize("block_size", BLOCKS)
def test_gamma_makes_the_blocks_areas_add_up_to_the_drop_probability(block_size):
    gamma = dropblock_gamma(0.2, block_size=block_size, size=(9, 12))
    places = (9 - block_size[0] + 1) * (12 - block_size[1] + 1)
    assert gamma * places * block_size[0] * block_size[1] == pytest.approx(0.2 * 9 * 12)
    assert 0 <= gamma <= 0.2 + 1e-12


def test_gamma_of_squares_is_the_papers():
    size, block, keep = 28, 7, 0.9
    paper = (1 - keep) / block**2 * size**2 / (size - block + 1) ** 2
    assert dropblock_gamma(1 - keep, block_size=(block, block), size=(size, size)) == pytest.approx(paper)


def test_input_blocks_are_filled_with_the_clips_mean_and_the_rest_keeps_its_level():
    specgram = torch.randn(4, 2, 9, 12, generator=torch.Generator().manual_seed(1)) - 40.0
    seeds = draw_seeds(4, 0.05, (2, 3))
    dropped = drop_block(specgram, seeds, block_size=(2, 3))
    mask = drop_block_mask(seeds, block_size=(2, 3))
    assert mask.any()
    for clip in range(4):
        assert torch.equal(dropped[clip][:, ~mask[clip]], specgram[clip][:, ~mask[clip]])
        expected = reference.drop_block(specgram[clip].double().numpy(), seeds[clip].numpy(), block_size=(2, 3))
        np.testing.assert_allclose(dropped[clip], expected, rtol=FLOAT32_ROUNDING, atol=0)


def draw_channel_seeds(block_size: tuple[int, int], gamma: float = 0.02) -> torch.Tensor:
    return draw_seeds(40, gamma, block_size).unflatten(0, (10, 4))


@pytest.mark.parametrize("block_size", BLOCKS)
def test_features_are_dropped_and_scaled_as_in_the_reference(block_size):
    features = torch.randn(10, 4, 9, 12, generator=torch.Generator().manual_seed(1))
    seeds = draw_channel_seeds(block_size)
    dropped = drop_block_features(features, seeds, block_size=block_size)
    for clip in range(10):
        expected = reference.drop_block_features(
            features[clip].double().numpy(), seeds[clip].numpy(), block_size=block_size
        )
        np.testing.assert_allclose(dropped[clip], expected, rtol=FLOAT32_ROUNDING, atol=0)


def test_a_layer_keeps_each_clips_sum_of_ones_and_lets_none_through_where_all_is_dropped():
    dropped = drop_block_features(torch.ones(10, 4, 9, 12), draw_channel_seeds((2, 3)), block_size=(2, 3))
    torch.testing.assert_close(dropped.sum(dim=(1, 2, 3)), torch.full((10,), 4.0 * 9 * 12))
    everywhere = torch.ones(1, 4, 8, 10, dtype=torch.bool)
    assert (drop_block_features(torch.ones(1, 4, 9, 12), everywhere, block_size=(2, 3)) == 0).all()


@pytest.mark.parametrize("block_size", [(10, 3), (3, 13), (0, 3)])
def test_a_block_that_does_not_fit_is_refused(block_size):
    with pytest.raises(ShapeError, match=rf"block_size: got {block_size[0]} × {block_size[1]} .* on a map of 9 × 12"):
        dropblock_gamma(0.1, block_size=block_size, size=(9, 12))


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(probability):
    with pytest.raises(RequestError, match=r"drop_probability: got .*, may be from 0 to 1"):
        dropblock_gamma(probability, block_size=(1, 1), size=(9, 12))


def test_seeds_of_the_wrong_kind_are_refused():
    with pytest.raises(ShapeError, match=r"seeds: got \(4, 4\) torch.float32, may be .* torch.bool"):
        drop_block_mask(torch.zeros(4, 4), block_size=(1, 1))
    with pytest.raises(
        ShapeError, match=r"seeds: got \(1, 3, 3\).*map of \(1, 4, 5\), but specgram is \(1, 1, 9, 12\)"
    ):
        drop_block(torch.zeros(1, 1, 9, 12), torch.zeros(1, 3, 3, dtype=torch.bool), block_size=(2, 3))
    with pytest.raises(ShapeError, match=r"seeds: got \(1, 3, 3\).*map of \(1, 4, 5\), but features is \(1, 1, 4, 5\)"):
        drop_block_features(torch.zeros(1, 1, 4, 5), torch.zeros(1, 3, 3, dtype=torch.bool), block_size=(2, 3))
    with pytest.raises(ShapeError, match=r"specgram: got \(1, 4, 5\)"):
        drop_block(torch.zeros(1, 4, 5), torch.zeros(1, 3, 3, dtype=torch.bool), block_size=(2, 3))
