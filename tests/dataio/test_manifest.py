import re
from pathlib import Path
from typing import Any

import pytest

from tonearm.dataio.manifest import Clip, Manifest, index_labels
from tonearm.errors import ManifestError


def make(*clips: Clip, names: tuple[str, ...] = ("a", "b")) -> Manifest:
    return Manifest("set", Path("root"), names, clips)


@pytest.mark.parametrize("path", ["../x.wav", "/etc/passwd", "a/../../x.wav", "a\\..\\x.wav", ""])
def test_a_path_that_leaves_the_dataset_is_refused(path: str) -> None:
    with pytest.raises(ManifestError, match="not a path inside the dataset"):
        make(Clip("one", path, (0,)))


@pytest.mark.parametrize("labels", [(), (2,), (-1,), (0, 7)])
def test_labels_must_name_classes(labels: tuple[int, ...]) -> None:
    with pytest.raises(ManifestError, match=re.escape(f"labels {labels}, allowed are 0 to 1")):
        make(Clip("one", "x.wav", labels))


def test_ids_classes_splits_and_text_are_checked() -> None:
    with pytest.raises(ManifestError, match="two clips are called 'one'"):
        make(Clip("one", "x.wav", (0,)), Clip("one", "y.wav", (0,)))
    with pytest.raises(ManifestError, match=r"stand twice: \['a'\]"):
        make(Clip("one", "x.wav", (0,)), names=("a", "a"))
    with pytest.raises(ManifestError, match="allowed are train, val, test"):
        make(Clip("one", "x.wav", (0,), split="dev"))
    with pytest.raises(ManifestError, match=r"^root: the clip 'one\\x1b\[2J' contains a control character; rename it"):
        make(Clip("one\x1b[2J", "x.wav", (0,)))
    with pytest.raises(ManifestError, match=r"^root: the clip 'latin\\udce9' is not valid UTF-8; rename it.$"):
        make(Clip("latin\udce9", "latin\udce9", (0,)))
    with pytest.raises(ManifestError, match=r"^root: clip 'one': its path 'latin\\udce9.wav' is not valid UTF-8"):
        make(Clip("one", "latin\udce9.wav", (0,)))
    with pytest.raises(ManifestError, match=r"^root: the name 'caf\\udce9' is not valid UTF-8; rename it"):
        make(Clip("one", "x.wav", (0,)), names=("caf\udce9",))
    with pytest.raises(ManifestError, match="no clips found"):
        make()
    with pytest.raises(ManifestError, match="fold -2"):
        make(Clip("one", "x.wav", (0,), fold=-2))


def test_the_hash_follows_the_content_and_not_the_place() -> None:
    clip = Clip("one", "x.wav", (0,), fold=1)
    first = Manifest("set", Path("here"), ("a",), (clip,))
    assert first.sha256() == Manifest("set", Path("there"), ("a",), (clip,)).sha256()
    assert first.sha256() != Manifest("set", Path("here"), ("a",), (Clip("one", "x.wav", (0,), fold=2),)).sha256()


def test_leaks_are_groups_in_two_folds() -> None:
    manifest = make(
        Clip("1", "1.wav", (0,), fold=1, group="rec"),
        Clip("2", "2.wav", (0,), fold=2, group="rec"),
        Clip("3", "3.wav", (0,), fold=1, group="other"),
        Clip("4", "4.wav", (0,), fold=2),
        Clip("5", "5.wav", (0,), fold=3),
    )
    assert manifest.leaks() == ["rec"]


def test_leaks_are_files_in_two_folds_too() -> None:
    manifest = make(
        Clip("1", "one", (0,), fold=1, group="a"),
        Clip("2", "one", (0,), fold=2, group="b"),
        Clip("3", "two", (0,), fold=1),
        Clip("4", "two", (0,), split="test"),
        Clip("5", "same", (0,), fold=3, group="rec"),  # the group says it, and of other files too
        Clip("6", "same", (0,), fold=4, group="rec"),
        Clip("7", "whole", (0,), fold=5, group="c"),
        Clip("8", "whole", (0,), fold=5, group="d"),
        Clip("9", "c", (0,), fold=1),  # a file called like a group
    )
    assert manifest.leaks() == ["one", "rec", "two"]


@pytest.mark.parametrize(
    ("start", "end"), [(-1.0, None), (2.0, 1.0), (1.0, 1.0), (float("nan"), None), (0.0, float("nan"))]
)
def test_an_excerpt_begins_before_it_ends(start: float, end: float | None) -> None:
    with pytest.raises(ManifestError, match=f"clip 'one' goes from {start} to {end} seconds"):
        make(Clip("one", "x.wav", (0,), start_seconds=start, end_seconds=end))


@pytest.mark.parametrize("change", [{"start_seconds": 1.0}, {"end_seconds": 2.0}, {"subset": "noisy"}, {"group": "g"}])
def test_every_fact_of_a_clip_is_in_the_hash(change: dict[str, Any]) -> None:
    assert make(Clip("one", "x.wav", (0,))).sha256() != make(Clip("one", "x.wav", (0,), **change)).sha256()


def test_notes_are_not_in_the_hash() -> None:
    clips = (Clip("one", "x.wav", (0,)),)
    noted = Manifest("set", Path("root"), ("a", "b"), clips, notes=("three files are missing",))
    assert noted.sha256() == make(*clips).sha256()


def test_index_labels_sorts_names() -> None:
    assert index_labels(["b", "a", "b"]) == (("a", "b"), [1, 0, 1])


@pytest.mark.parametrize(("start", "end"), [(1e9, None), (0.0, 1e308), (0.0, float("inf"))])
def test_times_that_no_recording_has_are_refused(start: float, end: float | None) -> None:
    with pytest.raises(ManifestError, match="no recording is 1e\\+09 seconds long"):
        make(Clip("one", "x.wav", (0,), start_seconds=start, end_seconds=end))
