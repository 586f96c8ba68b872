"""The seed's config.yaml, as its READMEs describe it, in our schema.

The seed is the survey project that tonearm grew out of, and its users have config.yaml files. Axes there are
[time, frequency] and the lengths of window and hop are seconds. Its English and its Russian README disagree in four
places, so the dialect is a choice: docs/design/seed-dialects.md has the table of keys and the reasons.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tonearm.strict_model import Count, OneKey, Pair, Several, Size, StrictModel, check

Dialect = Literal["en", "ru"]

_Probability = Annotated[float, Field(ge=0, le=1)]
_Share = Annotated[float, Field(ge=0, lt=1)]
_Positive = Annotated[float, Field(gt=0)]
_NotNegative = Annotated[float, Field(ge=0)]


def _at_most_a_second(value: float) -> float:
    if value > 1:
        raise ValueError(f"must be seconds, at most 1; {value:g} looks like samples")
    return value


_Seconds = Annotated[float, Field(gt=0), AfterValidator(_at_most_a_second)]
_Activation = Literal["gelu", "relu", "lrelu", "swiglu"]

# Keys that only the seed's format has, by the block they stand in.
_MARKS = {
    (): {"mel_spectrogram", "pretrain_urban"},
    ("augmentation",): {"reverb", "time_shift", "noise", "dropblock", "time_masking", "freq_masking"},
    ("train",): {"num_workers", "accum_iter", "use_checkpoint"},
    ("pretrain",): {"num_workers", "accum_iter", "use_checkpoint"},
    ("model", "res_block"): {"batch_first", "kernel_size_res"},
}
# And keys that only ours has: with one of these, a block that looks like the seed's is a slip in a file of ours.
_OUR_MARKS = {
    (): {"features"},
    ("augmentation",): {"waveform", "specgram"},
    ("train",): {"schedule", "precision", "accumulate"},
    ("model", "res_block"): {"norm", "shortcut_kernel_size"},
}
_WAVEFORM = ("reverb", "time_shift", "noise")


class _Mel(StrictModel):
    win_length: _Seconds = 4 * 345 / 44_100  # the README's default is ERANN's section 3.1
    hop_length: _Seconds = 345 / 44_100
    n_mels: Size = 128
    f_min: _NotNegative = 0.0
    f_max: _Positive | None = None
    n_fft: Size | None = None  # samples, as torchaudio's MelSpectrogram takes it

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.f_max is not None and self.f_min >= self.f_max:
            raise ValueError(f"f_min {self.f_min:g} must be below f_max {self.f_max:g}")
        return self


class _OnlyP(StrictModel):
    p: _Probability


class _Noise(_OnlyP):
    min_snr_db: float
    max_snr_db: float

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min_snr_db > self.max_snr_db:
            raise ValueError(f"min_snr_db {self.min_snr_db:g} must not be above max_snr_db {self.max_snr_db:g}")
        return self


class _BlockSize(StrictModel):
    t: Size
    f: Size


class _DropBlock(_OnlyP):
    dp: _Share
    block_size: _BlockSize


class _TimeMasking(_OnlyP):
    tmp: Size
    num: Size = 1


class _FreqMasking(_OnlyP):
    fmp: Size
    num: Size = 1


class _Augmentation(StrictModel):
    reverb: _OnlyP | None = None
    time_shift: _OnlyP | None = None
    noise: _Noise | None = None
    dropblock: _DropBlock | None = None
    time_masking: _TimeMasking | None = None
    freq_masking: _FreqMasking | None = None

    @model_validator(mode="before")
    @classmethod
    def _switched_off(cls, data: Any) -> Any:
        """``noise: {p: 0}`` is how the README switches an effect off; nothing more need be said about it."""
        if not isinstance(data, dict):
            return data
        needs_more = data.keys() & ("noise", "dropblock", "time_masking", "freq_masking")
        off = [name for name in needs_more if data[name] == {"p": 0} and data[name]["p"] is not False]
        return {name: value for name, value in data.items() if name not in off}


class _Train(StrictModel):
    num_workers: Count | None = None
    epochs: Count = 80
    patience: Count = 0
    lr: _Positive = 1e-3
    weight_decay: _NotNegative = 0.01
    batch_size: Size = 32
    accum_iter: Size = 1
    grad_clip_value: _NotNegative | None = None
    grad_clip_norm: _NotNegative | None = None
    use_checkpoint: bool = False


class _ResBlock(StrictModel):
    activation: _Activation = "relu"
    batch_first: bool | None = None
    kernel_size: Pair = (3, 3)
    kernel_size_res: Pair = (1, 1)


class _Pooling(StrictModel):
    mode: Literal["avg", "max", "sum", "mul"] = "avg"
    flat: bool = False


class _Block(OneKey):
    res: Pair | None = None
    max_pool: Pair | None = None
    activation: _Activation | None = None
    drop: Annotated[tuple[_Probability, _Share, Size, Size], Field(strict=False)] | None = None
    dropout: _Share | None = None
    fc: Size | None = None
    pooling: _Pooling | None = None


class _Model(StrictModel):
    res_block: _ResBlock = _ResBlock()
    blocks: Several[_Block]

    @model_validator(mode="before")
    @classmethod
    def _blocks_as_list(cls, data: Any) -> Any:
        """The README calls ``blocks`` both a dictionary and a list; a dictionary keeps its order too."""
        if isinstance(data, dict) and isinstance(blocks := data.get("blocks"), dict):
            return data | {"blocks": [{name: value} for name, value in blocks.items()]}
        return data


class _Seed(StrictModel):
    sample_rate: Size = 44_100
    mel_spectrogram: _Mel = _Mel()
    augmentation: _Augmentation = _Augmentation()
    pretrain_urban: bool = False
    pretrain: _Train | None = None
    train: _Train = _Train()
    model: _Model


def is_seed_config(data: dict[str, Any]) -> bool:
    """Whether a file's ``data`` has something that the seed's format has and ours has not."""
    return _has(data, _MARKS) or (not _has(data, _OUR_MARKS) and _seed_block(data) is not None)


def _has(data: Any, marks: dict[tuple[str, ...], set[str]]) -> bool:
    """Whether ``data`` has one of the keys in the block where it stands."""
    blocks = ((_at(data, place), names) for place, names in marks.items())
    return any(isinstance(block, dict) and bool(names & block.keys()) for block, names in blocks)


def _at(data: Any, place: tuple[str, ...]) -> Any:
    for name in place:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _seed_block(data: Any) -> str | None:
    """The key of the first block that is written as in the seed's format alone."""
    blocks = _at(data, ("model", "blocks"))
    if isinstance(blocks, dict):
        return "model.blocks"
    for index, block in enumerate(blocks if isinstance(blocks, list) else ()):
        match block:
            case {"max_pool": [_, _]} | {"drop": [_, _, _, _]} | {"pooling": {"flat": _}}:
                return f"model.blocks.{index}.{next(iter(block))}"
    return None


def translate_seed(data: dict[str, Any], *, dialect: Dialect, where: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A seed's configuration in our schema, and what it could not keep.

    Args:
        data: the file's content.
        dialect: the README that the file follows: ``en`` or ``ru``.
        where: the file's name, for messages.

    Returns:
        Plain data for :class:`tonearm.config.Config`, and a sentence for each thing that means something else now.

    Raises:
        ConfigError: a key that the READMEs do not name, or a value they do not allow.
    """
    seed = check(_Seed, data, where=f"{where} (in the seed's format)")
    notes: list[str] = []
    if not _has(data, _MARKS):
        notes.append(
            f"{_seed_block(data)} is written as in the seed's format, so the whole file is read in that format"
        )
    ours: dict[str, Any] = {
        "sample_rate": seed.sample_rate,
        "features": _features(seed),
        "augmentation": _augmentation(seed.augmentation, list(data.get("augmentation", {})), dialect, notes),
        "train": _train(seed.train, "train", notes),
        "model": _model(seed.model, dialect),
    }
    if seed.pretrain_urban:
        if seed.pretrain is not None:
            ours["pretrain"] = _train(seed.pretrain, "pretrain", notes)
        notes.append("pretrain_urban is true, but this version does not pretrain; the pretrain block is kept")
    return ours, tuple(notes)


def _features(seed: _Seed) -> dict[str, Any]:
    mel = seed.mel_spectrogram
    win_length = max(1, round(mel.win_length * seed.sample_rate))
    return {
        "n_fft": mel.n_fft or win_length,
        "win_length": win_length,
        "hop_length": max(1, round(mel.hop_length * seed.sample_rate)),
        "n_mels": mel.n_mels,
        "f_min": mel.f_min,
        "f_max": mel.f_max,
    }


def _augmentation(seed: _Augmentation, order: list[str], dialect: Dialect, notes: list[str]) -> dict[str, Any]:
    """Effects in the order in which the file names them; those with p 0, which the README calls disabled, stay off."""
    ours: dict[str, list[dict[str, Any]]] = {"waveform": [], "specgram": []}
    for name in order:
        effect = getattr(seed, name)
        if effect is None:
            continue
        ours["waveform" if name in _WAVEFORM else "specgram"].append(_effect(effect, name))
        if dialect == "ru" and name in ("reverb", "dropblock"):
            notes.append(
                f"augmentation.{name}.p is drawn for each clip, not once for the batch: as many clips are changed on "
                "average, but no longer all of a batch or none"
            )
    if ours["specgram"]:
        notes.append("what dropblock and the maskings cover is filled with the clip's mean, not with zero")
    return ours


def _effect(effect: StrictModel, name: str) -> dict[str, Any]:
    match effect:
        case _DropBlock():
            size = [effect.block_size.f, effect.block_size.t]
            return {"dropblock": {"p": effect.p, "drop_probability": effect.dp, "block_size": size}}
        case _TimeMasking():
            return {"time_masking": {"p": effect.p, "time_mask_param": effect.tmp, "num_masks": effect.num}}
        case _FreqMasking():
            return {"frequency_masking": {"p": effect.p, "freq_mask_param": effect.fmp, "num_masks": effect.num}}
        case _:
            return {"time_shift_stretch" if name == "time_shift" else name: effect.model_dump()}


def _train(seed: _Train, name: str, notes: list[str]) -> dict[str, Any]:
    if seed.num_workers is not None:
        notes.append(
            f"{name}.num_workers {seed.num_workers} becomes decode_threads {max(1, seed.num_workers)}: decoding has "
            "threads and no worker processes"
        )
    if seed.grad_clip_value or seed.grad_clip_norm:
        notes.append(
            f"{name}.grad_clip_value and grad_clip_norm do what their names say (the README swaps their descriptions): "
            "value limits each entry of the gradient, norm its length"
        )
    return {
        "epochs": seed.epochs,
        "patience": seed.patience or None,
        "batch_size": seed.batch_size,
        "lr": seed.lr,
        "weight_decay": seed.weight_decay,
        "accumulate": seed.accum_iter,
        "grad_clip_value": seed.grad_clip_value or None,
        "grad_clip_norm": seed.grad_clip_norm or None,
        "gradient_checkpointing": seed.use_checkpoint,
        "schedule": "constant",  # the seed has no schedule
        "decode_threads": None if seed.num_workers is None else max(1, seed.num_workers),
    }


def _model(seed: _Model, dialect: Dialect) -> dict[str, Any]:
    options = seed.res_block
    res_block: dict[str, Any] = {
        "activation": options.activation,
        "kernel_size": list(options.kernel_size[::-1]),
        "shortcut_kernel_size": list(options.kernel_size_res[::-1]),
    }
    if options.batch_first is not None:
        before = options.batch_first == (dialect == "en")
        res_block["norm"] = "before_activation" if before else "after_activation"
    return {"res_block": res_block, "blocks": [_block(block, dialect) for block in seed.blocks]}


def _block(block: _Block, dialect: Dialect) -> dict[str, Any]:
    value = block.value
    if block.name == "max_pool":
        kernel, stride = value
        return {"max_pool": {"kernel_size": [1, kernel], "stride": [1, stride]}}
    if block.name == "drop":
        p, drop_probability, time, mel = value
        per = "clip" if dialect == "en" else "batch"
        return {"drop": {"p": p, "p_per": per, "drop_probability": drop_probability, "block_size": [mel, time]}}
    if block.name == "res":
        return {"res": list(value)}
    if block.name == "pooling":
        flat = "channel_mel" if dialect == "en" else "frames"
        return {"pooling": {"mode": value.mode, "keep": flat if value.flat else "channel"}}
    return {block.name: value}
