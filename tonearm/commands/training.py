"""Commands that train a model and score it."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tonearm.commands.output import Data, Device, Json, Overrides, device_of, dialect_of, many, print_json, say, warn
from tonearm.errors import RequestError

app = typer.Typer()


@app.command()
def train(
    data: Data,
    overrides: Overrides = None,
    config: Annotated[str | None, typer.Option(help="A YAML file, or the name of one that comes with tonearm.")] = None,
    fold: Annotated[int | None, typer.Option(help="The fold to hold out.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run; by default runs/…")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    device: Device = None,
    seed_dialect: Annotated[str, typer.Option(help="For a seed's config.yaml: en or ru.")] = "en",
    as_json: Json = False,
) -> None:
    """Train a classifier and score it on the clips held out."""
    from tonearm.config import load_config
    from tonearm.dataio import open_dataset
    from tonearm.recipes import find_config
    from tonearm.training.checkpoint import load_checkpoint, saved_config
    from tonearm.training.loop import train as run_training

    where = device_of(device)
    dataset = open_dataset(data)
    if resume is not None:
        if config or overrides or run or fold is not None:
            raise RequestError(
                "--resume goes on with a run as it was begun: no --config, --fold, --run or key=value beside it."
            )
        checkpoint = load_checkpoint(resume, device=where)
        run, fold, settings = resume, checkpoint.fold, saved_config(resume, checkpoint)
    elif config is None:
        raise RequestError("train needs --config FILE, to begin a run, or --resume RUN, to go on with one.")
    else:
        settings = load_config(find_config(config), overrides or (), seed_dialect=dialect_of(seed_dialect))
        run = run or _new_run(dataset.header.name, fold)
    if settings.pretrain is not None:
        warn("the configuration has a pretrain block; this version trains on one dataset and does not use it.")
    result = run_training(
        dataset, settings, run=run, fold=fold, device=where, resume=resume is not None,
        say=(lambda _: None) if as_json else say,
    )  # fmt: skip
    if as_json:
        print_json({**vars(result), "run": str(result.run)})


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)],
    data: Data,
    split: Annotated[str | None, typer.Option(help="val or test; by default what the run held out.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Score a trained model on clips it has not learnt from: those that its run held out, or a published split."""
    from tonearm.dataio import open_dataset
    from tonearm.training.restore import evaluate_run

    found = evaluate_run(run, open_dataset(data), device=device_of(device), split=split)
    if as_json:
        print_json(vars(found))
    else:
        scored, epochs = many(found.num_clips, "clip"), many(found.epoch, "epoch")
        say(f"accuracy {found.accuracy:.3f} on {scored} ({found.held_out}), after {epochs}")


def _new_run(dataset: str, fold: int | None) -> Path:
    word = "".join(char if char.isalnum() else "-" for char in dataset.lower())
    part = "" if fold is None else f"-fold{fold}"
    return Path("runs") / f"{word}{part}-{datetime.now():%Y%m%d-%H%M%S}"
