"""What the masks on spectrograms draw, and what they refuse."""

import numpy as np
import pytest
import torch

from tests.gpu_augment.cases import seeded
from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment import DropBlock, FrequencyMasking, SpecAugment, TimeMasking, reference
from tonearm.gpu_augment.functional import dropblock_gamma, spec_augment
from tonearm.gpu_augment.transforms.specgram import bands

SIGMAS = 5.0


@pytest.mark.parametrize(
    ("effect", "axis"), [(TimeMasking(30, 1.0, fill=0.0), 3), (FrequencyMasking(30, 1.0, fill=0.0), 2)]
)
def test_a_single_mask_covers_half_its_parameter_on_average_anywhere(effect, axis):
    maps = torch.ones(2000, 1, 100, 100)[:, :, :: 100 if axis == 3 else 1, :: 100 if axis == 2 else 1]
    masked = effect.apply(maps, effect.sample(2000, maps.shape[3], generator=seeded(0))).flatten(1) == 0
    width = masked.sum(dim=1)
    assert width.min() == 0 and width.max() == 30
    assert width.double().mean() == pytest.approx(15, abs=SIGMAS * 9 / 2000**0.5)  # one deviation of a width is 9
    assert masked[:, 0].any() and masked[:, -1].any()  # the borders are reached
    runs = (masked[:, 1:] & ~masked[:, :-1]).sum(dim=1) + masked[:, 0]
    assert runs.max() == 1


def test_several_masks_are_drawn_one_by_one():
    effect = TimeMasking(10, 1.0, num_masks=3, fill=0.0, generator=seeded(0))
    masked = effect(torch.ones(500, 1, 1, 200)).flatten(1) == 0
    runs = (masked[:, 1:] & ~masked[:, :-1]).sum(dim=1) + masked[:, 0]
    assert runs.max() == 3
    assert masked.double().mean() == pytest.approx(3 * 5 / 200, rel=0.1)  # overlaps take 5 % of it


def test_widths_are_uniform_up_to_the_widest_that_fits():
    uniforms = torch.rand(20_000, 2, dtype=torch.float64, generator=seeded(0))
    for size, widest, top in [(100, 4, 4), (4, 50, 4), (4, 4, 4)]:
        start, width = bands(uniforms, size, widest=widest)
        share = np.bincount(width.flatten(), minlength=top + 1) / 20_000
        assert len(share) == top + 1 and np.abs(share - 1 / (top + 1)).max() < SIGMAS * (0.16 / 20_000) ** 0.5
        assert start.min() == 0 and (start + width).max() == size


@pytest.mark.parametrize(("size", "widest", "num_masks"), [(40, 12, 1), (40, 12, 3), (10, 30, 2), (16, 0, 2)])
def test_a_cell_is_covered_as_often_as_counting_says(size, widest, num_masks):
    clips = 20_000
    effect = TimeMasking(widest, 1.0, num_masks=num_masks, fill=0.0)
    maps = torch.ones(clips, 1, 1, size)
    share = (effect.apply(maps, effect.sample(clips, size, generator=seeded(0))) == 0).double().mean(dim=(0, 1, 2))
    expected = 1 - (1 - torch.from_numpy(reference.mask_probability(size, widest=widest))) ** num_masks
    assert ((share - expected).abs() <= SIGMAS * (expected * (1 - expected) / clips).sqrt()).all()


@pytest.mark.parametrize("max_time_share", [1.0, 0.2])
def test_spec_augment_covers_the_share_that_its_formula_says(max_time_share):
    clips, mel, time = 5000, 16, 40
    effect = SpecAugment(
        1.0,
        freq_mask_param=6,
        time_mask_param=15,
        num_freq_masks=2,
        num_time_masks=3,
        max_time_share=max_time_share,
        fill=0.0,
    )
    maps = torch.ones(clips, 1, mel, time)
    covered = (effect.apply(maps, effect.sample(clips, time, generator=seeded(0))) == 0).double()[:, 0]
    in_bins = 1 - reference.mask_probability(mel, widest=6)
    in_frames = 1 - reference.mask_probability(time, widest=min(15, int(max_time_share * time)))
    expected = 1 - np.mean(in_bins**2) * np.mean(in_frames**3)
    deviation = covered.mean(dim=(1, 2)).std().item() / clips**0.5
    assert covered.mean().item() == pytest.approx(expected, abs=SIGMAS * deviation)
    # and not on average alone: masks of time and of frequency know nothing of each other
    cell = torch.from_numpy(1 - np.outer(in_bins**2, in_frames**3))
    assert ((covered.mean(dim=0) - cell).abs() <= SIGMAS * (cell * (1 - cell) / clips).sqrt()).all()


def test_spec_augment_is_its_function_with_the_columns_it_drew():
    maps = torch.randn(6, 2, 16, 40, generator=seeded(1))
    effect = SpecAugment(1.0, freq_mask_param=6, time_mask_param=30, num_freq_masks=1, max_time_share=0.5)
    params = effect.sample(6, 40, generator=seeded(2))
    row = params.steps[0].rows[:, 1:]
    freq_start, freq_width = bands(row[:, :2], 16, widest=6)
    time_start, time_width = bands(row[:, 2:], 40, widest=20)
    expected = spec_augment(
        maps, freq_start=freq_start, freq_width=freq_width, time_start=time_start, time_width=time_width
    )
    assert torch.equal(effect.apply(maps, params), expected)


def test_no_mask_of_time_is_wider_than_its_share():
    maps = torch.ones(500, 1, 1, 50)
    effect = SpecAugment(
        1.0, freq_mask_param=0, time_mask_param=40, num_time_masks=1, max_time_share=0.1, fill=0.0, generator=seeded(0)
    )
    width = (effect(maps) == 0).sum(dim=(1, 2, 3))
    assert width.min() == 0 and width.max() == 5
    assert (SpecAugment(1.0, freq_mask_param=0, time_mask_param=40, max_time_share=0.0, fill=0.0)(maps) == 1).all()


def test_a_mask_wider_than_the_map_covers_at_most_all_of_it():
    out = TimeMasking(50, 1.0, fill=0.0, generator=seeded(0))(torch.ones(300, 1, 2, 4))
    assert (out == 0).all(dim=3).any() and torch.isfinite(out).all()


@pytest.mark.parametrize("block_size", [(3, 5), (1, 1), (12, 20), (2, 9)])
def test_drop_block_drops_in_each_cell_the_share_that_the_seeds_make_which_can_cover_it(block_size):
    clips = 4000
    effect = DropBlock(1.0, drop_probability=0.2, block_size=block_size, generator=seeded(0))
    maps = torch.randn(clips, 1, 12, 20, generator=seeded(1))
    dropped = (effect(maps) != maps).double().mean(dim=(0, 1))
    gamma = dropblock_gamma(0.2, block_size=block_size, size=(12, 20))
    places = torch.ones(1, 1, 12 - block_size[0] + 1, 20 - block_size[1] + 1, dtype=torch.float64)
    covering = torch.nn.functional.conv_transpose2d(places, torch.ones(1, 1, *block_size, dtype=torch.float64))[0, 0]
    expected = 1 - (1 - gamma) ** covering
    assert ((dropped - expected).abs() <= SIGMAS * (expected * (1 - expected) / clips).sqrt()).all()


def test_drop_block_refuses_a_map_smaller_than_its_block():
    with pytest.raises(ShapeError, match=r"block_size: got 7 × 7 \(mel, time\) on a map of 6 × 100"):
        DropBlock(1.0)(torch.zeros(2, 1, 6, 100))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DropBlock(block_size=7), r"block_size: got 7, may be \(mel, time\), whole numbers"),
        (lambda: DropBlock(block_size=(7, 7.5)), r"block_size: got \(7, 7.5\), may be \(mel, time\), whole numbers"),
        (lambda: DropBlock(block_size=(7, 7, 7)), r"block_size: got \(7, 7, 7\), may be \(mel, time\)"),
        (lambda: DropBlock(block_size=(0, 3)), r"block_size: got \(0, 3\), may be \(mel, time\), .* each 1 or more"),
        (lambda: DropBlock(drop_probability="x"), r"drop_probability: got 'x', may be a number from 0 to 1"),
        (lambda: DropBlock(drop_probability=2.0), r"drop_probability: got 2.0, may be a number from 0 to 1"),
        (lambda: TimeMasking("x"), r"time_mask_param: got 'x', may be a whole number, 0 or more"),
        (lambda: TimeMasking(-1), r"time_mask_param: got -1, may be a whole number, 0 or more"),
        (lambda: TimeMasking(5, num_masks=True), r"num_masks: got True, may be a whole number, 1 or more"),
        (lambda: TimeMasking(5, num_masks=0), r"num_masks: got 0, may be a whole number, 1 or more"),
        (lambda: TimeMasking(5, fill=None), r"fill: got None, may be a number or 'mean'"),
        (lambda: FrequencyMasking(-1), r"freq_mask_param: got -1, may be a whole number, 0 or more"),
        (lambda: FrequencyMasking(5, fill="zero"), r"fill: got 'zero', may be a number or 'mean'"),
        (lambda: SpecAugment(freq_mask_param=-1, time_mask_param=1), r"freq_mask_param: got -1, may be a whole"),
        (lambda: SpecAugment(freq_mask_param=1, time_mask_param=1.5), r"time_mask_param: got 1.5, may be a whole"),
        (lambda: SpecAugment(freq_mask_param=1, time_mask_param=1, num_freq_masks=0), r"num_freq_masks: got 0, may"),
        (lambda: SpecAugment(freq_mask_param=1, time_mask_param=1, num_time_masks=0), r"num_time_masks: got 0, may"),
        (lambda: SpecAugment(freq_mask_param=1, time_mask_param=1, max_time_share=2), r"max_time_share: got 2, may be"),
        (lambda: SpecAugment(freq_mask_param=1, time_mask_param=1, fill="min"), r"fill: got 'min', may be a number"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(make, message):
    with pytest.raises(RequestError, match=message):
        make()
