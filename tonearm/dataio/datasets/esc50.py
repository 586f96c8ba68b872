"""ESC-50 as published: ``meta/esc50.csv`` and ``audio/{fold}-{recording}-{take}-{target}.wav``; 50 classes, 5 folds.

Reference: K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", 2015.
"""

from pathlib import Path

from tonearm.dataio.datasets.classes import NumberedClasses
from tonearm.dataio.datasets.roots import check_root, published_file, stem
from tonearm.dataio.datasets.tables import file_name, integer, read_rows
from tonearm.dataio.manifest import Clip, Manifest

_COLUMNS = ("filename", "fold", "target", "category", "src_file")
_NUM_FOLDS = 5


def read_esc50(root: Path) -> Manifest:
    """Read ESC-50; classes keep their published numbers, a group is a Freesound recording (``src_file``)."""
    check_root(root, holds="meta/esc50.csv and audio/")
    table = published_file(root, "meta/esc50.csv", layout="esc50")
    classes = NumberedClasses(table)
    clips = []
    for line, row in read_rows(table, columns=_COLUMNS):
        name = file_name(row["filename"], column="filename", path=table, line=line)
        clips.append(
            Clip(
                clip_id=stem(name),
                path=f"audio/{name}",
                labels=(classes.add(row["target"], row["category"], column="target", line=line),),
                fold=integer(row["fold"], column="fold", path=table, line=line, low=1, high=_NUM_FOLDS),
                group=row["src_file"],
            )
        )
    return Manifest("ESC-50", root, classes.names(), tuple(clips))
