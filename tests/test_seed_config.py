import copy
import logging
from pathlib import Path
from typing import Any

import pytest
import yaml

from tonearm.config import BlockConfig, Config, load_config, load_config_and_notes
from tonearm.errors import ConfigError
from tonearm.seed_config import Dialect, is_seed_config, translate_seed
from tonearm.strict_model import check

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

    waveform = {effect.name: effect.arguments for effect in config.augmentation.waveform}
    assert list(waveform) == ["reverb", "time_shift_stretch", "noise"]
    assert [effect["p"] for effect in waveform.values()] == [0.0, 0.5, 0.3]
    assert (waveform["noise"]["min_snr_db"], waveform["noise"]["max_snr_db"]) == (3.0, 30.0)
    specgram = {effect.name: effect.arguments for effect in config.augmentation.specgram}
    assert list(specgram) == ["dropblock", "time_masking", "frequency_masking"]
    assert (specgram["dropblock"]["drop_probability"], specgram["dropblock"]["block_size"]) == (
        0.1,
        [8, 16],
    )  # [mel, time]
    assert (specgram["time_masking"]["time_mask_param"], specgram["time_masking"]["num_masks"]) == (64, 2)
    assert (specgram["frequency_masking"]["freq_mask_param"], specgram["frequency_masking"]["num_masks"]) == (16, 2)

    train = config.train
    assert (train.epochs, train.patience, train.lr, train.weight_decay) == (200, 10, 5e-4, 1e-2)
    assert (train.batch_size, train.accumulate, train.decode_threads) == (16, 2, 4)
    assert (train.grad_clip_value, train.grad_clip_norm) == (None, 5.0)
    assert train.schedule == "constant"
    assert config.pretrain is None  # pretrain_urban is false

    assert config.model.res_block.norm == "before_activation"
    assert block(config, "max_pool").value.kernel_size == (1, 4)
    assert block(config, "max_pool").value.stride == (1, 4)
    drop = block(config, "drop").value
    assert (drop.p, drop.p_per, drop.drop_probability, drop.block_size) == (0.5, "clip", 0.1, (5, 3))
    assert (block(config, "pooling").value.mode, block(config, "pooling").value.keep) == ("sum", "channel_mel")
    assert [entry.value for entry in config.model.blocks if entry.name == "fc"] == [256, 50]


EVERY_KEY: dict[str, Any] = {  # no value is a default of ours, nor of the README
    "sample_rate": 16_000,
    "mel_spectrogram": {
        "win_length": 0.025,
        "hop_length": 0.01,
        "n_mels": 40,
        "f_min": 20.0,
        "f_max": 7000.0,
        "n_fft": 512,
    },
    "augmentation": {
        "noise": {"p": 0.11, "min_snr_db": 3.0, "max_snr_db": 20.0},
        "reverb": {"p": 0.12},
        "time_shift": {"p": 0.13},
        "freq_masking": {"p": 0.14, "fmp": 9, "num": 3},
        "dropblock": {"p": 0.15, "dp": 0.2, "block_size": {"t": 6, "f": 5}},
        "time_masking": {"p": 0.16, "tmp": 17, "num": 4},
    },
    "pretrain_urban": True,
    "model": {
        "res_block": {"activation": "lrelu", "batch_first": False, "kernel_size": [5, 7], "kernel_size_res": [2, 3]},
        "blocks": [
            {"res": [6, 10]},
            {"max_pool": [3, 2]},
            {"activation": "swiglu"},
            {"drop": [0.4, 0.3, 4, 2]},
            {"dropout": 0.25},
            {"pooling": {"mode": "mul", "flat": True}},
            {"fc": 11},
        ],
    },
}
for name, numbers in {"pretrain": 1, "train": 2}.items():
    EVERY_KEY[name] = {
        "num_workers": 2 + numbers,
        "epochs": 10 + numbers,
        "patience": 4 + numbers,
        "lr": 0.1 * numbers,
        "weight_decay": 0.2 * numbers,
        "batch_size": 6 + numbers,
        "accum_iter": 8 + numbers,
        "grad_clip_value": 0.3 * numbers,
        "grad_clip_norm": 0.4 * numbers,
        "use_checkpoint": True,
    }


def expected_training(numbers: int) -> dict[str, Any]:
    return {
        "decode_threads": 2 + numbers,
        "epochs": 10 + numbers,
        "patience": 4 + numbers,
        "lr": 0.1 * numbers,
        "weight_decay": 0.2 * numbers,
        "batch_size": 6 + numbers,
        "accumulate": 8 + numbers,
        "grad_clip_value": 0.3 * numbers,
        "grad_clip_norm": 0.4 * numbers,
        "gradient_checkpointing": True,
        "schedule": "constant",
    }


@pytest.mark.parametrize(
    ("dialect", "norm", "p_per", "keep"),
    [("en", "after_activation", "clip", "channel_mel"), ("ru", "before_activation", "batch", "frames")],
)
def test_every_key_is_translated(dialect: Dialect, norm: str, p_per: str, keep: str) -> None:
    expected = {
        "sample_rate": 16_000,
        "features": {
            "win_length": 400,
            "hop_length": 160,
            "n_mels": 40,
            "f_min": 20.0,
            "f_max": 7000.0,
            "n_fft": 512,
        },
        "augmentation": {
            "waveform": [
                {"noise": {"p": 0.11, "min_snr_db": 3.0, "max_snr_db": 20.0}},
                {"reverb": {"p": 0.12}},
                {"time_shift_stretch": {"p": 0.13}},
            ],
            "specgram": [
                {"frequency_masking": {"p": 0.14, "freq_mask_param": 9, "num_masks": 3}},
                {"dropblock": {"p": 0.15, "drop_probability": 0.2, "block_size": [5, 6]}},
                {"time_masking": {"p": 0.16, "time_mask_param": 17, "num_masks": 4}},
            ],
        },
        "train": expected_training(2),
        "pretrain": expected_training(1),
        "model": {
            "res_block": {
                "activation": "lrelu",
                "norm": norm,
                "kernel_size": [7, 5],
                "shortcut_kernel_size": [3, 2],
            },
            "blocks": [
                {"res": [6, 10]},
                {"max_pool": {"kernel_size": [1, 3], "stride": [1, 2]}},
                {"activation": "swiglu"},
                {"drop": {"p": 0.4, "p_per": p_per, "drop_probability": 0.3, "block_size": [2, 4]}},
                {"dropout": 0.25},
                {"pooling": {"mode": "mul", "keep": keep}},
                {"fc": 11},
            ],
        },
    }
    translated, _ = translate_seed(EVERY_KEY, dialect=dialect, where="t")
    assert translated == expected
    check(Config, translated, where="t")


def test_the_russian_readme_differs_in_three_settings_alone() -> None:
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
        *({"augmentation": {name: {"p": 1}}} for name in ("reverb", "noise", "dropblock", "time_masking")),
        {"augmentation": {"freq_masking": {"p": 1}}},
        *({block: {"num_workers": 1}} for block in ("train", "pretrain")),
        *({block: {"accum_iter": 1}} for block in ("train", "pretrain")),
        *({block: {"use_checkpoint": False}} for block in ("train", "pretrain")),
        {"model": {"res_block": {"batch_first": True}}},
        {"model": {"res_block": {"kernel_size_res": [1, 1]}}},
        {"model": {"blocks": {"res": [4, 8]}}},
        {"model": {"blocks": [{"fc": 3}, {"max_pool": [2, 2]}]}},
        {"model": {"blocks": [{"drop": [0.5, 0.1, 3, 5]}]}},
        {"model": {"blocks": [{"pooling": {"flat": False}}]}},
    ],
)
def test_the_seeds_format_is_recognised(data: dict[str, Any]) -> None:
    assert is_seed_config(data)


def test_our_own_configs_and_odd_data_are_not_taken_for_a_seeds() -> None:
    ours = [path for path in README.parent.glob("*.yaml") if path != README]
    assert ours
    assert not any(is_seed_config(yaml.safe_load(path.read_text())) for path in ours)
    assert not is_seed_config({"model": [1], "train": 3, "augmentation": None})
    assert not is_seed_config({"model": {"blocks": [3, {"max_pool": 2}, {"drop": {}}, {"pooling": {"mode": "avg"}}]}})


@pytest.mark.parametrize(
    "ours",
    [
        {"features": {}},
        {"augmentation": {"waveform": []}},
        {"augmentation": {"specgram": []}},
        {"train": {"schedule": "constant"}},
        {"train": {"precision": "fp32"}},
        {"train": {"accumulate": 2}},
        {"model": {"res_block": {"norm": "after_activation"}}},
        {"model": {"res_block": {"shortcut_kernel_size": [1, 1]}}},
    ],
)
def test_a_slip_in_a_block_does_not_make_a_file_of_ours_a_seeds(ours: dict[str, Any]) -> None:
    blocks = [{"max_pool": [2, 2]}]
    assert is_seed_config({"model": {"blocks": blocks}})
    assert not is_seed_config({**ours, "model": {**ours.get("model", {}), "blocks": blocks}})


def test_a_file_that_its_blocks_alone_make_a_seeds_is_told_so(tmp_path: Path) -> None:
    blocks: list[Any] = [{"res": [4, 8]}, {"max_pool": [3, 2]}, {"pooling": {"mode": "avg"}}]
    config, notes = load(tmp_path, {"model": {"blocks": blocks}})
    assert block(config, "max_pool").value.kernel_size == (1, 3)
    assert "model.blocks.1.max_pool is written as in the seed's format" in notes
    with pytest.raises(ConfigError, match=r"\(in the seed's format\): train\.epoch: no such key"):
        load(tmp_path, {"train": {"epoch": 3}, "model": {"blocks": blocks}})


@pytest.mark.parametrize("name", ["noise", "dropblock", "time_masking", "freq_masking"])
def test_p_0_alone_switches_an_effect_off(tmp_path: Path, seed: dict[str, Any], name: str) -> None:
    seed["augmentation"] = {"time_shift": {"p": 0.3}, name: {"p": 0}}
    augmentation = load(tmp_path, seed)[0].augmentation
    assert [effect.name for effect in augmentation.waveform] == ["time_shift_stretch"]
    assert not augmentation.specgram
    for p in (0.1, False):
        seed["augmentation"] = {name: {"p": p}}
        with pytest.raises(ConfigError, match=rf"augmentation\.{name}\.\w+: this key is missing"):
            load(tmp_path, seed)


def test_a_pretrain_block_that_is_not_used_is_left_out(tmp_path: Path, seed: dict[str, Any]) -> None:
    seed["pretrain"] = {"epochs": 0, "num_workers": 3}
    config, notes = load(tmp_path, seed)
    assert config.pretrain is None
    assert not notes
    seed["pretrain_urban"] = True
    with pytest.raises(
        ConfigError, match=r"\(translated from the seed's format\): pretrain: epochs 0 .* needs patience"
    ):
        load(tmp_path, seed)
    seed["pretrain"]["epoch"] = 3
    seed["pretrain_urban"] = False
    with pytest.raises(ConfigError, match=r"pretrain\.epoch: no such key"):
        load(tmp_path, seed)


def test_errors_after_the_translation_say_that_there_was_one(tmp_path: Path, seed: dict[str, Any]) -> None:
    seed["mel_spectrogram"]["f_max"] = 9000
    with pytest.raises(
        ConfigError, match=r"config\.yaml \(translated from the seed's format\): .*f_max 9000 Hz is above"
    ):
        load(tmp_path, seed)
    with pytest.raises(
        ConfigError, match=r"\(translated from the seed's format\) with train\.lr=x: train\.lr: got 'x'"
    ):
        load_config(README, ["train.lr=x"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"mel_spectrogram": {"win_length": 1380}},
            r"\(in the seed's format\): mel_.*length: got 1380, must be seconds, at most 1; 1380 looks like samples",
        ),
        ({"mel_spectrogram": {"hop_length": 0}}, r"mel_spectrogram\.hop_length: got 0, must be greater than 0"),
        (
            {"mel_spectrogram": {"f_min": 9000, "f_max": 8000}},
            r"\(in the seed's format\): mel_spectrogram: f_min 9000 must be below f_max 8000",
        ),
        (
            {"augmentation": {"noise": {"p": 1, "min_snr_db": 9, "max_snr_db": 3}}},
            r"\(in the seed's format\): augmentation\.noise: min_snr_db 9 must not be above max_snr_db 3",
        ),
        ({"sample_rate": 10**400}, r"format\): sample_rate: got 10*\.\.\.0*, must be less than or equal to 2147483647"),
        ({"train": {"num_workers": 10**400}}, r"train\.num_workers: got 10*\.\.\.0*, must be less than or equal to"),
        ({"train": {"patience": 2**31}}, r"train\.patience: got 2147483648, must be less than or equal to 2147483647"),
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
