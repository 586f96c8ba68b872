"""The augmentation chains that a configuration describes."""

from typing import Any

import torch

from tonearm.config import AugmentationConfig, Config
from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment import Augmentation, Chain, from_dict, to_dict
from tonearm.strict_model import LARGEST

# What each list's effects take, as an empty batch of it.
_EMPTY = {"waveform": torch.empty(0, 1, 1), "specgram": torch.empty(0, 1, 1, 1)}


def build_chains(config: AugmentationConfig, *, sample_rate: int) -> tuple[Chain, Chain]:
    """The chain for waveforms and the chain for spectrograms.

    Args:
        config: keys are the effects' names, and below them their own arguments; see gpu_augment.serialize.
        sample_rate: in Hz, for the effects that need one and are not told.

    Raises:
        RequestError: an effect or argument that does not exist or is out of range, with its place in the configuration.
    """
    return Chain(_effects(config, "waveform", sample_rate)), Chain(_effects(config, "specgram", sample_rate))


def with_every_argument(config: Config, *, sample_rate: int | None) -> Config:
    """The configuration with the effects' defaults written out, as they are today.

    Args:
        config: any.
        sample_rate: in Hz. None: it will be the dataset's, and nothing is written for it.

    Raises:
        RequestError: as :func:`build_chains`.
    """
    rate = LARGEST if sample_rate is None else sample_rate
    described = {kind: [to_dict(effect) for effect in _effects(config.augmentation, kind, rate)] for kind in _EMPTY}
    if sample_rate is None:
        described = _without_rate(described, rate)
    return config.model_copy(update={"augmentation": AugmentationConfig.model_validate(described)})


def _without_rate(data: Any, rate: int) -> Any:
    """Plain data without the entries that say this sample rate."""
    if isinstance(data, dict):
        kept = {key: value for key, value in data.items() if (key, value) != ("sample_rate", rate)}
        return {key: _without_rate(value, rate) for key, value in kept.items()}
    return [_without_rate(item, rate) for item in data] if isinstance(data, list) else data


def _effects(config: AugmentationConfig, kind: str, sample_rate: int) -> list[Augmentation]:
    effects = []
    for number, entry in enumerate(getattr(config, kind)):
        place = f"augmentation.{kind}.{number}"
        effect = from_dict({entry.name: entry.arguments}, sample_rate=sample_rate, place=place)
        try:
            effect._check_layout(_EMPTY[kind])
        except ShapeError as error:
            raise RequestError(f"{place}.{entry.name}: does not take a {kind}; put it into the other list.") from error
        effects.append(effect)
    return effects
