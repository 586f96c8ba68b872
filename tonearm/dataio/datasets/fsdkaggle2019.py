"""FSDKaggle2019, curated and noisy, as Kaggle named its parts and as Zenodo did; 80 classes, several to a clip.

::

    Kaggle                                Zenodo, in FSDKaggle2019.meta/ and beside it
    train_curated.csv, train_curated/     train_curated_post_competition.csv, FSDKaggle2019.audio_train_curated/
    train_noisy.csv, train_noisy/         train_noisy_post_competition.csv, FSDKaggle2019.audio_train_noisy/
    no labels, test/                      test_post_competition.csv, FSDKaggle2019.audio_test/
                                          vocabulary.csv: number and name of each class, no header

Zenodo's tables also tell the Freesound upload or the Flickr video that a clip came from, which becomes its group.

Reference: E. Fonseca, M. Plakal, F. Font, D. P. W. Ellis and X. Serra, "Audio Tagging with Noisy Labels and Minimal
Supervision", 2019. It also lists the clips that are left out here.
"""

from dataclasses import dataclass
from pathlib import Path

from tonearm.dataio.datasets.classes import NumberedClasses
from tonearm.dataio.datasets.roots import check_root, list_recordings, not_this_layout, stem
from tonearm.dataio.datasets.tables import file_name, label_list, read_cells, read_rows
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.errors import ManifestError

_WRONG_LABEL = ("f76181c4", "77b925c2", "6a1f682a", "c7db12aa", "7752cc8a")
_SILENT = ("1d44b0bd",)


@dataclass(frozen=True)
class _Part:
    """One table, the folder of its recordings, and what is true of all of them."""

    name: str
    table: str
    folder: str
    split: str
    subset: str


_META = "FSDKaggle2019.meta"
_KAGGLE = (
    _Part("curated", "train_curated.csv", "train_curated", "train", "curated"),
    _Part("noisy", "train_noisy.csv", "train_noisy", "train", "noisy"),
)
_ZENODO = (
    _Part("curated", f"{_META}/train_curated_post_competition.csv", "FSDKaggle2019.audio_train_curated", "train",
          "curated"),
    _Part("noisy", f"{_META}/train_noisy_post_competition.csv", "FSDKaggle2019.audio_train_noisy", "train", "noisy"),
    _Part("test", f"{_META}/test_post_competition.csv", "FSDKaggle2019.audio_test", "test", ""),
)  # fmt: skip
_SOURCES = ("freesound_id", "flickr_video_URL")

_Row = tuple[_Part, int, dict[str, str], tuple[str, ...]]  # part, line, cells, labels


def read_fsdkaggle2019(root: Path) -> Manifest:
    """Read FSDKaggle2019; ids are ``curated/…``, ``noisy/…`` and ``test/…`` in either naming.

    The subset is "curated" or "noisy" in the split "train" and "" in the split "test". A part whose folder is not there
    is left out with a note, and so are the clips known to have a wrong label or no sound.
    """
    check_root(root, holds="train_curated/ (as on Kaggle) or FSDKaggle2019.meta/ (as on Zenodo)")
    zenodo = (root / _META).is_dir()
    notes: list[str] = []
    rows: list[_Row] = []
    for part in _ZENODO if zenodo else _KAGGLE:
        if not (root / part.table).is_file():
            notes.append(f"There is no {part.table}, so nothing of the {part.name} part is read.")
        elif not (root / part.folder).is_dir():
            notes.append(f"There is no folder {part.folder}, so nothing of the {part.name} part is read.")
        else:
            rows += _read_part(root, part)
    if not rows:
        if not zenodo and not (root / _KAGGLE[0].table).is_file():
            raise not_this_layout(root, _KAGGLE[0].table, layout="fsdkaggle2019")
        raise ManifestError(f"{root}: no part is whole. {' '.join(notes)} Unpack the audio beside the tables.")
    if not zenodo and (root / "test").is_dir():
        notes.append(f"Left out, for want of labels: test ({len(list_recordings(root / 'test'))}). Zenodo's release "
                     "has them.")  # fmt: skip

    vocabulary = root / _META / "vocabulary.csv"
    class_names = _read_vocabulary(vocabulary) if vocabulary.is_file() else _sorted_labels(rows)
    position = {name: index for index, name in enumerate(class_names)}
    clips = []
    left_out: dict[str, list[str]] = {"wrong label": [], "silent": []}
    for part, line, row, labels in rows:
        table = root / part.table
        name = file_name(row["fname"], column="fname", path=table, line=line)
        unknown = [label for label in labels if label not in position]
        if unknown:
            raise ManifestError(f"{table}, line {line}: the label {unknown[0]!r} is not in {vocabulary}.")
        if part.name == "curated" and stem(name) in _WRONG_LABEL + _SILENT:
            left_out["silent" if stem(name) in _SILENT else "wrong label"].append(name)
            continue
        source = next((row[column] for column in _SOURCES if row.get(column)), "")
        clips.append(
            Clip(
                clip_id=f"{part.name}/{stem(name)}",
                path=f"{part.folder}/{name}",
                labels=tuple(sorted(position[label] for label in labels)),
                split=part.split,
                group=source,
                subset=part.subset,
            )
        )
    notes += [
        f"Left out of the curated part, as {why}: {', '.join(names)}." for why, names in left_out.items() if names
    ]
    return Manifest("FSDKaggle2019", root, class_names, tuple(clips), tuple(notes))


def _read_part(root: Path, part: _Part) -> list[_Row]:
    table = root / part.table
    return [
        (part, line, row, label_list(row["labels"], column="labels", path=table, line=line))
        for line, row in read_rows(table, columns=("fname", "labels"))
    ]


def _sorted_labels(rows: list[_Row]) -> tuple[str, ...]:
    """Kaggle gives no list of the classes; this order is the vocabulary's as well."""
    return tuple(sorted({label for *_, labels in rows for label in labels}))


def _read_vocabulary(path: Path) -> tuple[str, ...]:
    classes = NumberedClasses(path)
    for line, cells in read_cells(path):
        if len(cells) != 2:
            raise ManifestError(f"{path}, line {line}: expected the number and the name of a class, got {cells}.")
        classes.add(cells[0], cells[1], column="class", line=line)
    return classes.names()
