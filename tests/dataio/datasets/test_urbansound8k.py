from pathlib import Path

import pytest

from tests.dataio.miniatures import ENCODINGS, table, urbansound8k
from tonearm.dataio import read_manifest
from tonearm.errors import ManifestError

HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class"


def test_slices_have_published_numbers_and_other_files_are_ignored(tmp_path: Path) -> None:
    urbansound8k(tmp_path)
    manifest = read_manifest("urbansound8k", tmp_path)
    assert len(manifest) == len(ENCODINGS)
    assert manifest.class_names == ("air_conditioner", "car_horn", "children_playing", "dog_bark")
    clip = manifest.clips[11]
    assert (clip.clip_id, clip.path, clip.labels, clip.fold, clip.group) == (
        "100002-3-0-11", "audio/fold2/100002-3-0-11.wav", (3,), 2, "100002"
    )  # fmt: skip
    assert (manifest.leaks(), manifest.notes) == ([], ())


def test_an_upload_in_two_folds_is_reported(tmp_path: Path) -> None:
    rows = ("7-0-0-0.wav,7,0,4,1,1,0,siren", "7-0-0-1.wav,7,0,4,1,10,0,siren", "8-0-0-1.wav,8,0,4,1,10,0,siren")
    table(tmp_path / "metadata" / "UrbanSound8K.csv", HEADER, *rows)
    assert read_manifest("urbansound8k", tmp_path).leaks() == ["7"]


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    urbansound8k(tmp_path)
    plain = read_manifest("urbansound8k", tmp_path)
    path = tmp_path / "metadata" / "UrbanSound8K.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n").replace(b",", b", "))
    assert read_manifest("urbansound8k", tmp_path) == plain


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("7.wav,7,0,4,1,0,0,siren", "UrbanSound8K.csv, line 3: the column 'fold' must be 1 to 10, got 0"),
        ("7.wav,7,0,4,1,11,0,siren", "line 3: the column 'fold' must be 1 to 10, got 11"),
        ("7.wav,7,0,4,1,1,x,siren", "line 3: the column 'classID' must be an integer, got 'x'"),
        ("7.wav,7,0,4,1,1,1,siren", "line 3: 'siren' has classID 1, but 0 further up"),
        ("7.wav,7,0,4,1,1,0,drilling", "line 3: classID 0 is 'drilling', but was 'siren' further up"),
        ("7.wav,7,0,4,1,1,2,drilling", "there is no class 1"),
        ("7.wav,,0,4,1,1,0,siren", "line 3: the column 'fsID' is empty"),
        ("../fold2/7.wav,7,0,4,1,1,0,siren", "line 3: the column 'slice_file_name' must be the name of a file"),
        ("/etc/7.wav,7,0,4,1,1,0,siren", "line 3: the column 'slice_file_name' must be the name of a file"),
        ("a.wav,1,0,4,1,2,0,siren", "two clips are called 'a'"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row: str, message: str) -> None:
    table(tmp_path / "metadata" / "UrbanSound8K.csv", HEADER, "a.wav,1,0,4,1,1,0,siren", row)
    with pytest.raises(ManifestError, match=message):
        read_manifest("urbansound8k", tmp_path)
