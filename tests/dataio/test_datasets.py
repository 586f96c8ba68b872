from pathlib import Path

import pytest

from tests.dataio.recordings import folder_of
from tonearm.dataio import read_manifest
from tonearm.errors import ManifestError, RequestError

ESC50_HEADER = "filename,fold,target,category,esc10,src_file,take\n"


def esc50(root: Path, rows: str) -> Path:
    (root / "meta").mkdir()
    (root / "meta" / "esc50.csv").write_text(ESC50_HEADER + rows)
    return root


def test_unknown_layout_names_the_near_one() -> None:
    with pytest.raises(
        RequestError, match=r"unknown layout 'esc5'; there are esc10, esc50, folder, csv. Did you mean 'esc50'"
    ):
        read_manifest("esc5", ".")


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
    with pytest.raises(ManifestError, match=r"woof.ogg: expected a name such as"):
        read_manifest("esc10", tmp_path)
    with pytest.raises(ManifestError, match="not the esc10 layout"):
        read_manifest("esc10", tmp_path / "001 - Dog bark")


def test_esc50_keeps_published_numbers(tmp_path: Path) -> None:
    rows = "1-100-A-1.wav,1,1,rooster,False,100,A\n2-200-B-0.wav,2,0,dog,True,200,B\n"
    manifest = read_manifest("esc50", esc50(tmp_path, rows))
    assert manifest.class_names == ("dog", "rooster")
    first, second = manifest.clips
    assert (first.clip_id, first.path, first.labels, first.fold, first.group) == (
        "1-100-A-1", "audio/1-100-A-1.wav", (1,), 1, "100"
    )  # fmt: skip
    assert second.labels == (0,)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a.wav,1,0,dog,x,1,A\nb.wav,1,0,cat,x,1,A\n", "line 3: target 0 is 'cat', but was 'dog'"),
        ("a.wav,one,0,dog,x,1,A\n", "line 2: the column 'fold' must be an integer, got 'one'"),
        ("a.wav,1,5,dog,x,1,A\n", "without a gap"),
        (",1,0,dog,x,1,A\n", "line 2: the column 'filename' is empty"),
        ("../../a.wav,1,0,dog,x,1,A\n", "not a path inside the dataset"),
    ],
)
def test_esc50_says_which_line_is_wrong(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_manifest("esc50", esc50(tmp_path, rows))


def test_folder_makes_a_class_of_each_folder(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path, clips=6))
    assert manifest.class_names == ("class0", "class1", "class2")
    assert manifest.clips[0].clip_id == "class0/clip00.wav"
    (tmp_path / "loose.wav").touch()
    with pytest.raises(ManifestError, match="loose.wav lies beside the class folders"):
        read_manifest("folder", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="no recordings in it"):
        read_manifest("folder", tmp_path / "empty")


def test_csv_takes_its_optional_columns(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text('path,label,fold,split,group\nx/a.wav,dog,2,train,r1\nx/b.wav,"cat, big",,test,\n')
    manifest = read_manifest("csv", table)
    first, second = manifest.clips
    assert (first.fold, first.split, first.group, first.labels) == (2, "train", "r1", (1,))
    assert (second.fold, second.split, second.group, second.labels) == (-1, "test", "", (0,))
    assert manifest.class_names == ("cat, big", "dog")
    assert manifest.name == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.wav,dog\n", "missing: path"),
        ("path,label\na.wav,\n", "line 2: the column 'label' is empty"),
        ("path,label\na.wav,dog,extra\n", "more cells than columns"),
        ("path,label\n", "no clips found"),
        ("path,label,Fold\na.wav,dog,1\n", "there is a column 'Fold'; call it 'fold'"),
        ("path;label\na.wav;dog\n", "found: path;label"),
        ("", "missing: label, path"),
    ],
)
def test_csv_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(text)
    with pytest.raises(ManifestError, match=message):
        read_manifest("csv", table)


def test_csv_that_is_not_text_or_not_there(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_bytes(b"\xff\xfe\x00path")
    with pytest.raises(ManifestError, match="not a CSV file in UTF-8"):
        read_manifest("csv", table)
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest("csv", tmp_path / "none.csv")
    with pytest.raises(ManifestError, match="a folder; name the CSV file"):
        read_manifest("csv", tmp_path)
    with pytest.raises(ManifestError, match="no meta/esc50.csv in it"):
        read_manifest("esc50", tmp_path)
