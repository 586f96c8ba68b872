"""Published PANNs checkpoints: read without running anything in them, and put into a network of ours.

A file holds a dict whose ``model`` is the state of the released network: its front-end, which is compared with ours and
left out, and its layers, whose names are translated. The released maps are (batch, channel, time, mel), ours are
(batch, channel, mel, time), so the two axes of 2-D kernels are swapped.

Reference:
    Kong et al.: PANNs, 2020; weights at https://zenodo.org/records/3987831 (CC BY 4.0).
"""

import math
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError
from tonearm.models.features import LogMel
from tonearm.models.network import Network
from tonearm.models.state_files import describe, read_state

# Theirs was computed in float32 or rounded to it, as ours: parts in ten million. Another front-end is off by far more.
FRONT_END_TOLERANCE = 1e-5  # of the largest value
_HELP = "The published files are at https://zenodo.org/records/3987831."


def load_published(network: Network, path: Path, *, features: FeaturesConfig, sample_rate: int) -> None:
    """Put the weights and statistics of a published checkpoint into ``network``; all of them, or none if one is wrong.

    The class layer keeps its weights where the checkpoint is for another number of classes. The hop length does not
    stand in a checkpoint and cannot be compared.

    Args:
        network: a PANN of ours with the same layers.
        path: a file as published, in torch's present format or in that before 1.6.
        features: the front-end to compare with; its number of mel bands is the network's.
        sample_rate: Hz of that front-end.

    Raises:
        ConfigError: no such file, or a checkpoint of another network or front-end.
        RunError: a file that is damaged, no checkpoint, or holds anything but tensors and plain values.
    """
    published = read_state(path, key="model", where_from=_HELP)
    front_end = LogMel(features.model_copy(update={"n_mels": network.n_mels}), sample_rate=sample_rate)
    for key, expected in _front_end_state(front_end).items():
        if key in published:
            _check_front_end(published.pop(key), expected, where=f"{path}: {key}")

    name = type(network).__name__
    own = {published_name(key): (key, value) for key, value in network.state_dict().items()}
    missing = [key for key in own if key not in published]
    unknown = [key for key in published if key not in own]
    if missing or unknown:
        found = [f"{_some(keys)} {what}" for keys, what in ((missing, "missing"), (unknown, "unknown")) if keys]
        raise ConfigError(f"{path}: not the checkpoint of a {name}: {' and '.join(found)}. {_HELP}")

    classes = next(iter(published[f"{_CLASS_LAYER}.weight"].shape), 0)
    copies: list[tuple[Tensor, Tensor]] = []
    for key, (own_key, value) in own.items():
        got, shape = published[key], _as_published(value).shape
        other_classes = own_key.startswith(f"{network.class_layer}.") and classes != network.num_classes
        if other_classes:
            shape = torch.Size((classes, *shape[1:]))
        if got.shape != shape or got.is_floating_point() != value.is_floating_point():
            raise ConfigError(
                f"{path}: {key} does not fit this {name}: got {describe(got)}, expected {tuple(shape)} {value.dtype}."
            )
        if not other_classes:
            copies.append((value, _as_published(got)))
    with torch.no_grad():
        for value, got in copies:
            value.copy_(got)


_CLASS_LAYER = "fc_audioset"
_RENAMED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"^input_norm\.", "bn0."),
    (r"^blocks\.(\d+)\.", lambda match: f"conv_block{int(match[1]) + 1}."),
    (r"^first\.", "conv_block1."),
    (r"^groups\.(\d+)\.", lambda match: f"resnet.layer{int(match[1]) + 1}."),
    (r"^last\.", "conv_block_after1."),
    (r"^wavegram\.stem\.conv\.", "pre_conv0."),
    (r"^wavegram\.stem\.norm\.", "pre_bn0."),
    (r"^wavegram\.blocks\.(\d+)\.", lambda match: f"pre_block{int(match[1]) + 1}."),
    (r"^wavegram\.last\.", "pre_block4."),
    (r"^embedding\.", "fc1."),
    (r"^head\.", f"{_CLASS_LAYER}."),
    (r"\.norm(\d)\.", r".bn\1."),
    (r"\.shortcut\.0\.", ".downsample.1."),  # theirs begins with the pooling
    (r"\.shortcut\.1\.", ".downsample.2."),
)


def published_name(key: str) -> str:
    """What the release calls the entry ``key`` of our network's state.

    Example:
        >>> published_name("blocks.0.norm1.running_mean")
        'conv_block1.bn1.running_mean'
    """
    for pattern, name in _RENAMED:
        key = re.sub(pattern, name, key)
    return key


def _front_end_state(front_end: LogMel) -> dict[str, Tensor]:
    """The entries that the released front-end would have, were it ours: the windowed transform as convolutions."""
    bins, samples = torch.arange(front_end.n_fft // 2 + 1), torch.arange(front_end.n_fft)
    turns = torch.outer(bins, samples) % front_end.n_fft / front_end.n_fft
    angle = 2 * math.pi * turns.double()
    window = front_end.window.double()
    return {
        "spectrogram_extractor.stft.conv_real.weight": (angle.cos() * window)[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": (-angle.sin() * window)[:, None],
        "logmel_extractor.melW": front_end.filters.double().T,
    }


def _check_front_end(got: Tensor, expected: Tensor, *, where: str) -> None:
    another = "is of another front-end than this network's, so its weights would hear something else"
    if got.shape != expected.shape or not got.is_floating_point():
        raise ConfigError(f"{where} {another}: got {describe(got)}, expected {tuple(expected.shape)} of floats.")
    off = float((got.double() - expected).abs().max() / expected.abs().max())
    if not off <= FRONT_END_TOLERANCE:  # so that nan is refused
        raise ConfigError(f"{where} {another}: off by {off:.2g} of its largest value, expected {FRONT_END_TOLERANCE}.")


def _as_published(value: Tensor) -> Tensor:
    """A view with the axes of a 2-D kernel swapped; there and back."""
    return value.transpose(2, 3) if value.dim() == 4 else value


def _some(keys: list[str]) -> str:
    """The first of the keys, and how many there are."""
    others = f" and {len(keys) - 1} more are" if len(keys) > 1 else " is"
    return f"{keys[0]}{others}"
