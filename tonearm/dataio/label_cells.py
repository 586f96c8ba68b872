"""Several class names in one cell of a table: ``dog,"Speech, male",rain``.

A name that holds a comma, begins with a quotation mark, or begins or ends with a space stands in quotation marks, in
which a quotation mark is written twice: the rules of CSV once more inside the cell.
"""

import re
from collections.abc import Sequence

_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|([^,]*))(?:,|\Z)')


def join_labels(names: Sequence[str]) -> str:
    """The cell for ``names``, which :func:`split_labels` takes back."""
    return ",".join(_quote(name) for name in names)


def split_labels(cell: str) -> list[str]:
    """The names in a cell, without the spaces around them; one that is missing is ""."""
    names = []
    for match in _NAME.finditer(cell):
        quoted, plain = match[1], match[2]
        names.append(plain.strip() if quoted is None else quoted.replace('""', '"'))
        if not match[0].endswith(","):
            break
    return names


def _quote(name: str) -> str:
    if "," in name or name.startswith('"') or name != name.strip() or not name:
        return '"' + name.replace('"', '""') + '"'
    return name
