"""AudioSet as published, with a folder of the recordings that could be had; 527 classes, several to a clip.

``*_segments.csv`` begin with three comment lines and hold ``id, start, end, "/m/09x0r,/t/dd00088"``;
``class_labels_indices.csv`` numbers the classes. The audio is not published: it lies anywhere below the folder as
``Y{id}.wav`` or ``{id}_{start}_{end}.wav``, with the times in seconds (30, 30.000) or milliseconds (30000). Each video
gives one segment. Of two million, a tenth or more is missing from every copy, so what is missing is counted.

Reference: J. F. Gemmeke et al., "Audio Set: An Ontology and Human-Labeled Dataset for Audio Events", 2017.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tonearm.dataio.datasets.classes import NumberedClasses
from tonearm.dataio.datasets.roots import check_root, list_recordings, not_this_layout, published_file, stem
from tonearm.dataio.datasets.tables import number, read_cells, read_rows
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.errors import ManifestError

# name of the segments file -> split, subset
_PARTS = {
    "balanced_train_segments.csv": ("train", "balanced"),
    "unbalanced_train_segments.csv": ("train", "unbalanced"),
    "eval_segments.csv": ("test", ""),
}
_VIDEO = re.compile(r"[A-Za-z0-9_-]{11}")
_NUM_SHOWN = 5

_Counts = Counter[tuple[int, ...]]  # how many segments have exactly these labels


def read_audioset(root: Path) -> Manifest:
    """Read AudioSet; a clip is a recording that is there, its id the video's, and its labels keep published numbers.

    Notes say how much of each segments file is missing and which classes lost most. Recordings that no segments file
    names are ignored. The folder is walked once and no file is asked for, so millions of rows are no trouble.
    """
    check_root(root, holds="*_segments.csv and class_labels_indices.csv, and the recordings anywhere below")
    class_names, label_of = _read_classes(published_file(root, "class_labels_indices.csv", layout="audioset"))
    tables = sorted(root.glob("*_segments.csv"))
    if not tables:
        raise not_this_layout(root, "*_segments.csv", layout="audioset")
    recordings, notes = _by_stem(list_recordings(root))
    clips: list[Clip] = []
    seen: set[str] = set()
    for table in tables:
        if table.name not in _PARTS:
            raise ManifestError(f"{table}: a segments file must be called {', '.join(_PARTS)}. Rename or move it.")
        split, subset = _PARTS[table.name]
        wanted, missing = _Counts(), _Counts()
        for line, video, names, labels in _read_segments(table, label_of):
            if video in seen:
                raise ManifestError(f"{table}, line {line}: the video {video!r} stands further up or in another file.")
            seen.add(video)
            wanted[labels] += 1
            path = next((recordings[name] for name in names if name in recordings), None)
            if path is None:
                missing[labels] += 1
            else:
                clips.append(Clip(clip_id=video, path=path, labels=labels, split=split, subset=subset))
        if not wanted:
            raise ManifestError(f"{table}: no segments in it. Download it again.")
        if missing:
            notes.append(_what_is_missing(table.name, wanted, missing, class_names))
    if not clips:
        raise ManifestError(
            f"{root}: of {len(seen)} segments, none has a recording. Put them anywhere below as Y{{id}}.wav or "
            f"{{id}}_{{start}}_{{end}}.wav; audio files found: {len(recordings)}{_example(recordings)}."
        )
    without = sorted(set(range(len(class_names))) - {label for clip in clips for label in clip.labels})
    if without:
        shown = "; ".join(class_names[label] for label in without[:_NUM_SHOWN])
        notes.append(f"Classes without any recording: {len(without)} of {len(class_names)} ({shown}"
                     f"{'; …' if len(without) > _NUM_SHOWN else ''}).")  # fmt: skip
    return Manifest("AudioSet", root, class_names, tuple(clips), tuple(notes))


def _read_classes(table: Path) -> tuple[tuple[str, ...], dict[str, int]]:
    """Class names in published order, and the number of each machine id."""
    classes = NumberedClasses(table)
    label_of: dict[str, int] = {}
    for line, row in read_rows(table, columns=("index", "mid", "display_name")):
        label = classes.add(row["index"], row["display_name"], column="index", line=line)
        if label_of.setdefault(row["mid"], label) != label:
            raise ManifestError(f"{table}, line {line}: {row['mid']!r} stood further up, as {label_of[row['mid']]}.")
    return classes.names(), label_of


def _by_stem(paths: list[str]) -> tuple[dict[str, str], list[str]]:
    """Path by the name without suffix, and a note where several have one name: the first is taken."""
    recordings: dict[str, str] = {}
    again = [path for path in paths if recordings.setdefault(stem(path), path) != path]
    if not again:
        return recordings, []
    return recordings, [f"Not read, because another file has its name: {len(again)}, the first {again[0]} "
                        f"(read: {recordings[stem(again[0])]})."]  # fmt: skip


def _read_segments(table: Path, label_of: dict[str, int]) -> Iterator[tuple[int, str, Iterator[str], tuple[int, ...]]]:
    """Yield (line, video, names that its recording may have, labels) of each row."""
    known: dict[str, tuple[int, ...]] = {}  # a few ten thousand combinations of labels serve two million rows
    for line, cells in read_cells(table, comment="#"):
        if len(cells) != 4 or not _VIDEO.fullmatch(cells[0]):
            raise ManifestError(
                f"{table}, line {line}: expected a YouTube id of 11 characters, start, end and labels in quotes, "
                f"got {cells}."
            )
        video, start, end, labels = cells
        if labels not in known:
            known[labels] = _labels(labels, label_of, table, line)
        start_seconds = number(start, column="start_seconds", path=table, line=line)
        end_seconds = number(end, column="end_seconds", path=table, line=line)
        if not start_seconds < end_seconds:
            raise ManifestError(f"{table}, line {line}: the segment ends at {end} s, but begins at {start} s.")
        yield line, video, _names(video, start_seconds, end_seconds), known[labels]


def _labels(text: str, label_of: dict[str, int], table: Path, line: int) -> tuple[int, ...]:
    try:
        return tuple(sorted({label_of[mid.strip()] for mid in text.split(",")}))
    except KeyError as error:
        raise ManifestError(
            f"{table}, line {line}: the label {error} is not in class_labels_indices.csv. Both must be of one release."
        ) from None


def _names(video: str, start: float, end: float) -> Iterator[str]:
    """The names, without suffix, under which downloaders leave a segment; made only as far as they are tried."""
    yield f"Y{video}"
    yield f"{video}_{start:.3f}_{end:.3f}"
    yield f"{video}_{start:.12g}_{end:.12g}"
    yield f"{video}_{round(start * 1000)}_{round(end * 1000)}"


def _what_is_missing(name: str, wanted: _Counts, missing: _Counts, class_names: tuple[str, ...]) -> str:
    num_wanted, num_missing = wanted.total(), missing.total()
    found, share = num_wanted - num_missing, 100 * num_missing / num_wanted
    text = f"{name}: {found} of {num_wanted} recordings found, {share:.1f} % missing"
    if num_missing == num_wanted:
        return f"{text}."
    lost, had = _by_class(missing), _by_class(wanted)
    worst = sorted(lost, key=lambda label: (-lost[label] / had[label], -lost[label], label))[:_NUM_SHOWN]
    shown = "; ".join(f"{class_names[label]} ({lost[label]} of {had[label]})" for label in worst)
    return f"{text}. Classes that lost most: {shown}."


def _by_class(counts: _Counts) -> Counter[int]:
    by_class: Counter[int] = Counter()
    for labels, count in counts.items():
        for label in labels:
            by_class[label] += count
    return by_class


def _example(recordings: dict[str, str]) -> str:
    return f", for example {next(iter(recordings.values()))}" if recordings else ""
