"""What the tests of single networks share; what holds for all of them is in test_contract."""

import copy

import torch
from torch import Tensor, nn

from tonearm.models.network import Network, System


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def maps(network: Network, *, frames: int, batch: int = 3, seed: int = 0) -> Tensor:
    return random(batch, network.in_channels, network.n_mels, frames, seed=seed)


def count(system: System, *, num_classes: int | None = None) -> int:
    """Trainable parameters of a system, on the meta device; it also scores a batch there."""
    with torch.device("meta"):
        network = system.build(num_classes=num_classes or system.num_classes, in_channels=1)
        scores = network(torch.empty(2, 1, system.features.n_mels, 862))
    assert scores.shape == (2, num_classes or system.num_classes)
    assert network.n_mels == system.features.n_mels
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def check_promises(network: Network, *, convolutions: int) -> None:
    """Lengths, how many maps lie channels_last, and free sizes in an exported program, with two audio channels.

    Args:
        network: two channels in, small.
        convolutions: how many maps of 2-D convolutions are to be seen channels_last.
    """
    longer = 2 * network.min_frames + 101
    for frames in (network.min_frames, longer):
        assert network(maps(network, frames=frames)).shape == (3, network.num_classes)
    _check_memory_format(network, frames=longer, convolutions=convolutions)
    network.eval()
    x = maps(network, frames=longer)
    with torch.no_grad():
        free = {0: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
        program = torch.export.export(network, (x,), dynamic_shapes=(free,)).module()
        other = maps(network, batch=2, frames=2 * longer + 7)
        torch.testing.assert_close(program(other), network(other))


def _check_memory_format(network: Network, *, frames: int, convolutions: int) -> None:
    network = copy.deepcopy(network).to(memory_format=torch.channels_last)
    seen: list[Tensor] = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda layer, args, out: seen.append(out))
            layer.register_forward_hook(lambda layer, args, out: seen.append(args[0]) if out is not args[0] else None)
    network(maps(network, frames=frames).to(memory_format=torch.channels_last))
    wide = [each for each in seen if each.shape[1] > 1 and each.shape[2] * each.shape[3] > 1]
    assert len(seen) == 2 * convolutions
    # MobileNet's windows arrive as they were cut; the first convolution turns them.
    strayed = [each for each in wide if not each.is_contiguous(memory_format=torch.channels_last)]
    assert all(each.shape[1] == network.in_channels for each in strayed)
