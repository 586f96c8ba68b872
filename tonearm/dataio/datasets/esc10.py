"""ESC-10 as its own repository had it: ``001 - Dog bark/{fold}-{recording}-{take}.ogg``, 10 classes, 5 folds.

Reference: K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", 2015.
"""

import re
from pathlib import Path

from tonearm.dataio.datasets.roots import check_root, list_recordings, not_this_layout, stem
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.errors import ManifestError

_FOLDER = re.compile(r"(?P<number>\d{3}) - (?P<name>.+)")
_FILE = re.compile(r"(?P<fold>[1-5])-(?P<recording>\d+)-(?P<take>[A-Z])")


def read_esc10(root: Path) -> Manifest:
    """Read ESC-10 in its old layout; a group is a Freesound recording, of which several takes may have been cut."""
    check_root(root, holds="'001 - Dog bark' and the other classes")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and _FOLDER.fullmatch(path.name))
    if not folders:
        raise not_this_layout(root, "001 - Dog bark", layout="esc10")
    clips = []
    for label, folder in enumerate(folders):
        for path in list_recordings(folder):
            match = _FILE.fullmatch(stem(path))
            if match is None:
                raise ManifestError(f"{folder / path}: expected a name such as 1-30226-A.ogg (fold-recording-take).")
            clips.append(
                Clip(
                    clip_id=match[0],
                    path=f"{folder.name}/{path}",
                    labels=(label,),
                    fold=int(match["fold"]),
                    group=match["recording"],
                )
            )
    names = tuple(_FOLDER.sub(r"\g<name>", folder.name) for folder in folders)
    return Manifest("ESC-10", root, names, tuple(clips))
