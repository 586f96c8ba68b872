from typing import Any

import pytest
import torch

from tests.models.promises import check_promises, count, maps, random
from tonearm.errors import ConfigError, ShapeError
from tonearm.models.features import LogMel
from tonearm.models.seed_convnets import SEED_FRAMES, SYSTEMS, AdvancedModel, FlattenNet, SimpleModel


def simple() -> SimpleModel:
    torch.manual_seed(0)
    return SimpleModel(num_classes=5, in_channels=2, n_mels=20, channels=4, num_frames=100)


def advanced() -> AdvancedModel:
    torch.manual_seed(0)
    return AdvancedModel(num_classes=5, in_channels=2, n_mels=36, channels=4, num_frames=300)


def test_parameters() -> None:
    assert [(system.name, count(system)) for system in SYSTEMS] == [
        ("seed-simple", 110_983_506),
        ("seed-advanced", 25_524_670),
    ]


def test_five_seconds_are_the_frames_they_are_made_for() -> None:
    system = SYSTEMS[0]
    assert LogMel(system.features, sample_rate=system.sample_rate).frames(5 * system.sample_rate) == SEED_FRAMES


@pytest.mark.parametrize(("network", "convolutions"), [(simple(), 3), (advanced(), 6)])
def test_promises(network: FlattenNet, convolutions: int) -> None:
    check_promises(network, convolutions=convolutions)


@pytest.mark.parametrize(("network", "frames"), [(simple(), 100), (advanced(), 300)])
def test_a_map_of_the_length_they_are_made_for_is_flattened_as_it_is(network: FlattenNet, frames: int) -> None:
    network.eval()
    log_mel = maps(network, frames=frames)
    torch.testing.assert_close(network(log_mel), network.linear(network.body(log_mel).flatten(1)))


def test_scores_may_be_negative() -> None:
    assert (simple()(maps(simple(), frames=100)) < 0).any()


def test_each_norm_has_the_statistics_of_its_own_layer() -> None:
    block: Any = advanced().get_submodule("body.0")
    x = random(4, 2, 36, 300)
    means = []
    block.conv2.register_forward_hook(lambda layer, args, out: means.append(out.mean(dim=(0, 2, 3))))
    for norm in (block.norm1, block.norm2):
        norm.momentum = 1.0
    block(x)
    torch.testing.assert_close(block.norm2.running_mean, means[0])
    torch.testing.assert_close(block.norm1.running_mean, block.conv1(x).mean(dim=(0, 2, 3)))


@pytest.mark.parametrize(("kind", "mels", "frames"), [(SimpleModel, 16, 61), (AdvancedModel, 36, 246)])
def test_too_small_maps_are_refused(kind: type[SimpleModel | AdvancedModel], mels: int, frames: int) -> None:
    with pytest.raises(ConfigError, match=f"n_mels: got {mels - 1}; seed-.* needs at least {mels}"):
        kind(num_classes=5, n_mels=mels - 1)
    network = kind(num_classes=5, n_mels=mels, channels=16, num_frames=frames + 40)
    assert network.eval()(random(1, 1, mels, frames)).shape == (1, 5)
    with pytest.raises(ShapeError, match=f"{frames - 1} frames; {kind.__name__} needs at least {frames}"):
        network(random(1, 1, mels, frames - 1))
