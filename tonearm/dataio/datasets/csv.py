"""A table of one's own: a CSV with the columns ``path`` and ``label``, and others if wanted.

========================================  ============================================================================
``path``                                  relative to the folder that the table lies in, with forward slashes
``label`` or ``labels``                   one class, or several with commas between them in one quoted cell
``fold``                                  0 or more; empty for none
``split``                                 train, val or test
``group``                                 clips of one recording share it; clips of one file do so anyway
``subset``                                which part of a dataset that was collected in several ways
``start_seconds``, ``end_seconds``        an excerpt of the file; empty for its beginning and end
``clip_id``                               unique; else the path, and ``path#10-15`` where rows share a file
========================================  ============================================================================
"""

from collections import Counter
from pathlib import Path

from tonearm.dataio.datasets.tables import fold_number, inner_path, label_list, number, read_rows
from tonearm.dataio.manifest import SPLITS, Clip, Manifest
from tonearm.errors import ManifestError

_LABELS = ("label", "labels")
_OPTIONAL = ("fold", "split", "group", "subset", "start_seconds", "end_seconds", "clip_id")


def read_csv(table: Path) -> Manifest:
    """Read a CSV of clips, in its order; classes are sorted by name."""
    rows = list(read_rows(table, columns=("path",), one_of=_LABELS, optional=_OPTIONAL))
    for line, row in rows:
        row["path"] = inner_path(row["path"], column="path", path=table, line=line)
    labels = _read_labels(table, rows)
    class_names = tuple(sorted({name for names in labels for name in names}))
    position = {name: index for index, name in enumerate(class_names)}
    num_rows = Counter(row["path"] for _, row in rows)
    # Of several excerpts of a file, one may name the group: a random split must not part the others from it.
    group_of = {row["path"]: row["path"] for _, row in rows if num_rows[row["path"]] > 1}
    group_of |= {row["path"]: row["group"] for _, row in reversed(rows) if row.get("group")}
    first_of: dict[str, tuple[int, tuple[str, float, float | None]]] = {}  # line and excerpt of each clip id
    clips = []
    for (line, row), names in zip(rows, labels, strict=True):
        path, split = row["path"], row.get("split", "")
        start, end = _read_excerpt(table, line, row)
        clip_id = row.get("clip_id") or (_excerpt_id(path, start, end) if num_rows[path] > 1 else path)
        first_line, excerpt = first_of.setdefault(clip_id, (line, (path, start, end)))
        if first_line != line:
            made_up = not row.get("clip_id") and excerpt == (path, start, end)
            what = f"the same excerpt of {path!r}" if made_up else f"the clip {clip_id!r}"
            raise ManifestError(
                f"{table}, line {line}: {what} is there already, in line {first_line}. Take one out, or tell them "
                "apart in a column clip_id."
            )
        if split not in ("", *SPLITS):
            raise ManifestError(f"{table}, line {line}: the split is {split!r}, allowed are {', '.join(SPLITS)}.")
        clips.append(
            Clip(
                clip_id=clip_id,
                path=path,
                labels=tuple(sorted(position[name] for name in names)),
                fold=fold_number(row.get("fold", ""), path=table, line=line),
                split=split,
                group=row.get("group") or group_of.get(path, ""),
                subset=row.get("subset", ""),
                start_seconds=start,
                end_seconds=end,
            )
        )
    return Manifest(table.resolve().stem, table.parent, class_names, tuple(clips))


def _read_labels(table: Path, rows: list[tuple[int, dict[str, str]]]) -> list[tuple[str, ...]]:
    column = next(column for column in _LABELS if column in rows[0][1])
    labels = []
    for line, row in rows:
        if not row[column]:
            raise ManifestError(f"{table}, line {line}: the column {column!r} is empty.")
        several = column == "labels"
        labels.append(label_list(row[column], column=column, path=table, line=line) if several else (row[column],))
    return labels


def _read_excerpt(table: Path, line: int, row: dict[str, str]) -> tuple[float, float | None]:
    start_text, end_text = row.get("start_seconds"), row.get("end_seconds")
    start = number(start_text, column="start_seconds", path=table, line=line) if start_text else 0.0
    end = number(end_text, column="end_seconds", path=table, line=line) if end_text else None
    if end is not None and end <= start:
        raise ManifestError(f"{table}, line {line}: end_seconds must be more than start_seconds, got {start} to {end}.")
    return start, end


def _excerpt_id(path: str, start: float, end: float | None) -> str:
    return f"{path}#{_plain(start)}-{'' if end is None else _plain(end)}"


def _plain(seconds: float) -> str:
    """As short as it can be told from any other number: 10, 12.5."""
    return repr(seconds).removesuffix(".0")
