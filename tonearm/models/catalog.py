"""The dict of names: every system that can be built by name, and :func:`build_model`."""

import re
from functools import partial

from tonearm.config import ModelConfig
from tonearm.errors import ConfigError
from tonearm.models import (
    erann,
    gated_cnn,
    mobilenet,
    panns,
    se_resnet,
    seed_convnets,
    seed_recurrent,
    vgg,
    wavegram,
    weak_features,
)
from tonearm.models.blocks import build_blocks
from tonearm.models.network import Build, Network, System
from tonearm.models.recomputing import set_gradient_checkpointing
from tonearm.strict_model import near

_FAMILIES = (
    se_resnet, erann, panns, wavegram, gated_cnn, mobilenet, weak_features, seed_convnets, seed_recurrent, vgg,
)  # fmt: skip
# What `tonearm models` lists. An ERANN of other sizes has a name as well: see find_system.
SYSTEMS: dict[str, System] = {system.name: system for family in _FAMILIES for system in family.SYSTEMS}


def find_system(name: str) -> System:
    """The system of a name: a key of SYSTEMS, or any ``erann-{tc}x{tm}-{W}``; also in capitals, as papers write them.

    Raises:
        ConfigError: there is none; the message has the near names.
    """
    key = name.lower().replace("×", "x")
    if key in SYSTEMS:
        return SYSTEMS[key]
    sizes = re.fullmatch(r"erann-(\d{1,3})x(\d{1,3})-(\d{1,4})", key)
    if sizes:
        return erann.system(*map(int, sizes.groups()))
    raise ConfigError(f"{name}: no such model. {near(key, list(SYSTEMS))} `tonearm models` lists them all.")


def build_model(
    model: str | ModelConfig,
    *,
    num_classes: int,
    n_mels: int | None = None,
    in_channels: int = 1,
    gradient_checkpointing: bool = False,
) -> Network:
    """A network with random weights from torch's global generator.

    Args:
        model: the name of a system, or ``model`` of a configuration.
        num_classes: scores to give.
        n_mels: mel bands of its input; None: as many as the named system was made for.
        in_channels: audio channels of its input.
        gradient_checkpointing: its blocks keep their input alone and compute the rest again in the backward pass
            (tonearm.models.recomputing).

    Raises:
        ConfigError: no such name; or a block of a configuration that does not fit what arrives at it.

    Example:
        >>> network = build_model("erann-8x4-4", num_classes=527)
        >>> sum(parameter.numel() for parameter in network.parameters())
        24504849
    """
    if isinstance(model, str):
        model = ModelConfig(name=model)
    if model.name is None:
        if n_mels is None:
            raise ConfigError("n_mels: a network of blocks has none of its own; give the number of mel bands.")
        build: Build = partial(build_blocks, model)
    else:
        system = find_system(model.name)
        build, n_mels = system.build, n_mels or system.features.n_mels
    network: Network = build(num_classes=num_classes, in_channels=in_channels, n_mels=n_mels)
    set_gradient_checkpointing(network, gradient_checkpointing)
    return network
