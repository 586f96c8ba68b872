"""Commands about networks: which have a name and what they cost, and how a trained one leaves tonearm."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tonearm.commands.output import Json, print_json, say, table_output

if TYPE_CHECKING:
    from tonearm.models import System

app = typer.Typer()
BATCH_SIZE = 32
_COLUMNS = ("name", "parameters", "multi-adds 5 s", "of 10 s", f"memory, {BATCH_SIZE} × 5 s", "front-end", "source")

_LEGEND = f"""
Counted from shapes, not measured (tonearm bench model does): parameters, with the classes of the source; multi-adds of
the network for one clip; memory of a training step, float32, Adam, batch {BATCH_SIZE}, without gradient checkpointing.
erann-tcxtm-W is built for every tc from 1 to 16, tm of 1, 2, 4, 8 and 16, and W. tonearm models NAME tells more."""


@app.command("models")
def models_command(
    name: Annotated[str | None, typer.Argument(help="One of them, in full.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """List the networks that can be built by name, with what they cost: counted, not measured."""
    from tonearm.models import SYSTEMS, find_system

    rows = [_described(each) for each in ([find_system(name)] if name else SYSTEMS.values())]
    if as_json:
        print_json(rows[0] if name else rows)
    elif name:
        _print_one(rows[0])
    else:
        _print_table(rows)


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(help="The folder of a run.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="FILE.onnx, or FILE.pt2 for torch.export.load.", show_default=False)],
    front_end: Annotated[
        bool,
        typer.Option("--front-end/--no-front-end", help="Take waveforms, or log-mel maps that are made elsewhere."),
    ] = True,
    as_json: Json = False,
) -> None:
    """Write a trained model to a file that runs without tonearm, and compare its scores with the model's."""
    import torch

    from tonearm.models.export import export_classifier
    from tonearm.training.restore import load_classifier

    classifier, _, checkpoint = load_classifier(run, device=torch.device("cpu"))
    found = export_classifier(classifier, out, class_names=checkpoint.class_names, front_end=front_end)
    if as_json:
        print_json({"file": str(out), **vars(found)})
    else:
        inputs = " and ".join(f"{name} ({', '.join(axes)})" for name, axes in found.inputs.items())
        rate, classes = checkpoint.sample_rate, len(checkpoint.class_names)
        say(f"{out}: {inputs}, {rate} Hz, to scores (batch, {classes}) before softmax; class names within")
        say(
            "onnxruntime is not installed, so its scores were not compared"
            if found.difference is None
            else f"its scores are within {found.difference:.1g} of the model's, as a share of the largest"
        )


def _described(system: "System") -> dict[str, Any]:
    """A system and its costs as plain data."""
    from tonearm.models.count import count_costs, count_multi_adds

    costs = count_costs(system, duration_seconds=5, batch_size=BATCH_SIZE)
    return {
        "name": system.name,
        "num_classes": system.num_classes,
        "parameters": costs.parameters,
        "multi_adds_5_seconds": costs.multi_adds,
        "multi_adds_10_seconds": count_multi_adds(system, duration_seconds=10),
        "training_bytes_batch_32_5_seconds": costs.training_bytes,
        "sample_rate": system.sample_rate,
        "features": system.features.model_dump(mode="json"),
        "source": system.source,
        "notes": list(system.notes),
        "published_weights": system.load_published is not None,
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['parameters']:,}",
        f"{row['multi_adds_5_seconds'] / 1e9:,.3f} G",
        f"{row['multi_adds_10_seconds'] / 1e9:,.3f} G",
        f"{row['training_bytes_batch_32_5_seconds'] / 1e9:.2f} GB",
        _front_end(row["features"], row["sample_rate"]),
        _short(row["source"]),
    )


def _front_end(features: dict[str, Any], sample_rate: int) -> str:
    return f"{sample_rate / 1000:g} kHz, {features['n_mels']} mel, {features['win_length']}/{features['hop_length']}"


def _short(source: str) -> str:
    """The first author and the year; what is ours has no year."""
    year = re.search(r"\b(19|20)\d\d\b", source)
    author = re.split("[,:;]", source)[0]
    return author if year is None or author == "tonearm" else f"{author} {year[0]}"


def _print_table(rows: list[dict[str, Any]]) -> None:
    """One line a system, in columns; the last is as long as it has to be."""
    cells = [_COLUMNS, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    with table_output() as out:
        for line in cells:
            padded = [
                text.rjust(width) if 0 < place < 5 else text.ljust(width)
                for place, (text, width) in enumerate(zip(line, widths, strict=True))
            ]
            print("  ".join(padded).rstrip(), file=out)
        print(_LEGEND, file=out)


def _print_one(row: dict[str, Any]) -> None:
    for title, text in zip(_COLUMNS[:-1], _cells(row)[:-1], strict=True):
        say(f"{title:<18} {text}")
    say(f"{'source':<18} {row['source']}")
    say(f"{'classes':<18} {row['num_classes']} in the source")
    say(
        f"{'features':<18} {', '.join(f'{key} {value}' for key, value in row['features'].items() if value is not None)}"
    )
    if row["published_weights"]:
        say(f"{'weights':<18} published: name their file as model.weights in a configuration")
    for note in row["notes"]:
        say(f"{'note':<18} {note}")
