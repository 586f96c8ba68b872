import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tonearm.config import Config, dump_config, load_config
from tonearm.errors import ConfigError
from tonearm.strict_model import check

CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))
SMALL = "model: {blocks: [{res: [4, 8]}, {pooling: {mode: avg}}]}\n"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "c.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_config_of_blocks_alone_has_every_default(write: Any) -> None:
    config = load_config(write(SMALL))
    assert config.sample_rate is None
    assert (config.features.n_fft, config.features.hop_length, config.features.n_mels) == (1380, 345, 128)
    assert not config.augmentation.waveform
    assert not config.augmentation.specgram
    assert config.train.precision == "auto"
    assert config.train.channels_last
    assert config.pretrain is None
    assert [block.name for block in config.model.blocks] == ["res", "pooling"]
    assert config.model.blocks[0].value == (4, 8)


def test_effects_keep_their_order_and_may_repeat(write: Any) -> None:
    text = SMALL + "augmentation: {waveform: [{noise: {p: 1e-1}}, {time_shift_stretch: {}}, {noise: {p: 1}}]}"
    waveform = load_config(write(text)).augmentation.waveform
    assert [effect.name for effect in waveform] == ["noise", "time_shift_stretch", "noise"]
    assert [effect.arguments for effect in waveform] == [{"p": 0.1}, {}, {"p": 1}]


def test_overrides_reach_every_depth(write: Any) -> None:
    config = load_config(
        write(SMALL), ["train.lr=1e-4", "model.blocks.0.res=[16, 32]", "pretrain.epochs=2", "features.f_max=8000"]
    )
    assert config.train.lr == 1e-4
    assert config.model.blocks[0].res == (16, 32)
    assert config.pretrain is not None
    assert config.pretrain.epochs == 2
    assert config.features.f_max == 8000.0


def test_a_config_is_frozen(write: Any) -> None:
    config = load_config(write(SMALL))
    with pytest.raises(ValueError, match="frozen"):
        config.train.lr = 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: {}", r"c\.yaml: trian: no such key\. Did you mean 'train' or 'pretrain'\?$"),
        ("features: {win_lenght: 3}", r"features\.win_lenght: no such key\. Did you mean 'win_length'"),
        ("train: {xyz: 3}", r"train\.xyz: no such key\. It may be one of: epochs, patience, batch_size"),
        (
            "augmentation: {waveform: [{noise: }]}",
            r"waveform\.0: noise: must have a mapping of arguments after it; \{\}",
        ),
        ("augmentation: {waveform: [noise]}", r"waveform\.0: got 'noise', must be a mapping with one key, the name of"),
        ("augmentation: {waveform: [{noise: {}, reverb: {}}]}", r"waveform\.0: must be a mapping with one key"),
        ("train: {lr: fast}", r"train\.lr: got 'fast', must be a valid number"),
        ("train: {lr: '1e-4'}", r"train\.lr: got '1e-4', must be a valid number"),
        ("train: {lr: .nan}", r"train\.lr: got nan, must be a finite number"),
        ("train: {lr: 0}", r"train\.lr: got 0, must be greater than 0"),
        ("train: {batch_size: true}", r"train\.batch_size: got True, must be a valid integer"),
        ("sample_rate: 1" + "0" * 400, r"sample_rate: got 10*\.\.\.0*, must be less than or equal to 2147483647"),
        ("sample_rate: 0x" + "f" * 64, r"sample_rate: got \d+\.\.\.\d+, must be less than or equal to 2147483647"),
        ("sample_rate: 1e5", r"sample_rate: got 100000\.0, must be a valid integer"),
        ("train: {epochs: 4294967296}", r"train\.epochs: got 4294967296, must be less than or equal to 2147483647"),
        ("train: {lr: 1" + "0" * 400 + "}", r"train\.lr: got 10*\.\.\.0*, must be a valid number"),
        ("train: {epochs: 1.5}", r"train\.epochs: got 1\.5, must be a valid integer"),
        ("train: {channels_last: 1}", r"train\.channels_last: got 1, must be a valid boolean"),
        ("train: {precision: fp8}", r"train\.precision: got 'fp8', must be 'auto', 'fp32', 'fp16' or 'bf16'"),
        (
            "train: {epochs: 0, schedule: constant}",
            r"train: epochs 0 means 'until it .*' and needs patience",
        ),
        ("train: {epochs: 0, patience: 3}", r"epochs 0 has no end to plan for, so schedule must be constant"),
        ("train: 3", r"train: got 3, must be a mapping with keys out of: epochs, patience"),
        ("features: {win_length: 2048}", r"features: win_length 2048 is above n_fft 1380"),
        ("features: {f_min: 9000, f_max: 8000}", r"features: f_min 9000 must be below f_max 8000"),
        ("sample_rate: 16000\nfeatures: {f_max: 9000}", r"f_max 9000 Hz is above half the sample_rate 16000"),
        ("model: {blocks: []}", r"model: blocks is empty"),
        (
            "features: {}\nmodel: {blocks: [{max_pool: [2, 2]}]}",
            r"c\.yaml: model\.blocks\.0\.max_pool: got \[2, 2\], must be a mapping with keys out of",
        ),
        ("model: {blocks: [{activation: elu}]}", r"activation: got 'elu', must be 'gelu', 'relu', 'lrelu' or 'swiglu'"),
        (
            "model: {blocks: [{pooling: {mode: mean}}]}",
            r"mode: got 'mean', must be 'avg', 'max', 'sum' or 'mul'",
        ),
        ("model: {blocks: [{dropout: 1.0}]}", r"dropout: got 1\.0, must be less than 1"),
    ],
)
def test_every_wrong_setting_is_named_with_what_it_may_be(write: Any, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(text if "model:" in text else SMALL + text))
    assert len(str(caught.value).splitlines()) == 1


def test_every_problem_has_a_line(write: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(SMALL + "train: {lr: fast, epoch: 3}\nsample_rate: -1"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert all("c.yaml: " in line for line in lines)


def test_a_config_without_a_model_says_so(write: Any) -> None:
    with pytest.raises(ConfigError, match=r"model: this key is missing and has no default"):
        load_config(write("sample_rate: 44100"))


def test_an_error_after_overrides_names_them(write: Any) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml with train\.lr=fast: train\.lr: got 'fast'"):
        load_config(write(SMALL), ["train.lr=fast"])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.parametrize("dialect", ["en", "ru"])
def test_every_config_we_ship_round_trips(path: Path, dialect: Any, write: Any) -> None:
    config = load_config(path, seed_dialect=dialect)
    assert load_config(write(dump_config(config))) == config


probabilities = st.floats(0, 1)
sizes = st.integers(1, 4096)
pairs = st.tuples(sizes, sizes).map(list)
blocks = st.one_of(
    st.builds(lambda pair: {"res": pair}, pairs),
    st.builds(lambda pair, stride: {"max_pool": {"kernel_size": pair, "stride": stride}}, pairs, st.none() | pairs),
    st.sampled_from(["gelu", "relu", "lrelu", "swiglu"]).map(lambda name: {"activation": name}),
    st.builds(lambda p, pair: {"drop": {"p": p, "drop_probability": p / 2, "block_size": pair}}, probabilities, pairs),
    st.floats(0, 0.99).map(lambda rate: {"dropout": rate}),
    sizes.map(lambda size: {"fc": size}),
    st.sampled_from(["channel", "channel_mel", "frames"]).map(lambda keep: {"pooling": {"keep": keep}}),
)
effects = st.one_of(
    st.builds(lambda p: {"noise": {"p": p, "min_snr_db": -p}}, probabilities),
    st.builds(lambda p: {"time_shift_stretch": {"p": p, "max_rate": 1 + p}}, probabilities),
)


@settings(deadline=None)  # times on a shared machine say nothing
@given(
    blocks=st.lists(blocks, min_size=1, max_size=4),
    effects=st.lists(effects, max_size=3),
    lr=st.floats(0, 1e300, exclude_min=True),
    patience=st.none() | sizes,
)
def test_any_config_round_trips(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[Any], effects: list[Any], lr: float, patience: int | None
) -> None:
    train = {"lr": lr, "patience": patience}
    config = check(
        Config, {"model": {"blocks": blocks}, "augmentation": {"waveform": effects}, "train": train}, where="t"
    )
    path = tmp_path_factory.getbasetemp() / "round-trip.yaml"
    path.write_text(dump_config(config))
    assert load_config(path) == config


def test_reading_a_config_imports_neither_torch_nor_dali() -> None:
    code = "import sys, tonearm.config; print([m for m in ('torch', 'nvidia', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
