"""ESC-50 and ESC-10."""

from pathlib import Path

import pytest

from tests.dataio import miniatures
from tests.dataio.miniatures import table
from tonearm.dataio import read_manifest
from tonearm.errors import ManifestError

HEADER = "filename,fold,target,category,esc10,src_file,take"


def test_esc50_keeps_published_numbers_folds_and_groups(tmp_path: Path) -> None:
    rows = ("1-100-A-1.wav,1,1,rooster,False,100,A", "5-200-B-0.wav,5,0,dog,True,200,B")
    table(tmp_path / "meta" / "esc50.csv", HEADER, *rows)
    manifest = read_manifest("esc50", tmp_path)
    assert manifest.class_names == ("dog", "rooster")
    first, second = manifest.clips
    assert (first.clip_id, first.path, first.labels, first.fold, first.group) == (
        "1-100-A-1", "audio/1-100-A-1.wav", (1,), 1, "100"
    )  # fmt: skip
    assert (second.labels, second.fold) == ((0,), 5)


def test_esc50_as_published_does_not_leak_and_a_recording_in_two_folds_does(tmp_path: Path) -> None:
    miniatures.esc50(tmp_path)
    manifest = read_manifest("esc50", tmp_path)
    assert manifest.leaks() == []
    path = tmp_path / "meta" / "esc50.csv"
    path.write_text(path.read_text() + f"5-1000-C-0.wav,5,0,dog,True,{manifest.clips[0].group},C\n")
    assert read_manifest("esc50", tmp_path).leaks() == [manifest.clips[0].group]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.wav,1,0,dog,x,1,A\nb.wav,1,0,cat,x,1,A", "esc50.csv, line 3: target 0 is 'cat', but was 'dog'"),
        ("a.wav,one,0,dog,x,1,A", "line 2: the column 'fold' must be an integer, got 'one'"),
        ("a.wav,6,0,dog,x,1,A", "line 2: the column 'fold' must be 1 to 5, got 6"),
        ("a.wav,1,5,dog,x,1,A", "without a gap, but there is no class 0"),
        (",1,0,dog,x,1,A", "line 2: the column 'filename' is empty"),
        ("../../a.wav,1,0,dog,x,1,A", "line 2: the column 'filename' must be the name of a file without any folder"),
        ("a.wav,1,0,dog,x,1,A\na.wav,1,0,dog,x,1,A", "two clips are called 'a'"),
    ],
)
def test_esc50_says_which_line_is_wrong(tmp_path: Path, rows: str, message: str) -> None:
    table(tmp_path / "meta" / "esc50.csv", HEADER, rows)
    with pytest.raises(ManifestError, match=message):
        read_manifest("esc50", tmp_path)


def test_esc10_has_its_classes_folds_and_groups(esc10: Path) -> None:
    manifest = read_manifest("esc10", esc10)
    assert len(manifest) == 400
    assert manifest.class_names[:3] == ("Dog bark", "Rain", "Sea waves")
    assert [sum(clip.fold == fold for clip in manifest.clips) for fold in range(1, 6)] == [80] * 5
    by_id = {clip.clip_id: clip for clip in manifest.clips}
    clip = by_id["5-189212-A"]
    assert (clip.path, clip.group, manifest.class_names[clip.labels[0]]) == (
        "010 - Fire crackling/5-189212-A.ogg", "189212", "Fire crackling"
    )  # fmt: skip
    assert manifest.leaks() == []


def test_esc10_names_a_file_that_does_not_fit(tmp_path: Path) -> None:
    (tmp_path / "001 - Dog bark").mkdir()
    (tmp_path / "001 - Dog bark" / "woof.ogg").touch()
    with pytest.raises(ManifestError, match=r"001 - Dog bark/woof.ogg: expected a name such as"):
        read_manifest("esc10", tmp_path)
