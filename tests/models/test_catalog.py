"""Names, build_model, and the classifier that a configuration makes of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tonearm.config import Config, FeaturesConfig, ModelConfig, dump_config, load_config
from tonearm.errors import ConfigError
from tonearm.models import SYSTEMS, BlockNet, build_model, find_system
from tonearm.models.classifier import build_classifier, load_published_weights, warn_of_foreign_features, with_front_end
from tonearm.strict_model import check

BLOCKS = {"blocks": [{"res": [4, 4]}, {"pooling": {}}]}


def config(**data: Any) -> Config:
    return check(Config, data, where="test")


def test_names_are_the_systems_own() -> None:
    assert all(name == system.name for name, system in SYSTEMS.items())
    assert all(find_system(name) is system for name, system in SYSTEMS.items())


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("erann-8x4", "'erann-8x4-4'"),
        ("cnn15", "'cnn14'"),
        ("resnet-38", "'resnet38'"),
        ("erann_4x2_3", "erann-4x2-3"),
    ],
)
def test_a_wrong_name_lists_the_near_ones(wrong: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"{wrong}: no such model\. Did you mean .*{near}.*tonearm models"):
        build_model(wrong, num_classes=2)


@pytest.mark.parametrize("name", ["ERANN-8x4-4", "erann-8×4-4"])
def test_names_may_be_written_as_in_papers(name: str) -> None:
    assert find_system(name) is SYSTEMS["erann-8x4-4"]


def test_a_name_like_none_lists_them_all() -> None:
    with pytest.raises(ConfigError, match=r"It may be one of: .*erann-8x4-4.*"):
        find_system("∞")


def test_a_network_of_blocks_needs_to_know_its_bands() -> None:
    blocks = check(ModelConfig, BLOCKS, where="test")
    assert isinstance(build_model(blocks, num_classes=3, n_mels=16), BlockNet)
    with pytest.raises(ConfigError, match="n_mels: a network of blocks"):
        build_model(blocks, num_classes=3)


@pytest.mark.parametrize("model", ["erann-1x1-1", {"name": "erann-1x1-1"}])
def test_a_configuration_names_a_model_in_two_ways(model: Any) -> None:
    named = config(model=model)
    assert named.model == ModelConfig(name="erann-1x1-1")
    assert load_dumped(named) == named


def load_dumped(written: Config, folder: Path | None = None) -> Config:
    import yaml

    return check(Config, yaml.safe_load(dump_config(written)), where="dumped")


def test_an_override_names_another_model(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: erann-1x1-1\n")
    assert load_config(tmp_path / "c.yaml", ["model=erann-4x2-3"]).model.name == "erann-4x2-3"
    assert load_config(tmp_path / "c.yaml", ["model={name: erann-2x2-1}"]).model.name == "erann-2x2-1"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({}, "a network needs at least a pooling block, or a name"),
        ({"name": "cnn14", **BLOCKS}, "both a name, cnn14, and blocks"),
        ({"name": "cnn14", "res_block": {}}, "both a name, cnn14, and blocks"),
        ({"weights": "x.pth", **BLOCKS}, "weights are of a network with a name"),
        ({"nome": "cnn14"}, "Did you mean 'name'"),
        (14, "must be a mapping"),
    ],
)
def test_a_model_is_a_name_or_blocks(model: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(model=model)


def test_a_named_model_brings_its_front_end() -> None:
    system = find_system("erann-4x2-3")
    filled = with_front_end(config(model="erann-4x2-3"), sample_rate=44_100)
    assert filled.features == system.features
    assert filled.features.model_fields_set == set(FeaturesConfig.model_fields)
    # and what a run's config.yaml holds stays, whatever becomes of the system
    assert with_front_end(load_dumped(filled), sample_rate=16_000).features == system.features


def test_features_that_are_set_win_and_the_others_stay_the_systems() -> None:
    written = config(model="erann-4x2-3", features={"f_min": 50, "hop_length": 172})
    assert "n_mels" not in dump_config(written)
    filled = with_front_end(load_dumped(written), sample_rate=22_050).features
    assert filled == find_system("erann-4x2-3").features.model_copy(update={"f_min": 50, "hop_length": 172})


def test_features_that_are_not_the_models_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    for model, features in (("erann-4x2-3", {"n_mels": 128}), ("erann-4x2-3", {}), (BLOCKS, {"n_mels": 64})):
        warn_of_foreign_features(with_front_end(config(model=model, features=features), sample_rate=44_100))
    assert not caplog.messages
    warn_of_foreign_features(with_front_end(config(model="erann-4x2-3", features={"n_mels": 64}), sample_rate=44_100))
    assert "n_mels 64 instead of 128. Leave them out" in caplog.text


def test_features_are_judged_together_with_those_of_the_model() -> None:
    assert (
        with_front_end(config(model="cnn14", features={"n_fft": 1024}), sample_rate=32_000).features.win_length == 1024
    )
    with pytest.raises(
        ConfigError, match=r"features, completed by those of cnn14: .*f_min 15000 must be below f_max 14000"
    ):
        with_front_end(config(model="cnn14", features={"f_min": 15_000.0}), sample_rate=32_000)
    with pytest.raises(ConfigError, match="features: win_length 2048 is above n_fft 1380"):
        config(model=BLOCKS, features={"win_length": 2048})


def test_published_weights_want_the_front_end_that_they_learnt_with(tmp_path: Path) -> None:
    network = build_model("cnn14", num_classes=2)
    other = with_front_end(config(model={"name": "cnn14", "weights": "w.pth"}, features={"hop_length": 160}))
    with pytest.raises(ConfigError, match=r"model\.weights: .* hop_length 160 instead of 320"):
        load_published_weights(network, other)


def test_a_front_end_for_another_rate_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"erann-4x2-3 was made for 44100 Hz, and the data is 16000 Hz\. Pack with --sam"
    ):
        with_front_end(config(model="erann-4x2-3"), sample_rate=16_000)
    with pytest.raises(ConfigError, match="the data is 16000 Hz"):
        with_front_end(config(model="erann-4x2-3", features={"normalize": "band"}), sample_rate=16_000)
    with pytest.raises(ConfigError, match="sample_rate is 22050 Hz"):
        with_front_end(config(model="erann-4x2-3", sample_rate=22_050))


def test_a_classifier_of_a_name_scores_waveforms() -> None:
    model = build_classifier(config(model="erann-1x1-1"), num_classes=4, sample_rate=44_100, num_channels=2).eval()
    assert model(torch.zeros(2, 2, 44_100)).shape == (2, 4)
    assert model.network.in_channels == 2


@pytest.mark.parametrize("name", ["erann-1x1-1", "blocks"])
def test_a_new_class_layer_leaves_the_body_alone(name: str) -> None:
    net = (
        build_model(name, num_classes=4)
        if name != "blocks"
        else build_model(check(ModelConfig, BLOCKS, where="test"), num_classes=4, n_mels=16)
    )
    before = {key: value.clone() for key, value in net.state_dict().items()}
    assert net.num_classes == 4
    net.eval().replace_class_layer(7)
    assert net.num_classes == 7
    assert net(torch.zeros(1, 1, net.n_mels, 64)).shape == (1, 7)
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {f"{net.class_layer}.weight", f"{net.class_layer}.bias"}


def test_a_class_layer_of_frames_is_replaced_too() -> None:
    blocks = [{"res": [4, 4]}, {"pooling": {"keep": "frames"}}, {"fc": 5}]
    net = build_model(check(ModelConfig, {"blocks": blocks}, where="test"), num_classes=5, n_mels=8)
    net.replace_class_layer(3)
    assert isinstance(net.get_submodule(net.class_layer), nn.Conv1d)
    assert net(torch.zeros(2, 1, 8, 20)).shape == (2, 3)


def test_weights_of_a_system_that_published_none_are_refused(tmp_path: Path) -> None:
    network = build_model("erann-1x1-1", num_classes=2)
    load_published_weights(network, config(model="erann-1x1-1"))  # none asked for
    with pytest.raises(ConfigError, match="no weights are published for erann-1x1-1; there are some for .*cnn14"):
        load_published_weights(network, config(model={"name": "erann-1x1-1", "weights": str(tmp_path / "x.pth")}))
