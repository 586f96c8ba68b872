"""Commands that show configurations."""

from typing import TYPE_CHECKING, Annotated

import typer

from tonearm.commands.output import Overrides, dialect_of, warn

if TYPE_CHECKING:
    from tonearm.config import Config

app = typer.Typer(help="Look at configurations.", no_args_is_help=True)


@app.command("translate")
def config_translate(
    file: Annotated[str, typer.Argument(help="A seed's config.yaml, or one of ours.", show_default=False)],
    seed_dialect: Annotated[str, typer.Option(help="Which README the file follows: en or ru.")] = "en",
) -> None:
    """Print a configuration in our schema; what could not be kept is said on standard error."""
    from tonearm.config import load_config_and_notes
    from tonearm.recipes import find_config

    config, notes = load_config_and_notes(find_config(file), seed_dialect=dialect_of(seed_dialect))
    for note in notes:
        warn(note)
    _print(config)


@app.command("show")
def config_show(
    file: Annotated[str, typer.Argument(help="A configuration.", show_default=False)], overrides: Overrides = None
) -> None:
    """Print a configuration as it will be used: overrides applied, every default written out."""
    from tonearm.config import load_config
    from tonearm.recipes import find_config

    _print(load_config(find_config(file), overrides or ()))


def _print(config: "Config") -> None:
    import torch

    from tonearm.config import dump_config
    from tonearm.models.catalog import build_model
    from tonearm.models.classifier import check_weights, warn_of_foreign_features, with_front_end
    from tonearm.training.augmentation import with_every_argument

    config = with_front_end(config)
    warn_of_foreign_features(config)
    if config.model.weights is not None:
        check_weights(config)
    with torch.device("meta"):  # whether it can be built, for as many classes as it likes
        build_model(config.model, num_classes=config.model.num_classes or 2, n_mels=config.features.n_mels)
    print(dump_config(with_every_argument(config, sample_rate=config.sample_rate)), end="")
