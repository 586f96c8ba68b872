"""A table of one's own: a CSV with the columns ``path,label`` and, if wanted, ``fold``, ``split`` and ``group``.

Paths are relative to the folder that the CSV lies in. A fold is a number; a split is train, val or test; clips of one
recording share a group.
"""

from pathlib import Path

from tonearm.dataio.datasets.tables import integer, read_rows
from tonearm.dataio.manifest import NO_FOLD, Clip, Manifest, index_labels


def read_csv(table: Path) -> Manifest:
    """Read a CSV of clips; a clip's id is its path."""
    rows = list(read_rows(table, columns=("path", "label"), optional=("fold", "split", "group")))
    class_names, labels = index_labels([row["label"] for _, row in rows])
    clips = tuple(
        Clip(
            clip_id=row["path"],
            path=row["path"],
            labels=(label,),
            fold=integer(row["fold"], column="fold", path=table, line=line) if row.get("fold") else NO_FOLD,
            split=row.get("split", ""),
            group=row.get("group", ""),
        )
        for (line, row), label in zip(rows, labels, strict=True)
    )
    return Manifest(table.resolve().stem, table.parent, class_names, clips)
