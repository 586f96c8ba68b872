"""ESC-50 as published: ``meta/esc50.csv`` and ``audio/{fold}-{recording}-{take}-{target}.wav``; 50 classes, 5 folds.

Reference: K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", 2015.
"""

from pathlib import Path

from tonearm.dataio.datasets.tables import integer, read_rows
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.errors import ManifestError

_COLUMNS = ("filename", "fold", "target", "category", "src_file")


def read_esc50(root: Path) -> Manifest:
    """Read ESC-50; classes keep their published numbers, a group is a Freesound recording (``src_file``)."""
    table = root / "meta" / "esc50.csv"
    if not root.is_dir():
        raise ManifestError(f"{root}: no such folder. Give the folder that holds meta/esc50.csv and audio/.")
    if not table.is_file():
        raise ManifestError(f"{root}: no meta/esc50.csv in it, so this is not the esc50 layout. For a folder a class, "
                            "use the layout folder.")  # fmt: skip
    names: dict[int, str] = {}
    clips = []
    for line, row in read_rows(table, columns=_COLUMNS):
        target = integer(row["target"], column="target", path=table, line=line)
        if names.setdefault(target, row["category"]) != row["category"]:
            raise ManifestError(
                f"{table}, line {line}: target {target} is {row['category']!r}, but was {names[target]!r} further up."
            )
        clips.append(
            Clip(
                clip_id=Path(row["filename"]).stem,
                path=f"audio/{row['filename']}",
                labels=(target,),
                fold=integer(row["fold"], column="fold", path=table, line=line),
                group=row["src_file"],
            )
        )
    if sorted(names) != list(range(len(names))):
        raise ManifestError(f"{table}: targets must be 0, 1, 2 … without a gap, got {sorted(names)[:10]} …")
    return Manifest("ESC-50", root, tuple(names[target] for target in sorted(names)), tuple(clips))
