from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch.nn import functional as F

from tonearm.gpu_augment.functional import dropblock_gamma
from tonearm.models.layers import (
    ACTIVATIONS,
    DropBlock,
    GlobalPool,
    PoolMode,
    ResBlock,
    SwiGLU,
    ToFrames,
    pool,
    same_conv,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_swiglu_is_the_papers_formula() -> None:
    x = random(2, 6, 3, 4)
    expected = x[:, :3] * torch.sigmoid(x[:, :3]) * x[:, 3:]
    torch.testing.assert_close(SwiGLU()(x), expected)


FORMULAS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
    "relu": lambda x: (x + x.abs()) / 2,
    "lrelu": lambda x: torch.where(x > 0, x, 0.01 * x),
    "swiglu": lambda x: x[:, :3] / (1 + torch.exp(-x[:, :3])) * x[:, 3:],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_their_formulas(name: str) -> None:
    x = 3 * random(2, 6, 3, 4)
    torch.testing.assert_close(ACTIVATIONS[name]()(x), FORMULAS[name](x))


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (3, 5), (2, 2), (4, 1), (1, 6), (3, 4)])
def test_a_same_convolution_keeps_the_size(kernel: tuple[int, int]) -> None:
    assert same_conv(2, 3, kernel)(random(1, 2, 7, 9)).shape == (1, 3, 7, 9)


@pytest.mark.parametrize("kernel", [(1, 1), (3, 5), (4, 2)])
def test_a_same_convolution_of_an_impulse_is_centred(kernel: tuple[int, int]) -> None:
    conv = same_conv(1, 1, kernel)
    for parameter in conv.parameters():
        torch.nn.init.ones_(parameter)
    x = torch.zeros(1, 1, 11, 11)
    x[0, 0, 5, 5] = 1
    rows, columns = torch.nonzero(conv(x)[0, 0], as_tuple=True)
    for index, size in ((rows, kernel[0]), (columns, kernel[1])):
        assert int(index.max() - index.min()) == size - 1
        assert int(index.min()) == 5 - size // 2


@pytest.mark.parametrize(
    ("norm", "kinds"),
    [
        ("before_activation", ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d"]),
        ("after_activation", ["Conv2d", "ReLU", "BatchNorm2d", "Conv2d", "BatchNorm2d"]),
    ],
)
def test_a_res_block_has_three_convolutions_and_two_norms_in_order(norm: Any, kinds: list[str]) -> None:
    block = ResBlock(2, (4, 6), activation="relu", norm=norm, kernel_size=(3, 3), shortcut_kernel_size=(1, 1))
    assert [type(layer).__name__ for layer in block.main] == kinds
    assert type(block.shortcut).__name__ == "Conv2d"
    x = random(2, 2, 8, 8)
    torch.testing.assert_close(block(x), block.main(x) + block.shortcut(x))


def test_swiglu_in_a_res_block_halves_what_the_second_convolution_sees() -> None:
    norms: list[Literal["before_activation", "after_activation"]] = ["before_activation", "after_activation"]
    for norm in norms:
        block = ResBlock(2, (8, 6), activation="swiglu", norm=norm, kernel_size=(3, 3), shortcut_kernel_size=(3, 3))
        assert block.main[3].weight.shape == (6, 4, 3, 3)
        assert block(random(2, 2, 8, 8)).shape == (2, 6, 8, 8)


def test_dropblock_drops_whole_blocks_of_each_channel_and_rescales_each_clip() -> None:
    torch.manual_seed(0)
    x = torch.ones(4, 8, 16, 32)
    out = DropBlock(0.2, block_size=(4, 4))(x)
    dropped = out == 0
    assert 0.1 < dropped.float().mean().item() < 0.25
    for clip in out:
        assert clip[clip != 0].unique().numel() == 1  # one scale a clip
        torch.testing.assert_close(clip.mean(), torch.tensor(1.0))
    assert not torch.equal(dropped[:, 0], dropped[:, 1])
    # Every dropped cell lies in a fully dropped 4 × 4 block: closing the kept cells changes nothing.
    whole = -F.max_pool2d(-dropped.float(), 4, stride=1)
    covered = F.max_pool2d(F.pad(whole, (3, 3, 3, 3)), 4, stride=1)
    assert torch.equal(covered > 0.5, dropped)


def test_dropblock_drops_each_cell_as_often_as_gamma_and_the_seeds_that_can_cover_it_say() -> None:
    torch.manual_seed(0)
    maps, block_size, size = 20_000, (2, 3), (6, 8)
    out = DropBlock(0.3, block_size=block_size)(torch.ones(maps, 1, *size))
    share = (out == 0).double().mean(dim=(0, 1))
    gamma = dropblock_gamma(0.3, block_size=block_size, size=size)
    places = torch.ones(1, 1, size[0] - block_size[0] + 1, size[1] - block_size[1] + 1)
    coverage = F.conv_transpose2d(places, torch.ones(1, 1, *block_size))[0, 0].double()
    expected = 1 - (1 - gamma) ** coverage
    assert ((share - expected).abs() < 5 * (expected * (1 - expected) / maps).sqrt()).all()  # 5 deviations


def test_dropblock_in_evaluation_and_switched_off_is_the_identity() -> None:
    x = random(2, 3, 8, 8)
    assert DropBlock(0.5, block_size=(2, 2)).eval()(x) is x
    assert DropBlock(0.5, block_size=(2, 2), p=0.0)(x) is x
    assert DropBlock(0.0, block_size=(2, 2))(x) is x


def test_dropblock_decides_per_clip_or_per_batch() -> None:
    torch.manual_seed(0)
    x = torch.ones(16, 4, 16, 16)

    def touched(layer: DropBlock) -> list[int]:
        return [int((layer(x) != 1).flatten(1).any(dim=1).sum()) for _ in range(40)]

    per_clip = touched(DropBlock(0.5, block_size=(2, 2), p=0.5, p_per="clip"))
    per_batch = touched(DropBlock(0.5, block_size=(2, 2), p=0.5, p_per="batch"))
    assert any(0 < count < 16 for count in per_clip)
    assert set(per_batch) == {0, 16}
    for counts in (per_clip, per_batch):
        assert 0.3 < sum(counts) / (40 * 16) < 0.7


def test_dropblock_that_drops_everything_gives_zeros() -> None:
    torch.manual_seed(0)
    out = DropBlock(0.99, block_size=(4, 4))(torch.ones(8, 1, 4, 4))  # one place: all or nothing
    assert set(out.unique().tolist()) <= {0.0, 1.0}
    assert (out == 0).any()


def test_a_block_longer_than_the_map_in_time_is_as_long_as_the_map() -> None:
    torch.manual_seed(0)
    out = DropBlock(0.5, block_size=(1, 9))(torch.ones(4, 4, 8, 3))
    assert ((out == 0).all(dim=3) == (out == 0).any(dim=3)).all()
    assert (out == 0).any()


@pytest.mark.parametrize(("mode", "expected"), [("avg", 2.5), ("max", 4.0), ("sum", 6.5), ("mul", 10.0)])
def test_pooling_modes(mode: PoolMode, expected: float) -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)
    assert GlobalPool(mode, keep_mel=False)(x).tolist() == [[expected]]


def test_pooling_over_time_keeps_channel_and_mel() -> None:
    x = random(2, 3, 4, 5)
    got = GlobalPool("max", keep_mel=True)(x)
    torch.testing.assert_close(got.view(2, 3, 4), x.amax(dim=3))


def test_frames_are_mel_major_vectors() -> None:
    x = random(2, 3, 4, 5)
    got = ToFrames()(x)
    assert got.shape == (2, 12, 5)
    torch.testing.assert_close(got[1, 2 * 3 + 1], x[1, 1, 2])  # mel 2, channel 1


def test_a_product_of_halves_does_not_overflow() -> None:
    x = torch.full((1, 1, 2, 2), 300.0, dtype=torch.float16)
    assert pool(x, mode="mul", dim=(2, 3)).item() == 90_000.0
    assert pool(x.double(), mode="mul", dim=(2, 3)).dtype == torch.float64
