"""The configuration file: its schema, and how a file, its overrides or a seed's config.yaml become one.

One file describes a run: what the model hears (``features``), what is done to it on the way (``augmentation``), how it
learns (``train``) and what it is (``model``). Sizes with two numbers are always [mel, time], the order of the axes of
a spectrogram (batch, channel, mel, time). docs/design/config-schema.md shows a whole file.
"""

import logging
import os
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_serializer, model_validator

from tonearm.seed_config import Dialect, is_seed_config, translate_seed
from tonearm.strict_model import Count, OneKey, Pair, Several, Size, StrictModel, check
from tonearm.strict_yaml import apply_overrides, read_yaml

_log = logging.getLogger(__name__)

Probability = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Activation = Literal["gelu", "relu", "lrelu", "swiglu"]


class FeaturesConfig(StrictModel):
    """The log-mel front-end; window and hop in samples, frequencies in Hz. The defaults are ERANN's at 44.1 kHz.

    Beside a model that is named, what is left out here is what that model was made for.
    """

    n_fft: Size = 1380
    win_length: Size = 1380
    hop_length: Size = 345
    n_mels: Size = 128
    f_min: NotNegative = 0.0
    f_max: Positive | None = None  # None: half the sample rate
    window: Literal["hann", "hamming"] = "hann"
    padding: Literal["reflect", "zeros", "none"] = "reflect"  # before and after the clip, by half a window
    power: Literal[1, 2] = 2  # the bands sum magnitudes, or their squares
    mel_scale: Literal["htk", "slaney"] = "htk"
    mel_norm: Literal["peak", "area"] = "peak"  # each triangle's height is 1, or its area in Hz
    log: Literal["db", "ln"] = "db"  # ten times the decimal logarithm, or the natural one
    floor: Positive = 1e-10  # what is smaller counts as this
    offset: NotNegative = 0.0  # added before the logarithm
    normalize: Literal["band", "dataset", "none"] = "band"  # by the training clips: each band, all as one, not at all

    @model_validator(mode="after")
    def _fits(self) -> Self:
        # what is left out may be a named model's; Config and tonearm.models look at the whole
        fault = self.fault() if self.model_fields_set == set(type(self).model_fields) else None
        if fault is not None:
            raise ValueError(fault)
        return self

    def fault(self) -> str | None:
        """Which two of the settings contradict each other, if any."""
        if self.win_length > self.n_fft:
            return f"win_length {self.win_length} is above n_fft {self.n_fft}; n_fft must hold the window"
        if self.f_max is not None and self.f_min >= self.f_max:
            return f"f_min {self.f_min:g} must be below f_max {self.f_max:g}"
        return None


class Effect(StrictModel):
    """One entry of a list of effects: a mapping with one key, the effect's name, and its arguments.

    Which effects there are and what they take is known where they are made, by tonearm.training.augmentation.
    """

    name: str
    arguments: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _from_one_key(cls, data: Any) -> Any:
        if not isinstance(data, dict) or len(data) != 1:
            raise ValueError("must be a mapping with one key, the name of an effect, as in noise: {p: 0.5}")
        ((name, arguments),) = data.items()
        if not isinstance(arguments, dict):
            raise ValueError(f"{name}: must have a mapping of arguments after it; {{}} for the default settings")
        return {"name": name, "arguments": arguments}

    @model_serializer
    def _to_one_key(self) -> dict[str, Any]:
        return {self.name: self.arguments}


class AugmentationConfig(StrictModel):
    """What is done to training clips, in the order of the lists; keys are the arguments of gpu_augment's effects."""

    waveform: Several[Effect] = ()
    specgram: Several[Effect] = ()


class TrainConfig(StrictModel):
    """How a model learns. ``epochs: 0`` with ``patience`` means: until it stops improving."""

    epochs: Count = 80
    patience: Size | None = None  # epochs without improvement before it stops
    batch_size: Size = 32
    lr: Positive = 1e-3
    weight_decay: NotNegative = 0.01
    duration_seconds: Positive | None = None  # the random crop of a training clip; None: the longest clip
    evaluation_seconds: Positive | None = None  # how much of a held-out clip is scored, from its start; None: all
    accumulate: Size = 1  # batches whose gradients make one step
    grad_clip_value: Positive | None = None  # each gradient entry within ±value (torch's clip_grad_value_)
    grad_clip_norm: Positive | None = None  # the whole gradient's length at most this (clip_grad_norm_)
    gradient_checkpointing: bool = False
    label_smoothing: Share = 0.0
    ema_decay: Share | None = None
    schedule: Literal["constant", "one_cycle", "cosine"] = "one_cycle"
    seed: int = 0
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    channels_last: bool = True
    decode_threads: Size | None = None  # None: chosen by the loader

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.epochs == 0 and self.patience is None:
            raise ValueError("epochs 0 means 'until it stops improving' and needs patience, the epochs it may wait")
        if self.epochs == 0 and self.schedule != "constant":
            raise ValueError(f"epochs 0 has no end to plan for, so schedule must be constant, got {self.schedule}")
        return self


class ResBlockConfig(StrictModel):
    """What all ``res`` blocks share."""

    activation: Activation = "relu"
    norm: Literal["before_activation", "after_activation"] = "before_activation"
    kernel_size: Pair = (3, 3)  # [mel, time], both main convolutions
    shortcut_kernel_size: Pair = (1, 1)


class MaxPoolConfig(StrictModel):
    """Max pooling without padding; the stride is the kernel's size unless given. Both are [mel, time]."""

    kernel_size: Pair
    stride: Pair | None = None


class DropConfig(StrictModel):
    """A DropBlock layer; ``p`` decides for each clip, or once for the batch, whether it drops at all."""

    p: Probability = 1.0
    p_per: Literal["clip", "batch"] = "clip"
    drop_probability: Share
    block_size: Pair


class PoolingConfig(StrictModel):
    """Global pooling by mean, maximum, their sum or their product.

    ``keep`` says what is left: ``channel`` pools over mel and time; ``channel_mel`` over time alone, and flattens
    channel and mel; ``frames`` flattens them and leaves the time axis: the blocks after it see every frame by itself
    and the network's end (or a further ``pooling``) pools what comes out over time.
    """

    mode: Literal["avg", "max", "sum", "mul"] = "avg"
    keep: Literal["channel", "channel_mel", "frames"] = "channel"


class BlockConfig(OneKey):
    """One entry of ``model.blocks``."""

    res: Pair | None = None  # filters of the first and of the second convolution
    max_pool: MaxPoolConfig | None = None
    activation: Activation | None = None
    drop: DropConfig | None = None
    dropout: Share | None = None
    fc: Size | None = None  # out_features
    pooling: PoolingConfig | None = None


class ModelConfig(StrictModel):
    """The network: the name of one that ``tonearm models`` lists, or the blocks of one's own from input to output.

    ``model: cnn14`` is short for ``model: {name: cnn14}``.
    """

    name: str | None = None
    weights: str | None = None  # a checkpoint file as the named system's authors published it
    res_block: ResBlockConfig = ResBlockConfig()
    blocks: Several[BlockConfig] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, data: Any) -> Any:
        return {"name": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        if self.name is None and not self.blocks:
            raise ValueError("blocks is empty; a network needs at least a pooling block, or a name")
        if self.name is not None and (self.blocks or "res_block" in self.model_fields_set):
            raise ValueError(f"has both a name, {self.name}, and blocks of its own; only one can be built")
        if self.name is None and self.weights is not None:
            raise ValueError("weights are of a network with a name, and this one has none")
        return self

    @property
    def num_classes(self) -> int | None:
        """How many scores the blocks themselves end in; None where a layer of the right size is added."""
        # behind the class layer there may be a pooling of frames
        last = next((block for block in reversed(self.blocks) if block.name != "pooling"), None)
        return None if last is None else last.fc


class Config(StrictModel):
    """A whole configuration file."""

    sample_rate: Size | None = None  # Hz; None: whatever the dataset has
    features: FeaturesConfig = FeaturesConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    train: TrainConfig = TrainConfig()
    pretrain: TrainConfig | None = None
    model: ModelConfig

    @model_validator(mode="after")
    def _features_fit(self) -> Self:
        fault = self.features.fault() if self.model.name is None else None
        if fault is not None:
            raise ValueError(f"features: {fault}")
        return self

    @model_validator(mode="after")
    def _below_nyquist(self) -> Self:
        f_max = self.features.f_max
        if self.sample_rate is not None and f_max is not None and f_max > self.sample_rate / 2:
            raise ValueError(f"features.f_max {f_max:g} Hz is above half the sample_rate {self.sample_rate}")
        return self


def load_config(path: str | os.PathLike[str], overrides: Sequence[str] = (), *, seed_dialect: Dialect = "en") -> Config:
    """The configuration in a file, ours or a seed's; what a translation could not keep is logged as a warning.

    Args:
        path: a YAML file.
        overrides: ``key.path=value`` settings written over the file, with our keys also where the file is a seed's; a
            number in the path is a place in a list, as in ``model.blocks.0.res=[32, 32]``.
        seed_dialect: which of the seed's two READMEs a file in the seed's format follows.

    Raises:
        ConfigError: the file cannot be read or a setting cannot be used; one line a problem.

    Example:
        >>> load_config("configs/esc10.yaml", ["train.epochs=3"]).train.epochs
        3
    """
    config, notes = load_config_and_notes(path, overrides, seed_dialect=seed_dialect)
    for note in notes:
        _log.warning("%s: %s", path, note)
    return config


def load_config_and_notes(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), *, seed_dialect: Dialect = "en"
) -> tuple[Config, tuple[str, ...]]:
    """:func:`load_config`, returning the notes of a translation instead of logging them."""
    data = read_yaml(path)
    notes: tuple[str, ...] = ()
    where = str(path)
    if is_seed_config(data):
        data, notes = translate_seed(data, dialect=seed_dialect, where=where)
        where = f"{path} (translated from the seed's format)"
    apply_overrides(data, overrides)
    if overrides:
        where = f"{where} with {' '.join(overrides)}"
    return check(Config, data, where=where), notes


def dump_config(config: Config) -> str:
    """``config`` as YAML with every default written out; reading it back gives an equal Config.

    Beside a named model only those features are written that are set: the others are that model's.
    """
    data = config.model_dump(mode="json")
    if config.model.name is not None:
        data["features"] = config.features.model_dump(mode="json", include=config.features.model_fields_set)
        data["model"] = config.model.model_dump(mode="json", exclude={"res_block", "blocks"})
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False)


class _Dumper(yaml.SafeDumper):
    """Mappings on lines of their own, lists of plain values within a line."""


def _represent_list(dumper: yaml.SafeDumper, values: list[Any]) -> yaml.Node:
    plain = not any(isinstance(value, dict | list) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=plain)


_Dumper.add_representer(list, _represent_list)
