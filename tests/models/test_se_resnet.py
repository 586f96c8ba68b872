import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export
from torch.nn import functional as F

from tonearm.models.count import count_costs
from tonearm.models.se_resnet import SYSTEMS, PreActivationBlock, SEResNet, SqueezeExcitation


def small(**options: int) -> SEResNet:
    torch.manual_seed(0)
    return SEResNet(**{"width": 4, "num_classes": 3, "n_mels": 16, "dropout": 0, **options})


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_gates_follow_from_the_means_of_all_channels() -> None:
    layer, x = SqueezeExcitation(64), random(2, 64, 3, 5)
    (down, down_bias), (up, up_bias) = ((each.weight, each.bias) for each in (layer.squeeze, layer.excite))
    assert down.shape == (16, 64)
    means = x.flatten(2).mean(dim=2)
    gates = torch.sigmoid((means @ down.T + down_bias).clamp(min=0) @ up.T + up_bias)
    torch.testing.assert_close(layer(x), torch.einsum("bcmt,bc->bcmt", x, gates))


def test_a_gate_of_few_channels_squeezes_to_eight() -> None:
    assert SqueezeExcitation(16).squeeze.out_features == 8


@pytest.mark.parametrize(("channels", "stride"), [(4, 1), (6, 1), (6, 2), (4, 2)])
def test_a_block_is_its_formula(channels: int, stride: int) -> None:
    torch.manual_seed(0)
    block = PreActivationBlock(4, channels, stride=stride).eval()
    for norm in (each for each in block.modules() if isinstance(each, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    conv1, norm2, _, conv2, gate = block.main
    x = random(2, 4, 7, 10)
    activated = block.norm(x).clamp(min=0)
    main = F.conv2d(activated, conv1.weight, stride=stride, padding=1)
    main = gate(F.conv2d(norm2(main).clamp(min=0), conv2.weight, padding=1))
    shortcut = x
    if block.shortcut is not None:
        means = F.pad(activated, (0, 1, 0, 1))[:, :, : 7 + stride - 1, :10]
        if stride == 2:
            means = (
                means[:, :, ::2, ::2] + means[:, :, 1::2, ::2] + means[:, :, ::2, 1::2] + means[:, :, 1::2, 1::2]
            ) / 4
        shortcut = torch.einsum("bcmt,oc->bomt", means, block.shortcut[-1].weight[:, :, 0, 0])
    assert (block.shortcut is None) == (channels == 4 and stride == 1)
    torch.testing.assert_close(block(x), main + shortcut)


def test_the_network_is_its_picture() -> None:
    net = small().eval()
    nn.init.normal_(net.norm.bias)
    x = random(2, 1, 16, 21)
    body = F.conv2d(x, net.stem.weight, stride=2, padding=2)
    for block in net.blocks:
        body = block(body)
    last = net.norm(body).clamp(min=0).flatten(2)
    torch.testing.assert_close(net(x), net.head(last.mean(dim=2) + last.amax(dim=2)))


@pytest.mark.parametrize(("first_stride", "sizes"), [(1, [16, 8, 4, 2]), (2, [8, 4, 2, 1])])
def test_blocks_double_the_channels_and_halve_the_map(first_stride: int, sizes: list[int]) -> None:
    net, seen = small(n_mels=32, first_stride=first_stride), []
    for block in net.blocks:
        block.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
    net(random(2, 1, 32, 64))
    assert seen == [(4 * 2**stage, size, 2 * size) for stage, size in enumerate(sizes)]


@pytest.mark.parametrize("n_mels", [1, 7, 40])
@pytest.mark.parametrize("frames", [1, 2, 33])
def test_maps_of_any_size(n_mels: int, frames: int) -> None:
    net = small(n_mels=n_mels, in_channels=2).eval()
    assert net(random(2, 2, n_mels, frames)).isfinite().all()


def test_every_parameter_learns() -> None:
    net = small()
    net(random(4, 1, 16, 40)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_gated_maps_stay_channels_last() -> None:
    net, kept = small().to(memory_format=torch.channels_last), []
    for block in net.blocks:
        block.register_forward_hook(
            lambda _, __, out: kept.append(out.is_contiguous(memory_format=torch.channels_last))
        )
    net(random(2, 1, 16, 64).to(memory_format=torch.channels_last))
    assert kept == [True] * 4


def test_pooling_under_autocast_is_in_float32() -> None:
    net, seen = small().eval(), []
    net.dropout.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = net(random(2, 1, 16, 40))
    assert seen == [torch.float32]
    expected = net(random(2, 1, 16, 40))
    torch.testing.assert_close(scores.float(), expected, rtol=0, atol=0.05 * expected.abs().max().item())


def test_exports_with_any_batch_and_time() -> None:
    net = small().eval()
    dynamic = ({0: Dim("batch"), 3: Dim("time", min=32)},)
    exported = export(net, (random(2, 1, 16, 64),), dynamic_shapes=dynamic).module()
    for batch, frames in ((1, 33), (3, 100)):
        x = random(batch, 1, 16, frames)
        torch.testing.assert_close(exported(x), net(x))


@pytest.mark.parametrize(
    ("name", "width", "classes", "maps"),
    [
        ("se-resnet-s", 16, 10, [(32, 108), (32, 108), (16, 54), (8, 27), (4, 14)]),
        ("se-resnet-m", 32, 50, [(64, 126), (32, 63), (16, 32), (8, 16), (4, 8)]),
    ],
)
def test_systems_cost_what_their_layers_add_up_to(
    name: str, width: int, classes: int, maps: list[tuple[int, int]]
) -> None:
    """Five seconds are 216 or 251 frames; the stem halves both axes, then each block that is not of stride 1."""
    stem, *blocks = (mel * time for mel, time in maps)
    multi_adds = 25 * width * stem + 8 * width * classes
    parameters = 25 * width + 8 * width * classes + classes + 2 * 8 * width
    arriving = width
    for place, cells in enumerate(blocks):
        channels = width * 2**place
        squeezed = max(8, channels // 4)
        gate = 2 * channels * squeezed
        kernels = 9 * arriving * channels + 9 * channels**2
        shortcut = arriving * channels if place or stem != cells else 0
        multi_adds += (kernels + shortcut) * cells + gate
        parameters += kernels + shortcut + gate + squeezed + channels + 2 * arriving + 2 * channels
        arriving = channels
    costs = count_costs({system.name: system for system in SYSTEMS}[name], duration_seconds=5.0)
    assert costs.multi_adds == multi_adds
    assert costs.parameters == parameters
