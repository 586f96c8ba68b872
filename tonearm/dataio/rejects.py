"""``rejects.csv`` beside the shards: which clips were left out, and why."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from tonearm.dataio.atomic import write_text
from tonearm.dataio.free_space import write_error
from tonearm.dataio.planned import Reject
from tonearm.errors import RunError

REJECTS = "rejects.csv"
_COLUMNS = ("clip_id", "path", "reason")


def read_rejects(out: Path) -> list[Reject]:
    """What ``rejects.csv`` lists; nothing where there is none.

    Raises:
        RunError: it is not what was written.
    """
    path = out / REJECTS
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file, strict=True)
            if tuple(next(rows, ())) != _COLUMNS:
                raise csv.Error("its first line is another one")
            return [Reject(*row) for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, csv.Error, UnicodeDecodeError, TypeError) as error:
        raise RunError(f"{path}: not the table that tonearm pack wrote ({error}). Delete it.") from error


def write_rejects(out: Path, rejects: Sequence[Reject]) -> None:
    """Write ``rejects.csv``, unless it says just that already.

    Raises:
        RunError: the disk is full, or the folder cannot be written to.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(_COLUMNS)
    rows.writerows([reject.clip_id, reject.path, reject.reason] for reject in rejects)
    try:
        if (out / REJECTS).exists() and (out / REJECTS).read_bytes() == text.getvalue().encode():
            return
        write_text(out / REJECTS, text.getvalue())
    except OSError as error:
        raise write_error(out / REJECTS, error, len(text.getvalue())) from error
