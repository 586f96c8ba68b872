import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from tonearm.config import BlockConfig, Config, load_config, load_config_and_notes
from tonearm.errors import ConfigError
from tonearm.seed_config import Dialect, is_seed_config

README = Path(__file__).parent.parent / "configs" / "seed-readme.yaml"


def load(tmp_path: Path, data: dict[str, Any], dialect: Dialect = "en") -> tuple[Config, str]:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    config, notes = load_config_and_notes(path, seed_dialect=dialect)
    return config, "\n".join(notes)


@pytest.fixture
def seed() -> dict[str, Any]:
    return {
        "sample_rate": 16_000,
        "mel_spectrogram": {"win_length": 0.025, "hop_length": 0.01, "n_mels": 40, "f_min": 20},
        "train": {"epochs": 3, "lr": 0.01},
        "model": {"res_block": {"activation": "relu"}, "blocks": [{"res": [4, 8]}, {"pooling": {"mode": "avg"}}]},
    }


def block(config: Config, name: str) -> BlockConfig:
    return next(block for block in config.model.blocks if block.name == name)


def test_the_readme_config_means_what_the_english_readme_says() -> None:
    config = load_config(README)
    features = config.features
    assert config.sample_rate == 44_100
    assert (features.win_length, features.hop_length, features.n_fft) == (1380, 345, 1380)  # 0.0313 s, 0.00782 s
    assert (features.n_mels, features.f_min, features.f_max) == (128, 50.0, None)

    waveform = {effect.name: effect.value for effect in config.augmentation.waveform}
    assert list(waveform) == ["reverb", "time_shift_stretch", "noise"]
    assert [effect.p for effect in waveform.values()] == [0.0, 0.5, 0.3]
    assert (waveform["noise"].min_snr_db, waveform["noise"].max_snr_db) == (3.0, 30.0)
    specgram = {effect.name: effect.value for effect in config.augmentation.specgram}
    assert list(specgram) == ["dropblock", "time_masking", "frequency_masking"]
    assert (specgram["dropblock"].drop_probability, specgram["dropblock"].block_size) == (0.1, (8, 16))  # [mel, time]
    assert (specgram["time_masking"].time_mask_param, specgram["time_masking"].num_masks) == (64, 2)
    assert (specgram["frequency_masking"].freq_mask_param, specgram["frequency_masking"].num_masks) == (16, 2)

    train = config.train
    assert (train.epochs, train.patience, train.lr, train.weight_decay) == (200, 10, 5e-4, 1e-2)
    assert (train.batch_size, train.accumulate, train.decode_threads) == (16, 2, 4)
    assert (train.grad_clip_value, train.grad_clip_norm) == (None, 5.0)
    assert train.schedule == "constant"
    assert config.pretrain is not None
    assert (config.pretrain.epochs, config.pretrain.lr) == (50, 1e-3)

    assert config.model.res_block.norm == "before_activation"
    assert block(config, "max_pool").value.kernel_size == (1, 4)
    assert block(config, "max_pool").value.stride == (1, 4)
    drop = block(config, "drop").value
    assert (drop.p, drop.p_per, drop.drop_probability, drop.block_size) == (0.5, "clip", 0.1, (5, 3))
    assert (block(config, "pooling").value.mode, block(config, "pooling").value.keep) == ("sum", "channel_mel")
    assert [entry.value for entry in config.model.blocks if entry.name == "fc"] == [256, 50]


def test_the_russian_readme_differs_in_three_places_alone() -> None:
    english, russian = (load_config(README, seed_dialect=dialect).model_dump(mode="json") for dialect in ("en", "ru"))
    expected = copy.deepcopy(english)
    expected["model"]["res_block"]["norm"] = "after_activation"
    for entry in expected["model"]["blocks"]:
        if "drop" in entry:
            entry["drop"]["p_per"] = "batch"
        if "pooling" in entry:
            entry["pooling"]["keep"] = "frames"
    assert russian == expected


@pytest.mark.parametrize(
    ("dialect", "batch_first", "norm"),
    [
        ("en", True, "before_activation"),
        ("en", False, "after_activation"),
        ("ru", True, "after_activation"),
        ("ru", False, "before_activation"),
    ],
)
def test_batch_first(tmp_path: Path, seed: dict[str, Any], dialect: Dialect, batch_first: bool, norm: str) -> None:
    seed["model"]["res_block"]["batch_first"] = batch_first
    assert load(tmp_path, seed, dialect)[0].model.res_block.norm == norm


@pytest.mark.parametrize("dialect", ["en", "ru"])
def test_pooling_that_is_not_flat_is_the_same_in_both(tmp_path: Path, seed: dict[str, Any], dialect: Dialect) -> None:
    assert block(load(tmp_path, seed, dialect)[0], "pooling").value.keep == "channel"


def test_kernels_are_turned_from_time_frequency_to_mel_time(tmp_path: Path, seed: dict[str, Any]) -> None:
    seed["model"]["res_block"] |= {"kernel_size": [5, 3], "kernel_size_res": [1, 7]}
    res_block = load(tmp_path, seed)[0].model.res_block
    assert res_block.kernel_size == (3, 5)
    assert res_block.shortcut_kernel_size == (7, 1)


def test_effects_come_in_the_order_of_the_file(tmp_path: Path, seed: dict[str, Any]) -> None:
    seed["augmentation"] = {
        "noise": {"p": 1, "min_snr_db": 0, "max_snr_db": 9},
        "freq_masking": {"p": 1, "fmp": 3},
        "time_shift": {"p": 1},
        "time_masking": {"p": 1, "tmp": 3},
    }
    augmentation = load(tmp_path, seed)[0].augmentation
    assert [effect.name for effect in augmentation.waveform] == ["noise", "time_shift_stretch"]
    assert [effect.name for effect in augmentation.specgram] == ["frequency_masking", "time_masking"]


def test_what_is_not_given_has_the_readmes_defaults(tmp_path: Path) -> None:
    config, _ = load(tmp_path, {"mel_spectrogram": {}, "model": {"blocks": [{"pooling": {}}]}})
    assert config.sample_rate == 44_100
    assert (config.features.win_length, config.features.hop_length, config.features.n_mels) == (1380, 345, 128)
    assert not config.augmentation.waveform
    assert not config.augmentation.specgram


def test_blocks_may_be_a_dictionary(tmp_path: Path, seed: dict[str, Any]) -> None:
    seed["model"]["blocks"] = {"res": [4, 8], "max_pool": [3, 2], "pooling": {"mode": "max"}, "fc": 7}
    config, _ = load(tmp_path, seed)
    assert [entry.name for entry in config.model.blocks] == ["res", "max_pool", "pooling", "fc"]
    assert block(config, "max_pool").value.kernel_size == (1, 3)
    assert block(config, "max_pool").value.stride == (1, 2)


def test_epochs_zero_means_until_it_stops_improving(tmp_path: Path, seed: dict[str, Any]) -> None:
    seed["train"] |= {"epochs": 0, "patience": 7}
    train = load(tmp_path, seed)[0].train
    assert (train.epochs, train.patience) == (0, 7)


def test_overrides_use_our_keys() -> None:
    config = load_config(README, ["train.accumulate=4", "model.blocks.0.res.1=64"])
    assert config.train.accumulate == 4
    assert config.model.blocks[0].res == (16, 64)


def test_notes_tell_what_changes_meaning(tmp_path: Path, seed: dict[str, Any]) -> None:
    assert load(tmp_path, seed)[1] == ""
    seed["train"] |= {"num_workers": 0, "grad_clip_value": 0.5, "use_checkpoint": True}
    seed["augmentation"] = {"dropblock": {"p": 0.5, "dp": 0.1, "block_size": {"t": 4, "f": 2}}}
    seed["pretrain_urban"] = True
    config, notes = load(tmp_path, seed, "ru")
    assert config.train.decode_threads == 1
    assert config.train.grad_clip_value == 0.5
    assert config.train.gradient_checkpointing
    assert "train.num_workers 0 becomes decode_threads 1" in notes
    assert "the README swaps their descriptions" in notes
    assert "augmentation.dropblock.p is drawn for each clip, not once for the batch" in notes
    assert "filled with the clip's mean, not with zero" in notes
    assert "this version does not pretrain" in notes
    assert "not once for the batch" not in load(tmp_path, seed, "en")[1]


def test_load_config_logs_the_notes(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tonearm.config"):
        load_config(README)
    assert "swaps their descriptions" in caplog.text


@pytest.mark.parametrize(
    "data",
    [
        {"mel_spectrogram": {}},
        {"pretrain_urban": False},
        {"augmentation": {"time_shift": {"p": 1}}},
        {"train": {"accum_iter": 1}},
        {"pretrain": {"num_workers": 1}},
        {"model": {"res_block": {"batch_first": True}}},
    ],
)
def test_the_seeds_format_is_recognised(data: dict[str, Any]) -> None:
    assert is_seed_config(data)


def test_our_own_configs_and_odd_data_are_not_taken_for_a_seeds() -> None:
    ours = [path for path in README.parent.glob("*.yaml") if path != README]
    assert ours
    assert not any(is_seed_config(yaml.safe_load(path.read_text())) for path in ours)
    assert not is_seed_config({"model": [1], "train": 3, "augmentation": None})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mel_spectrogram": {"win_length": 1380}},
            r"\(in the seed's format\): mel_.*win_length: got 1380, must",
        ),
        ({"mel_spectrogram": {"hop": 0.1}}, r"mel_spectrogram\.hop: no such key\. Did you mean 'hop_length'\?"),
        (
            {"augmentation": {"dropblock": {"p": 1, "dp": 0.1}}},
            r"\.dropblock\.block_size: this key is missing",
        ),
        ({"augmentation": {"noise": {}}}, r"augmentation\.noise\.p: this key is missing"),
        (
            {"augmentation": {"gain": {"p": 1}}},
            r"augmentation\.gain: no such key\. It may be one of: reverb",
        ),
        ({"train": {"accum_iter": 0}}, r"train\.accum_iter: got 0, must be greater than or equal to 1"),
        ({"train": {"lr": 0}}, r"train\.lr: got 0, must be greater than 0"),
        ({"train": {"epochs": 0}}, r"train: epochs 0 .* needs patience"),
        ({"model": {"blocks": [{"drop": [0.5, 0.1, 3]}]}}, r"blocks\.0\.drop\.3: an entry is missing"),
        ({"model": {"blocks": [{"conv": 3}]}}, r"blocks\.0\.conv: no such key"),
    ],
)
def test_a_wrong_setting_is_named_with_the_seeds_key(
    tmp_path: Path, seed: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, seed | change)
