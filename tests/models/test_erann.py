import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tonearm.errors import ConfigError, ShapeError
from tonearm.models import build_model, find_system
from tonearm.models.count import count_costs, count_parameters
from tonearm.models.erann import ERANN, TIME_STRIDES, TimeFrequencyBlock

PRINTED = {  # table 4: parameters, multi-adds of a 10-s clip
    "erann-8x4-4": (24_504_849, 26.21e9),
    "erann-8x4-5": (38_198_545, 40.93e9),
    "erann-8x1-6": (54_435_473, 126.56e9),
    "erann-8x2-6": (54_532_241, 77.18e9),
    "erann-8x4-6": (54_919_313, 58.92e9),
    "erann-8x8-6": (56_467_601, 52.99e9),
}
ROUNDING = 2.5e-4  # of the printed multi-adds; the paper's counter may see a layer differently


@pytest.mark.parametrize("name", PRINTED)
def test_printed_systems_have_their_printed_numbers(name: str) -> None:
    parameters, multi_adds = PRINTED[name]
    costs = count_costs(find_system(name), duration_seconds=10)
    assert costs.parameters == parameters
    assert costs.multi_adds == pytest.approx(multi_adds, rel=ROUNDING)


@pytest.mark.parametrize("time_factor", TIME_STRIDES)
def test_strides_are_the_papers(time_factor: int) -> None:
    strides = TIME_STRIDES[time_factor]
    product = strides[0] * strides[1] * strides[2] * strides[3]
    assert product == 16 * time_factor
    assert sorted(strides, reverse=True) == list(strides)
    assert set(strides) <= {2, 4}


@pytest.mark.parametrize("crop_seconds", [1, 7, 16])
@pytest.mark.parametrize("time_factor", TIME_STRIDES)
def test_every_size_can_be_built_and_takes_clips_of_any_length(crop_seconds: int, time_factor: int) -> None:
    net = build_model(f"erann-{crop_seconds}x{time_factor}-1", num_classes=3).eval()
    for frames in (1, 128 * crop_seconds // 4 + 1):
        assert net(torch.zeros(2, 1, 128, frames)).shape == (2, 3)


def test_parameters_do_not_depend_on_the_crop_and_grow_with_the_classes() -> None:
    with torch.device("meta"):
        one, other, more = (build_model(f"erann-{tc}x2-2", num_classes=n) for tc, n in ((1, 10), (16, 10), (1, 11)))
    assert count_parameters(one) == count_parameters(other)
    assert count_parameters(more) - count_parameters(one) == 2 * 128 + 1


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (2, 4)])
def test_a_block_is_its_formula(stride: tuple[int, int]) -> None:
    torch.manual_seed(0)
    block = TimeFrequencyBlock(3, 5, stride=stride).eval()
    for norm in (each for each in block.modules() if isinstance(each, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    norm1, _, conv1, norm2, _, conv2 = block.main
    x = torch.randn(2, 3, 8, 16)

    def leaky(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, 0.01 * x)

    kernels = {1: (3, 3, 1), 2: (3, 3, 1), 4: (6, 5, 2)}
    (k1_mel, k2_mel, p_mel), (k1_time, k2_time, p_time) = (kernels[each] for each in stride)
    assert conv1.weight.shape[2:] == (k1_mel, k1_time)
    assert conv2.weight.shape[2:] == (k2_mel, k2_time)
    main = F.conv2d(leaky(norm1(x)), conv1.weight, stride=stride, padding=1)
    main = F.conv2d(leaky(norm2(main)), conv2.weight, padding=(p_mel, p_time))
    norm, conv = block.shortcut
    expected = main + F.conv2d(norm(x), conv.weight)[:, :, :: stride[0], :: stride[1]]
    torch.testing.assert_close(block(x), expected)


def test_a_block_that_changes_nothing_passes_its_input_on() -> None:
    block = TimeFrequencyBlock(4, 4)
    nn.init.zeros_(block.main[-1].weight)
    x = torch.randn(1, 4, 6, 7)
    torch.testing.assert_close(block(x), x)


def test_the_very_first_block_begins_with_a_convolution() -> None:
    net = ERANN(time_factor=1, width=1, num_classes=2)
    assert isinstance(net.blocks[0].main[0], nn.Conv2d)
    assert all(isinstance(block.main[0], nn.BatchNorm2d) for block in net.blocks[1:])


def test_missing_frames_are_as_the_mean_of_their_bands() -> None:
    net = ERANN(time_factor=2, width=1, num_classes=4).eval()
    net.norm.running_mean.uniform_(-60, -20)
    log_mel = torch.randn(1, 1, 128, 40) - 40
    padded = torch.cat([log_mel, net.norm.running_mean[None, None, :, None].expand(-1, -1, -1, 24)], dim=3)
    torch.testing.assert_close(net(log_mel), net(padded))


def test_every_parameter_learns() -> None:
    net = ERANN(time_factor=16, width=1, num_classes=3)
    net(torch.randn(2, 1, 128, 256)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("name", ["erann-0x4-4", "erann-17x4-4", "erann-8x3-4", "erann-8x4-0"])
def test_sizes_that_there_are_not(name: str) -> None:
    with pytest.raises(ConfigError, match="tc, the seconds of its crops, from 1 to 16, tm one of 1, 2, 4, 8, 16"):
        build_model(name, num_classes=2)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigError, match=r"n_mels: got 40; .* multiples of 16"):
        build_model("erann-4x2-1", num_classes=2, n_mels=40)
    with pytest.raises(ConfigError, match="tm: got 3; it may be 1, 2, 4, 8, 16"):
        ERANN(time_factor=3, width=1, num_classes=2)
    with pytest.raises(ShapeError, match=r"got \(2, 1, 64, 100\); it may be \(batch, 1, 128, time\)"):
        build_model("erann-4x2-1", num_classes=2)(torch.zeros(2, 1, 64, 100))
