"""New labels, folds, splits, groups and subsets for packed clips: the index changes, no audio is read or written."""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tonearm.dataio.clip_rows import clips_of, count_differences, with_facts
from tonearm.dataio.columns import Array, ClipTable, concatenate
from tonearm.dataio.datasets.tables import fold_number, read_cells, read_rows
from tonearm.dataio.index import read_index, replace_index
from tonearm.dataio.label_cells import split_labels
from tonearm.dataio.leaks import leaking_groups
from tonearm.dataio.lock import locked_folder
from tonearm.dataio.manifest import SPLITS, Clip, Manifest
from tonearm.errors import RequestError

_CHANGEABLE = ("label", "labels", "fold", "split", "group", "subset")
_MAX_GUESSED = 10_000  # comparing with more clip ids than this takes too long for a hint

Cells = dict[str, str]  # by column


@dataclass(frozen=True)
class RelabelSummary:
    """What a relabelling did.

    Attributes:
        num_named: clips that the table names.
        changed: how many clips got other "labels", another "fold", "split", "group" or "subset", for each of these that
            the table has.
        new_classes: class names that the dataset did not have.
        leaks: groups whose clips now stand in more than one fold or split.
    """

    num_named: int
    changed: dict[str, int]
    new_classes: tuple[str, ...]
    leaks: tuple[str, ...]


def relabel_dataset(out: str | Path, table: str | Path) -> RelabelSummary:
    """Change what a packed dataset says of its clips, by a table.

    The table is a CSV with the column ``clip_id`` and any of ``label`` (one class) or ``labels`` (several, with commas
    between them, in quotes), ``fold``, ``split``, ``group`` and ``subset``; other columns are passed over, so that what
    ``tonearm inspect --clips`` prints can be edited and given back. A cell that is empty takes the fold, split, group
    or subset away. Clips that the table does not name stay as they are. A class that is new is added after the others.
    All of the table is taken, or, where anything in it is wrong, nothing.

    Args:
        out: the packed dataset.
        table: the CSV.

    Returns:
        What was changed.

    Raises:
        RequestError: ``out`` is not a packed dataset, or the table is not such a CSV, names a clip that is not there or
            twice, or has a fold or split that cannot be.
        ShardError: the index is damaged.
        RunError: another process changes the dataset, or the index cannot be written.
    """
    out, table = Path(out), Path(table)
    columns, lines = _read_table(table)
    read_index(out)  # a folder that is no dataset is not locked either
    with locked_folder(out, what="relabel"):
        index, everything = read_index(out)
        rows = _find_rows(everything, lines, out, table)
        part = everything.take(rows)
        before = clips_of(part)
        class_names, after = _apply(lines, before, tuple(index.class_names), table)
        Manifest(index.dataset, table, class_names, tuple(after))  # checks them as if they were to be packed
        facts = ["labels" if column == "label" else column for column in columns]
        changed = count_differences(before, after, facts)
        places = np.arange(len(everything))
        places[rows] = len(everything) + np.arange(len(rows))
        relabelled = concatenate([everything, with_facts(part, after)]).take(places)
        if any(changed.values()):
            update = {"class_names": list(class_names), "relabelled": True}
            replace_index(out, index.model_copy(update=update), relabelled)
    return RelabelSummary(
        num_named=len(rows),
        changed=changed,
        new_classes=class_names[len(index.class_names) :],
        leaks=tuple(leaking_groups(relabelled)),
    )


def _read_table(table: Path) -> tuple[list[str], list[tuple[int, Cells]]]:
    """Which of the columns that can be changed it has, and its rows with their line numbers."""
    lines = list(read_rows(table, columns=("clip_id",), optional=_CHANGEABLE))
    columns = [column for column in _CHANGEABLE if column in lines[0][1]]
    if not columns:
        raise RequestError(
            f"{table}: nothing to change in it. Beside clip_id, give a column label or labels, fold, split, group or "
            "subset."
        )
    if "label" in columns and "labels" in columns:
        raise RequestError(f"{table}: it has both columns label and labels. Keep one of them.")
    widths = {line: len(cells) for line, cells in read_cells(table)}
    header = next(iter(widths.values()))
    for line, width in widths.items():
        if width < header:  # cut short, perhaps: what is missing must not be taken for what was emptied
            raise RequestError(f"{table}, line {line}: {width} cells below a header of {header}. Write all of them.")
    return columns, lines


def _find_rows(table: ClipTable, lines: list[tuple[int, Cells]], out: Path, path: Path) -> Array:
    """The row of each line's clip; cells come without the spaces around them, which an id may have."""
    row_of: dict[str, int] = {}
    twice = set()
    for row, clip_id in enumerate(table.clip_id.tolist()):
        name = clip_id.decode(errors="replace").strip()
        if row_of.setdefault(name, row) != row:
            twice.add(name)
    line_of: dict[str, int] = {}
    unknown = []
    for line, cells in lines:
        name = cells["clip_id"]
        if name not in row_of:
            unknown.append((line, name))
        if name in twice:
            raise RequestError(f"{path}, line {line}: two clips are called {name!r}, but for spaces around it.")
        if line_of.setdefault(name, line) != line:
            raise RequestError(f"{path}, line {line}: the clip {name!r} stands in line {line_of[name]} already.")
    if unknown:
        line, name = unknown[0]
        near = difflib.get_close_matches(name, row_of, n=1) if len(row_of) <= _MAX_GUESSED else []
        raise RequestError(
            f"{path}, line {line}: {out} has no clip {name!r}, and so for {len(unknown)} of {len(lines)} rows."
            f"{f' Did you mean {near[0]!r}?' if near else ''} `tonearm inspect {out} --clips` lists those that it has."
        )
    return np.array([row_of[cells["clip_id"]] for _, cells in lines], np.int64)


def _apply(
    lines: list[tuple[int, Cells]], clips: list[Clip], class_names: tuple[str, ...], path: Path
) -> tuple[tuple[str, ...], list[Clip]]:
    """The class names, those that are new at the end, and the clips as the table wants them."""
    label_of = {name: label for label, name in enumerate(class_names)}
    after = []
    for (line, cells), clip in zip(lines, clips, strict=True):
        facts: dict[str, object] = {name: cells[name] for name in ("split", "group", "subset") if name in cells}
        if "fold" in cells:
            facts["fold"] = fold_number(cells["fold"], path=path, line=line)
        if "label" in cells or "labels" in cells:
            names = [cells["label"]] if "label" in cells else split_labels(cells["labels"])
            if not all(names):
                raise RequestError(
                    f"{path}, line {line}: a class name is missing, got {','.join(names)!r}. A clip has at least one "
                    "label; separate several with commas."
                )
            labels = tuple(dict.fromkeys(label_of.setdefault(name, len(label_of)) for name in names))
            facts["labels"] = clip.labels if set(labels) == set(clip.labels) else labels
        if facts.get("split", "") not in ("", *SPLITS):
            raise RequestError(
                f"{path}, line {line}: the split is {facts['split']!r}, allowed are {', '.join(SPLITS)}."
            )
        after.append(replace(clip, **facts))  # type: ignore[arg-type]
    return tuple(label_of), after
