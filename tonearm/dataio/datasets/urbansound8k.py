"""UrbanSound8K as published: ``metadata/UrbanSound8K.csv`` and ``audio/fold1`` to ``audio/fold10``; 10 classes.

Slices of up to 4 s keep the rate, depth and channels of the Freesound upload they were cut from. Several slices come
from one upload, so the ten folds must be used as they are.

Reference: J. Salamon, C. Jacoby and J. P. Bello, "A Dataset and Taxonomy for Urban Sound Research", 2014.
"""

from pathlib import Path

from tonearm.dataio.datasets.classes import NumberedClasses
from tonearm.dataio.datasets.roots import check_root, published_file, stem
from tonearm.dataio.datasets.tables import file_name, integer, read_rows
from tonearm.dataio.manifest import Clip, Manifest

_COLUMNS = ("slice_file_name", "fsID", "fold", "classID", "class")
_NUM_FOLDS = 10


def read_urbansound8k(root: Path) -> Manifest:
    """Read UrbanSound8K; classes keep their published numbers, a group is a Freesound upload (``fsID``).

    Files that the table does not name are ignored.
    """
    check_root(root, holds="metadata/UrbanSound8K.csv and audio/fold1 to fold10")
    table = published_file(root, "metadata/UrbanSound8K.csv", layout="urbansound8k")
    classes = NumberedClasses(table)
    clips = []
    for line, row in read_rows(table, columns=_COLUMNS):
        name = file_name(row["slice_file_name"], column="slice_file_name", path=table, line=line)
        fold = integer(row["fold"], column="fold", path=table, line=line, low=1, high=_NUM_FOLDS)
        clips.append(
            Clip(
                clip_id=stem(name),
                path=f"audio/fold{fold}/{name}",
                labels=(classes.add(row["classID"], row["class"], column="classID", line=line),),
                fold=fold,
                group=row["fsID"],
            )
        )
    return Manifest("UrbanSound8K", root, classes.names(), tuple(clips))
