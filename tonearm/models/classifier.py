"""The front-end and a network as one: waveforms to scores."""

import logging
from collections.abc import Callable
from pathlib import Path

from torch import Tensor, nn

from tonearm.config import Config, FeaturesConfig
from tonearm.errors import ConfigError
from tonearm.models.catalog import SYSTEMS, build_model, find_system
from tonearm.models.features import LogMel
from tonearm.models.network import Network
from tonearm.strict_model import check

_log = logging.getLogger(__name__)


class Classifier(nn.Module):
    """Waveform (batch, channel, time) to scores (batch, class).

    Args:
        front_end: makes the maps.
        network: scores them.
    """

    def __init__(self, front_end: LogMel, network: Network) -> None:
        super().__init__()
        self.front_end, self.network = front_end, network

    def forward(self, waveform: Tensor) -> Tensor:
        """Scores (logits) of a batch of waveforms."""
        return self.score(self.front_end(waveform), waveform)

    def score(self, log_mel: Tensor, waveform: Tensor) -> Tensor:
        """Scores of maps that are already made, and perhaps augmented, of these waveforms."""
        scores: Tensor = self.network(log_mel, waveform) if self.network.takes_waveform else self.network(log_mel)
        return scores


def build_classifier(config: Config, *, num_classes: int, sample_rate: int, num_channels: int) -> Classifier:
    """The classifier of a configuration, with random weights from torch's global generator.

    Raises:
        ConfigError: the configuration cannot be built, or not for this sample rate.
    """
    config = with_front_end(config, sample_rate=sample_rate)
    network = build_model(
        config.model,
        num_classes=num_classes,
        n_mels=config.features.n_mels,
        in_channels=num_channels,
        gradient_checkpointing=config.train.gradient_checkpointing,
    )
    return Classifier(LogMel(config.features, sample_rate=sample_rate), network)


def with_front_end(config: Config, *, sample_rate: int | None = None) -> Config:
    """``config`` with the features that a named model was made for, where it does not set them itself.

    Args:
        config: of a run.
        sample_rate: Hz of its data; None: not known yet.

    Raises:
        ConfigError: no such model; or one whose front-end is for another sample rate, and no window or hop is set.
    """
    if config.model.name is None:
        return config
    system, own = find_system(config.model.name), config.features.model_fields_set
    rate = sample_rate or config.sample_rate
    if not own & {"n_fft", "win_length", "hop_length"} and rate not in (None, system.sample_rate):
        what = "the data is" if sample_rate else "sample_rate is"
        raise ConfigError(
            f"model {system.name} was made for {system.sample_rate} Hz, and {what} {rate} Hz. Pack with --sample-rate "
            f"{system.sample_rate} and leave sample_rate out, or set features.n_fft, win_length and hop_length for "
            f"{rate} Hz."
        )
    features = system.features.model_copy(update={key: getattr(config.features, key) for key in own})
    # checked anew, and every field set from now on
    checked = check(FeaturesConfig, features.model_dump(), where=f"features, completed by those of {system.name}")
    return config.model_copy(update={"features": checked})


def warn_of_foreign_features(config: Config) -> None:
    """Log which features of a complete configuration are not those that its named model was made for, if any."""
    foreign = _foreign_features(config)
    if foreign:
        _log.warning(
            "features: the configuration's are not those that %s was made for: %s. Leave them out, or say features={}, "
            "for the model's own.",
            config.model.name,
            foreign,
        )


def load_published_weights(network: Network, config: Config) -> None:
    """Put the weights that ``model.weights`` names, if it does, into a network of ``model.name``.

    Args:
        network: of this configuration.
        config: complete, as :func:`with_front_end` gives it.

    Raises:
        ConfigError: nothing is published for this system, its weights were learnt with other features, or the file
            holds something else.
        RunError: the file is damaged.
    """
    if config.model.name is None or config.model.weights is None:
        return
    load = check_weights(config)
    load(network, Path(config.model.weights).expanduser())


def check_weights(config: Config) -> Callable[[Network, Path], None]:
    """What loads ``model.weights`` of a complete configuration; raises as :func:`load_published_weights` does."""
    system = find_system(str(config.model.name))
    if system.load_published is None:
        loadable = ", ".join(name for name, each in SYSTEMS.items() if each.load_published)
        raise ConfigError(f"model.weights: no weights are published for {system.name}; there are some for {loadable}.")
    foreign = _foreign_features(config)
    if foreign:
        raise ConfigError(
            f"model.weights: {system.name} has learnt them with other features: here {foreign}. Leave features out."
        )
    return system.load_published


def _foreign_features(config: Config) -> str:
    if config.model.name is None:
        return ""
    system = find_system(config.model.name)
    return ", ".join(
        f"{key} {getattr(config.features, key)} instead of {own}"
        for key, own in system.features
        if getattr(config.features, key) != own
    )
