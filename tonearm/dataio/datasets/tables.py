"""Reading the CSV files that datasets are described by: rows as dictionaries, with errors that name file and line."""

import csv
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tonearm.errors import ManifestError


def read_rows(
    path: Path, *, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, row) of a CSV with a header; every one of ``columns`` is there and not empty.

    Raises:
        ManifestError: no such file, not text, a column missing, a cell missing, or a column called nearly like one of
            the ``optional``, which would be overlooked.
    """
    if not path.is_file():
        what = "a folder; name the CSV file" if path.is_dir() else "no such file"
        raise ManifestError(f"{path}: {what}.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise ManifestError(
                    f"{path}: its first line must name the columns {', '.join(columns)}; "
                    f"missing: {', '.join(sorted(missing))}; found: {', '.join(reader.fieldnames or ()) or 'nothing'}."
                )
            for name in set(reader.fieldnames or ()) - {*columns, *optional}:
                near = difflib.get_close_matches(name.strip().lower(), optional, n=1, cutoff=0.75)
                if near:
                    raise ManifestError(f"{path}: there is a column {name!r}; call it {near[0]!r}, or something else.")
            for row in reader:
                cells = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
                if None in row:
                    raise ManifestError(
                        f"{path}, line {reader.line_num}: more cells than columns. Quote cells with commas."
                    )
                for column in columns:
                    if not cells[column]:
                        raise ManifestError(f"{path}, line {reader.line_num}: the column {column!r} is empty.")
                yield reader.line_num, cells
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: not a CSV file in UTF-8: {error}.") from error


def integer(text: str, *, column: str, path: Path, line: int) -> int:
    """The integer in a cell."""
    try:
        return int(text)
    except ValueError:
        raise ManifestError(f"{path}, line {line}: the column {column!r} must be an integer, got {text!r}.") from None
