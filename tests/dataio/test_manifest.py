import re
from pathlib import Path

import pytest

from tonearm.dataio.manifest import Clip, Manifest, find_audio, index_labels
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
    with pytest.raises(ManifestError, match="control character"):
        make(Clip("one\x1b[2J", "x.wav", (0,)))
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


def test_find_audio_takes_audio_and_leaves_hidden_files(tmp_path: Path) -> None:
    for name in ("b/x.WAV", "a/y.flac", "a/.z.wav", ".git/q.wav", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_audio(tmp_path)] == ["a/y.flac", "b/x.WAV"]
    with pytest.raises(ManifestError, match="no such folder"):
        find_audio(tmp_path / "missing")
    with pytest.raises(ManifestError, match="a file, not a folder"):
        find_audio(tmp_path / "a" / "notes.txt")


def test_find_audio_follows_links_once_and_takes_files_alone(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.wav").touch()
    (tmp_path / "in" / "kick.wav").mkdir(parents=True)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    assert [path.relative_to(tmp_path / "in").as_posix() for path in find_audio(tmp_path / "in")] == ["linked/x.wav"]


def test_index_labels_sorts_names() -> None:
    assert index_labels(["b", "a", "b"]) == (("a", "b"), [1, 0, 1])
