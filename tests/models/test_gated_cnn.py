from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.models.promises import check_promises, count, maps, random
from tonearm.errors import ConfigError, ShapeError
from tonearm.models.gated_cnn import SYSTEMS, GatedCNN, GatedConv, GatedRecurrence

BY_NAME = {system.name: system for system in SYSTEMS}
# Keras' GRU has one bias a gate, torch's two: 2 GRUs × 2 directions × 3 gates × 128.
BIASES = 2 * 2 * 3 * 128
ATTENTION = 256 * 17 + 17


def small(**options: Any) -> GatedCNN:
    torch.manual_seed(0)
    return GatedCNN(num_classes=5, in_channels=2, n_mels=16, channels=8, hidden_size=4, **options)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("gated-cnn", 1_262_737 + BIASES),
        ("gated-cnn-released", 1_188_753 + BIASES),
        ("gated-cnn-attention", 1_262_737 + ATTENTION + BIASES),
    ],
)
def test_parameters_are_keras_and_torchs_second_biases(name: str, parameters: int) -> None:
    assert count(BY_NAME[name]) == parameters


def test_half_has_half_the_channels_and_one_gru() -> None:
    with torch.device("meta"):
        network = BY_NAME["gated-cnn-half"].build(num_classes=80)
    widths = [each.conv.out_channels for each in network.modules() if isinstance(each, GatedConv)]
    assert widths == [64] * 8
    assert network.get_submodule("recurrence").values is None
    count(BY_NAME["gated-cnn-half"])


@pytest.mark.parametrize("options", [{}, {"blocks": 7}, {"gated_recurrence": False}, {"pooling": "attention"}])
def test_promises(options: dict[str, Any]) -> None:
    network = small(**options)
    check_promises(network, convolutions=9 - (options.get("blocks") == 7))
    assert network.min_frames == (1 if "pooling" in options else 8)


def test_a_gated_convolution_multiplies_its_first_half_by_the_sigmoid_of_the_second() -> None:
    layer = GatedConv(2, 6)
    x = random(2, 2, 4, 5)
    both = layer.norm(layer.conv(x))
    torch.testing.assert_close(layer(x), both[:, :3] / (1 + torch.exp(-both[:, 3:])))


def test_a_gate_is_a_gru_whose_candidate_is_a_sigmoid() -> None:
    """Of the state g = (1 + h) / 2, with the weights that make the same function of it, from 0 on."""
    layer = GatedRecurrence(3, 2, gated=False)
    x = random(1, 6, 3)
    weights: Any = layer.gates
    weight_ih, weight_hh = weights.weight_ih_l0, weights.weight_hh_l0
    bias_ih, bias_hh = weights.bias_ih_l0, weights.bias_hh_l0
    state, states = torch.zeros(2), []
    for frame in x[0]:
        reset, update, new = (weight_ih @ frame + bias_ih).chunk(3)
        kept_reset, kept_update, kept_new = (2 * weight_hh @ state + bias_hh - weight_hh.sum(dim=1)).chunk(3)
        candidate = torch.sigmoid(2 * (new + torch.sigmoid(reset + kept_reset) * kept_new))
        update = torch.sigmoid(update + kept_update)
        state = (1 - update) * candidate + update * state
        states.append(state)
    torch.testing.assert_close(layer(x)[0, :, :2], torch.stack(states))


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_a_clips_probability_is_the_weighted_mean_of_its_frames(pooling: Any) -> None:
    network = small(pooling=pooling).eval()
    frames = []
    network.head.register_forward_pre_hook(lambda layer, args: frames.append(args[0]))
    scores = network(maps(network, frames=40))
    present = network.head(frames[0]).sigmoid()
    weights = torch.ones_like(present) if network.attention is None else network.attention(frames[0]).softmax(dim=2)
    assert present.shape[1] == (40 if pooling == "attention" else 5)
    torch.testing.assert_close(scores.sigmoid(), (weights * present).sum(dim=1) / weights.sum(dim=1))


def test_a_new_class_layer_brings_a_new_attention() -> None:
    network = small(pooling="attention")
    network.replace_class_layer(9)
    assert network(maps(network, frames=20)).shape == (3, 9)
    assert isinstance(network.attention, nn.Linear)
    assert network.attention.out_features == 9


def test_too_small_maps_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"n_mels: got 15; the gated CNN halves .* at least 16"):
        GatedCNN(num_classes=5, n_mels=15)
    with pytest.raises(ShapeError, match="has 7 frames; GatedCNN needs at least 8"):
        small()(random(1, 2, 16, 7))


def test_what_is_added_before_the_logarithm_is_the_sources_in_our_units() -> None:
    offset = 1e-8 * np.sqrt(np.square(np.hamming(1024)).sum())  # scipy divides magnitudes by this root at fs = 1
    assert BY_NAME["gated-cnn"].features.offset == pytest.approx(offset, rel=0.02)
