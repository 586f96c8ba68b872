"""Relabelling: the index says something else, the audio does not move, and it happens in one moment or not at all."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.dataio.recordings import folder_of, manifest_of, sound, write
from tonearm.dataio import Clip, Manifest, open_dataset, pack_dataset, read_manifest, relabel_dataset
from tonearm.dataio.clip_rows import clips_of
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.index import read_index
from tonearm.dataio.label_cells import join_labels, split_labels
from tonearm.dataio.leaks import leaking_groups
from tonearm.dataio.verify import list_clips, verify_dataset
from tonearm.errors import RequestError


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), tmp_path / "out", shard_bytes=30_000)
    return tmp_path / "out"


def table_of(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def facts_of(root: Path) -> dict[str, Clip]:
    return {clip.clip_id: clip for clip in clips_of(read_index(root)[1])}


def test_the_index_alone_changes(packed: Path, tmp_path: Path) -> None:
    before, audio = contents(packed), [decode_clip(open_dataset(packed), row) for row in range(12)]
    table = table_of(
        tmp_path / "t.csv",
        "clip_id,labels,fold,split,group,subset,seconds",
        'class2/clip02.wav,"class0,purr",3,val,g,noisy,9',
        "class0/clip00.wav,class0,,,,,9",
    )
    summary = relabel_dataset(packed, table)
    assert summary.num_named == 2
    assert summary.changed == {"labels": 1, "fold": 1, "split": 1, "group": 1, "subset": 1}
    assert summary.new_classes == ("purr",)
    after = contents(packed)
    assert sorted(after) == sorted(before)
    assert {name for name in after if after[name] != before[name]} == {"index.h5", "index.json"}
    dataset = open_dataset(packed)
    assert dataset.class_names == ("class0", "class1", "class2", "purr")
    row = next(row for row in range(12) if dataset.clip_id(row) == "class2/clip02.wav")
    clip = clips_of(dataset.table)[row]
    assert (clip.labels, clip.fold, clip.split, clip.group, clip.subset) == ((0, 3), 3, "val", "g", "noisy")
    assert all(np.array_equal(decode_clip(dataset, row), audio[row]) for row in range(12))
    assert read_index(packed)[0].relabelled
    assert verify_dataset(packed) == []
    untouched = [clip for clip in clips_of(dataset.table) if clip.clip_id != "class2/clip02.wav"]
    assert {(clip.fold, clip.split, clip.group, clip.subset) for clip in untouched} == {(-1, "", "", "")}


def test_an_empty_cell_takes_away_and_a_table_that_says_the_same_changes_nothing(packed: Path, tmp_path: Path) -> None:
    relabel_dataset(packed, table_of(tmp_path / "a.csv", "clip_id,fold,split", "class0/clip00.wav,2.0,test"))
    assert facts_of(packed)["class0/clip00.wav"].fold == 2
    before = contents(packed)
    same = relabel_dataset(packed, table_of(tmp_path / "b.csv", "clip_id,fold,label", "class0/clip00.wav,2,class0"))
    assert same.changed == {"labels": 0, "fold": 0}
    assert contents(packed) == before
    gone = relabel_dataset(packed, table_of(tmp_path / "c.csv", "clip_id,fold,split", "class0/clip00.wav,,test"))
    assert gone.changed == {"fold": 1, "split": 0}
    assert (facts_of(packed)["class0/clip00.wav"].fold, facts_of(packed)["class0/clip00.wav"].split) == (-1, "test")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["clip_id,fold", "class0/clip00.wav,1", "clip99,1", "x,1"], r"t.csv, line 3: .* has no clip 'clip99', and so "
         "for 2 of 3 rows.* --clips` lists"),
        (["clip_id,fold", "clas0/clip00.wav,1"], "Did you mean 'class0/clip00.wav'"),
        (["clip_id,fold", "class0/clip00.wav,one"], "line 2: the column 'fold' must be an integer, got 'one'"),
        (["clip_id,fold", "class0/clip00.wav,1.5"], "line 2: the column 'fold' must be an integer, got '1.5'"),
        (["clip_id,fold", "class0/clip00.wav,-1"], "line 2: the column 'fold' must be 0 to .*Leave the cell empty"),
        (["clip_id,fold", "class0/clip00.wav,99999999999"], "line 2: the column 'fold' must be 0 to 2147483647"),
        (["clip_id,split", "class0/clip00.wav,tain"], "line 2: the split is 'tain', allowed are train, val, test"),
        (["clip_id,label", "class0/clip00.wav,"], "line 2: a class name is missing, got ''"),
        (["clip_id,labels", 'class0/clip00.wav,"a,,b"'], "line 2: a class name is missing, got 'a,,b'"),
        (["clip_id,label", "class0/clip00.wav,a\x07"], "control character"),
        (["clip_id,group", "class0/clip00.wav,a\x07"], "control character"),
        (["clip_id,fold", "class0/clip00.wav,1", "class0/clip00.wav,2"], "line 3: .* stands in line 2 already"),
        (["clip_id,fold,split", "class0/clip00.wav,1"], "line 2: 2 cells below a header of 3"),
        (["clip_id,label,labels", "class0/clip00.wav,a,b"], "both columns label and labels"),
        (["clip_id,peak", "class0/clip00.wav,1"], "nothing to change in it"),
        (["clip,fold", "class0/clip00.wav,1"], "missing: clip_id"),
        (["clip_id;fold", "class0/clip00.wav;1"], "missing: clip_id; found: clip_id;fold. Separate cells by commas"),
        (["clip_id,Fold", "class0/clip00.wav,1"], "call it 'fold'"),
    ],
)  # fmt: skip
def test_a_table_with_anything_wrong_in_it_changes_nothing(
    packed: Path, tmp_path: Path, lines: list[str], message: str
) -> None:
    before = contents(packed)
    with pytest.raises(RequestError, match=message):
        relabel_dataset(packed, table_of(tmp_path / "t.csv", *lines))
    assert contents(packed) == before


def test_what_is_no_dataset_is_not_even_locked(tmp_path: Path) -> None:
    table = table_of(tmp_path / "t.csv", "clip_id,fold", "a,1")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="not a packed dataset"):
        relabel_dataset(tmp_path / "empty", table)
    assert list((tmp_path / "empty").iterdir()) == []


HOSTILE = ["=1+1", "+a", "-rf", "@x", "'=1", 'a"b', "a,b", "é", " spaced ", "007", "a;b", "x" * 300]


def test_the_clips_as_a_table_come_back_unchanged(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", sound(100))
    names = ("plain", "Speech, male", '"quoted"', " outside ", "=cmd")
    clips = tuple(
        Clip(clip_id, "a.wav", tuple(range(number % 5 + 1)), fold=number - 1, split=("", "train")[number % 2],
             group=clip_id, subset="s, t")
        for number, clip_id in enumerate(HOSTILE)
    )  # fmt: skip
    pack_dataset(Manifest("made", tmp_path, names, clips), tmp_path / "out")
    rows = list(list_clips(tmp_path / "out"))
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows({**row, "labels": join_labels(row["labels"])} for row in rows)
    before = contents(tmp_path / "out")
    summary = relabel_dataset(tmp_path / "out", tmp_path / "t.csv")
    assert summary.num_named == len(HOSTILE)
    changed = {fact for fact, count in summary.changed.items() if count}
    assert changed == {"group"}  # cells lose the spaces around them; ids and classes do not
    relabel_dataset(tmp_path / "out", table_of(tmp_path / "g.csv", "clip_id,group", "spaced,x"))
    assert facts_of(tmp_path / "out")[" spaced "].group == "x"
    assert read_index(tmp_path / "out")[0].class_names == list(names)
    assert before.keys() == contents(tmp_path / "out").keys()


def test_ids_that_differ_by_spaces_alone_cannot_be_named(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", sound(100))
    clips = tuple(Clip(clip_id, "a.wav", (0,)) for clip_id in ("a", " a"))
    pack_dataset(Manifest("made", tmp_path, ("x",), clips), tmp_path / "out")
    with pytest.raises(RequestError, match="two clips are called 'a', but for spaces"):
        relabel_dataset(tmp_path / "out", table_of(tmp_path / "t.csv", "clip_id,fold", "a,1"))


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("dog", ["dog"]),
        ("dog, cat ,bird", ["dog", "cat", "bird"]),
        ('"Speech, male",dog', ["Speech, male", "dog"]),
        ('"say ""hi""",b', ['say "hi"', "b"]),
        ('5" nail,x', ['5" nail', "x"]),
        ('"open,x', ['"open', "x"]),
        ('"a" b,c', ['"a" b', "c"]),
        ("", [""]),
        ("a,", ["a", ""]),
        (",a", ["", "a"]),
    ],
)
def test_labels_in_a_cell(cell: str, names: list[str]) -> None:
    assert split_labels(cell) == names
    assert split_labels(join_labels(names)) == names


def test_a_recording_in_two_folds_is_a_leak(tmp_path: Path) -> None:
    names = [write(tmp_path / f"{number}.wav", sound(100)).name for number in range(4)]
    pack_dataset(manifest_of(tmp_path, names, group="same"), tmp_path / "out")
    assert leaking_groups(open_dataset(tmp_path / "out").table) == []
    summary = relabel_dataset(tmp_path / "out", table_of(tmp_path / "t.csv", "clip_id,split", "2.wav,test"))
    assert summary.leaks == ("same",)
    relabel_dataset(tmp_path / "out", table_of(tmp_path / "t.csv", "clip_id,group", "2.wav,other"))
    assert leaking_groups(open_dataset(tmp_path / "out").table) == []
