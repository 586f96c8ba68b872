"""What `tonearm bench model` calls a system: one of the catalog, or the network of a configuration."""

from functools import partial

from tonearm.config import load_config
from tonearm.errors import ConfigError, RequestError
from tonearm.models import System, build_model, find_system
from tonearm.models.classifier import with_front_end
from tonearm.recipes import find_config

DEFAULT_SYSTEMS = ("esc50", "erann-4x2-3", "cnn14")
# of a configuration that leaves them to its dataset: ESC-50's
SAMPLE_RATE = 44_100
NUM_CLASSES = 50


def benched_system(name: str) -> System:
    """A system of the catalog by its name, or the network of a configuration, by its path or the name of a shipped one.

    Raises:
        ConfigError: neither, or a configuration that cannot be used.
    """
    try:
        return find_system(name)
    except ConfigError as error:
        unknown = error
    try:
        path = find_config(name)
    except RequestError:
        raise ConfigError(f"{unknown} Nor is it a configuration, such as esc50, or the path of one.") from None
    config = with_front_end(load_config(path))
    named = None if config.model.name is None else find_system(config.model.name)
    return System(
        name=name,
        build=partial(build_model, config.model, n_mels=config.features.n_mels),
        features=config.features,
        sample_rate=config.sample_rate or (named.sample_rate if named else SAMPLE_RATE),
        num_classes=named.num_classes if named else config.model.num_classes or NUM_CLASSES,
        source=str(path),
    )
