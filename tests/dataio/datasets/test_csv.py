from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataio.miniatures import table
from tests.dataio.recordings import RATE, sound, write
from tonearm.dataio import Manifest, open_dataset, pack_dataset, read_manifest
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.errors import ManifestError

SECONDS = st.none() | st.floats(0, 1e6).map(lambda seconds: round(seconds, 6))


def read(tmp_path: Path, *lines: str) -> Manifest:
    return read_manifest("csv", table(tmp_path / "mine.csv", *lines))


def test_optional_columns_are_taken(tmp_path: Path) -> None:
    manifest = read(
        tmp_path,
        "path,label,fold,split,group,subset,clip_id,start_seconds,end_seconds",
        "x/a.wav,dog,2,train,r1,home,one,,",
        'x/b.wav,"cat, big",,test,,,,1.5,2',
    )
    first, second = manifest.clips
    assert (first.fold, first.split, first.group, first.subset, first.labels) == (2, "train", "r1", "home", (1,))
    assert (first.clip_id, first.start_seconds, first.end_seconds) == ("one", 0.0, None)
    assert (second.fold, second.split, second.group, second.subset, second.labels) == (-1, "test", "", "", (0,))
    assert (second.clip_id, second.start_seconds, second.end_seconds) == ("x/b.wav", 1.5, 2.0)
    assert manifest.class_names == ("cat, big", "dog")
    assert manifest.name == "mine"


def test_several_labels_stand_in_one_cell(tmp_path: Path) -> None:
    manifest = read(tmp_path, "path,labels", 'a.wav,"dog, rain,dog"', "b.wav,rain", '"c.wav","""Speech, male"",dog"')
    assert manifest.class_names == ("Speech, male", "dog", "rain")
    assert [clip.labels for clip in manifest.clips] == [(1, 2), (2,), (0, 1)]


def test_excerpts_of_a_file_have_ids_of_their_own_and_share_a_group(tmp_path: Path) -> None:
    manifest = read(
        tmp_path,
        "path,label,start_seconds,end_seconds,group",
        "a/b.wav,dog,10,15,",
        "a/b.wav,dog,,0.5,",
        "c.wav,dog,3,,",
        "d.wav,dog,0,1,",
        "d.wav,dog,1.25,,studio",
    )
    assert [(clip.clip_id, clip.group) for clip in manifest.clips] == [
        ("a/b.wav#10-15", "a/b.wav"),
        ("a/b.wav#0-0.5", "a/b.wav"),
        ("c.wav", ""),
        ("d.wav#0-1", "studio"),
        ("d.wav#1.25-", "studio"),
    ]


def test_excerpts_of_a_file_in_two_folds_are_reported(tmp_path: Path) -> None:
    rows = ("a.wav,dog,0,1,1", "a.wav,dog,1,2,2", "b.wav,dog,0,1,1")
    assert read(tmp_path, "path,label,start_seconds,end_seconds,fold", *rows).leaks() == ["a.wav"]


def test_two_groups_do_not_hide_that_a_file_is_in_two_folds(tmp_path: Path) -> None:
    rows = ("a.wav,dog,0,1,1,g", "a.wav,dog,1,2,2,h", "b.wav,dog,0,1,1,g")
    assert read(tmp_path, "path,label,start_seconds,end_seconds,fold,group", *rows).leaks() == ["a.wav"]


@pytest.mark.parametrize("again", ["./x/a.wav", "x//a.wav", "x/./a.wav", ".//x/a.wav"])
def test_one_file_in_two_spellings_is_one_recording(tmp_path: Path, again: str) -> None:
    manifest = read(tmp_path, "path,label,start_seconds,fold", "x/a.wav,dog,0,1", f"{again},dog,1,2")
    assert [(clip.clip_id, clip.path, clip.group) for clip in manifest.clips] == [
        ("x/a.wav#0-", "x/a.wav", "x/a.wav"),
        ("x/a.wav#1-", "x/a.wav", "x/a.wav"),
    ]
    assert manifest.leaks() == ["x/a.wav"]


def test_folds_as_a_column_with_gaps_is_written(tmp_path: Path) -> None:
    manifest = read(tmp_path, "path,label,fold", "a.wav,dog,0.0", "b.wav,dog,", "c.wav,dog,2.0")
    assert [clip.fold for clip in manifest.clips] == [0, -1, 2]


@settings(deadline=None)
@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=2, max_size=6, unique=True))
def test_different_excerpts_never_share_an_id(
    tmp_path_factory: pytest.TempPathFactory, excerpts: list[tuple[float | None, float | None]]
) -> None:
    valid = {
        (start or 0.0, end)
        for start, end in excerpts
        if end is None or end > (start or 0.0)
    }  # fmt: skip
    rows = [f"a.wav,dog,{start},{'' if end is None else end}" for start, end in valid]
    if rows:
        manifest = read(tmp_path_factory.mktemp("csv"), "path,label,start_seconds,end_seconds", *rows)
        assert {(clip.start_seconds, clip.end_seconds) for clip in manifest.clips} == valid
        assert len({clip.clip_id for clip in manifest.clips}) == len(valid)


def test_excerpts_are_packed_as_clips_of_their_own(tmp_path: Path) -> None:
    samples = sound(4 * RATE)
    write(tmp_path / "long.wav", samples)
    rows = ("long.wav,dog,0.5,1.5", "long.wav,cat,1.25,", "long.wav,dog,,0.25")
    pack_dataset(read(tmp_path, "path,label,start_seconds,end_seconds", *rows), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    expected = [samples[RATE // 2 : RATE * 3 // 2], samples[RATE * 5 // 4 :], samples[: RATE // 4]]
    for row, part in enumerate(expected):
        assert np.array_equal(decode_clip(dataset, row) * 32_768, part)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.wav,dog", "missing: path"),
        ("path;label\na.wav;dog", r"the columns path, and label or labels; missing: path, label or labels; found: "
         r"path;label. Separate cells by commas.$"),
        ("Path,Label\na.wav,dog", r"found: Path, Label. Call the column 'Path' 'path', 'Label' 'label'.$"),
        ("path,class\na.wav,dog", r"missing: label or labels; found: path, class.$"),
        ("path,label,labels\na.wav,dog,dog", "it has both columns label and labels. Keep one of them"),
        ("path,label\na.wav,", "line 2: the column 'label' is empty"),
        ("path,labels\na.wav,dog\nb.wav,", "line 3: the column 'labels' is empty"),
        ('path,labels\na.wav,"dog,,cat"', "line 2: the column 'labels' must be labels with commas between them"),
        ("path,label\na.wav,dog,extra", "more cells than columns"),
        ("path,label", "no rows below its header"),
        ("path,label,Fold\na.wav,dog,1", "there is a column 'Fold'; call it 'fold'"),
        ("path,label,start,end\na.wav,dog,1,2", "there is a column 'start'; call it 'start_seconds'"),
        ("path,label,fold\na.wav,dog,x", "line 2: the column 'fold' must be an integer, got 'x'"),
        ("path,label,fold\na.wav,dog,1.5", "line 2: the column 'fold' must be an integer, got '1.5'"),
        ("path,label,fold\na.wav,dog,-1", "line 2: the column 'fold' must be 0 to 2147483647, got -1. Leave the cell "
         "empty for a clip without a fold"),
        ("path,label,split\na.wav,dog,dev", "line 2: the split is 'dev', allowed are train, val, test"),
        ("path,label,end_seconds\na.wav,dog,ten", "line 2: the column 'end_seconds' must be a number from 0 up"),
        ("path,label,start_seconds,end_seconds\na.wav,dog,5,5", "line 2: end_seconds must be more than start_seconds"),
        ("path,label\na.wav,dog\na.wav,cat", "line 3: the same excerpt of 'a.wav' is there already, in line 2"),
        ("path,label\na.wav,dog\n./a.wav,cat", "line 3: the same excerpt of 'a.wav' is there already, in line 2"),
        ("path,label,clip_id\na.wav,dog,b.wav\nb.wav,cat,", "line 3: the clip 'b.wav' is there already, in line 2"),
        ("path,label,clip_id\na.wav,dog,x\nb.wav,cat,x", "line 3: the clip 'x' is there already, in line 2"),
        ("path,label\na.wav,dog\n../a.wav,dog", "mine.csv, line 3: the column 'path' must be the path of a file below "
         "the table's folder, with forward slashes and without '..', got '../a.wav'"),
        ("path,label\na/../../b.wav,dog", "line 2: the column 'path' must be the path of a file"),
        ("path,label\n/a.wav,dog", "line 2: the column 'path' must be the path of a file"),
        ("path,label\na\\b.wav,dog", "line 2: the column 'path' must be the path of a file"),
        ("path,label\n.,dog", "line 2: the column 'path' must be the path of a file"),
        ("path,label\na/,dog", "line 2: the column 'path' must be the path of a file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read(tmp_path, text)
