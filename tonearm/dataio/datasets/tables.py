"""Reading the CSV files that datasets are described by: cells and rows, with errors that name file and line."""

import csv
import difflib
import math
import posixpath
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from tonearm.dataio.label_cells import split_labels
from tonearm.dataio.manifest import NO_FOLD
from tonearm.errors import ManifestError

_MAX_FOLD = 2**31 - 1


def read_cells(path: Path, *, comment: str = "") -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells without surrounding spaces) of a CSV, except for empty lines and comments.

    Args:
        path: the file, UTF-8 with or without a byte order mark.
        comment: what a line begins with that is to be passed over; "" for a format without comments.

    Raises:
        ManifestError: no such file, not readable, or not a CSV in UTF-8.
    """
    if not path.is_file():
        what = "a folder; name the CSV file" if path.is_dir() else "no such file"
        raise ManifestError(f"{path}: {what}.")
    line = 0
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True, skipinitialspace=True)
            for row in reader:
                line = reader.line_num
                cells = [cell.strip() for cell in row]
                if any(cells) and not (comment and cells[0].startswith(comment)):
                    yield line, cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}, after line {line}: not a CSV file in UTF-8: {error}.") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}.") from error


def read_rows(
    path: Path, *, columns: Sequence[str], one_of: Sequence[str] = (), optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a CSV with a header; every one of ``columns`` is there and not empty.

    Args:
        path: the file.
        columns: those that must be there.
        one_of: exactly one of these must be there too; its cells may be empty.
        optional: those that may be there. Others are passed over.

    Raises:
        ManifestError: as for :func:`read_cells`; a column missing or there twice, a cell missing, no rows, or a column
            called nearly like one of the ``optional``, which would be overlooked.
    """
    lines = read_cells(path)
    header = next(lines, (0, []))[1]
    _check_header(path, header, columns=columns, one_of=one_of, optional=optional)
    empty = True
    for line, cells in lines:
        if len(cells) > len(header):
            raise ManifestError(f"{path}, line {line}: more cells than columns. Quote cells with commas.")
        row = dict(zip_longest(header, cells, fillvalue=""))
        for column in columns:
            if not row[column]:
                raise ManifestError(f"{path}, line {line}: the column {column!r} is empty.")
        empty = False
        yield line, row
    if empty:
        raise ManifestError(f"{path}: no rows below its header. Give the table of a dataset that has clips.")


def _check_header(
    path: Path, header: Sequence[str], *, columns: Sequence[str], one_of: Sequence[str], optional: Sequence[str]
) -> None:
    known = (*columns, *one_of, *optional)
    either = [name for name in one_of if name in header]
    missing = sorted(set(columns) - set(header)) + ([] if either or not one_of else [" or ".join(one_of)])
    if missing:
        wanted = ", ".join(columns) + (f", and {' or '.join(one_of)}" if one_of else "")
        raise ManifestError(
            f"{path}: its first line must name the columns {wanted}; missing: {', '.join(missing)}; "
            f"found: {', '.join(header) or 'nothing'}.{_what_was_meant(header, known)}"
        )
    if len(either) > 1:
        raise ManifestError(f"{path}: it has both columns {' and '.join(either)}. Keep one of them.")
    for name in known:
        if header.count(name) > 1:
            raise ManifestError(f"{path}: the column {name!r} is there twice. Keep one of them.")
    for name in header:
        near = _near(name, (*one_of, *optional)) if name not in known else None
        if near:
            raise ManifestError(f"{path}: there is a column {name!r}; call it {near!r}, or something else.")


def _what_was_meant(header: Sequence[str], known: Sequence[str]) -> str:
    """A hint for a header that lacks a column: another separator than a comma, or a name spelt otherwise."""
    if len(header) == 1 and (";" in header[0] or "\t" in header[0]):
        return " Separate cells by commas."
    near = {name: _near(name, known) for name in header if name not in known}
    renames = [f"{name!r} {meant!r}" for name, meant in near.items() if meant and meant not in header]
    return f" Call the column {', '.join(renames)}." if renames else ""


def _near(name: str, names: Sequence[str]) -> str | None:
    """The column that was probably meant: spelt alike, or a time called otherwise (start, end_time)."""
    plain = name.lower().replace(" ", "_").replace("-", "_")
    alike = difflib.get_close_matches(plain, names, n=1, cutoff=0.75)
    alike += [name for name in names if name.endswith("_seconds") and name.split("_")[0] == plain.split("_")[0]]
    return alike[0] if alike else None


def integer(text: str, *, column: str, path: Path, line: int, low: int | None = None, high: int | None = None) -> int:
    """The integer in a cell, from ``low`` to ``high``; "2.0" is one, as pandas writes a column that has gaps."""
    try:
        value = int(text.removesuffix(".0"))
    except ValueError:
        raise ManifestError(f"{path}, line {line}: the column {column!r} must be an integer, got {text!r}.") from None
    if (low is not None and value < low) or (high is not None and value > high):
        allowed = f"at least {low}" if high is None else f"{low} to {high}"
        raise ManifestError(f"{path}, line {line}: the column {column!r} must be {allowed}, got {value}.")
    return value


def fold_number(text: str, *, path: Path, line: int) -> int:
    """The fold in a cell, ``NO_FOLD`` where it is empty."""
    if not text:
        return NO_FOLD
    fold = integer(text, column="fold", path=path, line=line)
    if not 0 <= fold <= _MAX_FOLD:
        raise ManifestError(
            f"{path}, line {line}: the column 'fold' must be 0 to {_MAX_FOLD}, got {fold}. Leave the cell empty for a "
            "clip without a fold."
        )
    return fold


def number(text: str, *, column: str, path: Path, line: int) -> float:
    """The number in a cell, finite and not negative."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise ManifestError(f"{path}, line {line}: the column {column!r} must be a number from 0 up, got {text!r}.")
    return value


def file_name(text: str, *, column: str, path: Path, line: int) -> str:
    """The name of a file in a cell, which has no folders in it."""
    if "/" in text or "\\" in text or text in (".", ".."):
        raise ManifestError(
            f"{path}, line {line}: the column {column!r} must be the name of a file without any folder, got {text!r}."
        )
    return text


def inner_path(text: str, *, column: str, path: Path, line: int) -> str:
    """The path in a cell, which stays below the table's folder, in its one spelling: ``./a//b.wav`` is ``a/b.wav``."""
    parts = text.split("/")
    if text.startswith("/") or "\\" in text or ".." in parts or parts[-1] in ("", "."):
        raise ManifestError(
            f"{path}, line {line}: the column {column!r} must be the path of a file below the table's folder, with "
            f"forward slashes and without '..', got {text!r}."
        )
    return posixpath.normpath(text)


def label_list(text: str, *, column: str, path: Path, line: int) -> tuple[str, ...]:
    """The labels in a cell, separated by commas; each once, in the order of the cell."""
    labels = split_labels(text)
    if not all(labels):
        raise ManifestError(
            f"{path}, line {line}: the column {column!r} must be labels with commas between them, got {text!r}."
        )
    return tuple(dict.fromkeys(labels))
