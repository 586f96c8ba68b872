import shutil
from pathlib import Path

import pytest

from tests.dataio.miniatures import FSD_CLASSES, fsdkaggle2019_kaggle, fsdkaggle2019_zenodo, table
from tonearm.dataio import Manifest, read_manifest
from tonearm.errors import ManifestError

META = "FSDKaggle2019.meta"


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    fsdkaggle2019_kaggle(tmp_path / "kaggle")
    return tmp_path / "kaggle"


@pytest.fixture
def zenodo(tmp_path: Path) -> Path:
    fsdkaggle2019_zenodo(tmp_path / "zenodo")
    return tmp_path / "zenodo"


def read(root: Path) -> Manifest:
    return read_manifest("fsdkaggle2019", root)


def test_both_namings_give_the_same_training_clips(kaggle: Path, zenodo: Path) -> None:
    from_kaggle, from_zenodo = read(kaggle), read(zenodo)
    assert from_kaggle.class_names == from_zenodo.class_names == FSD_CLASSES
    facts = [
        [(clip.clip_id, clip.labels, clip.split, clip.subset) for clip in manifest.clips if clip.split == "train"]
        for manifest in (from_kaggle, from_zenodo)
    ]
    assert facts[0] == facts[1]
    assert facts[0][1:3] == [
        ("curated/001ec0ad", (4, 5), "train", "curated"),
        ("noisy/00097e21", (2,), "train", "noisy"),
    ]


def test_zenodo_has_the_test_split_and_sources_as_groups(zenodo: Path) -> None:
    manifest = read(zenodo)
    clip = manifest.clips[-1]
    assert (clip.clip_id, clip.path, clip.labels, clip.split, clip.subset) == (
        "test/4030a4f2", "FSDKaggle2019.audio_test/4030a4f2.wav", (1, 4), "test", ""
    )  # fmt: skip
    noisy = [clip.group for clip in manifest.clips if clip.subset == "noisy"]
    assert noisy[0] == noisy[1] != noisy[2]
    assert noisy[0] == "http://www.flickr.com/videos/8566600@N07/4372020310/"
    assert manifest.leaks() == []


def test_a_source_in_training_and_test_is_reported(zenodo: Path) -> None:
    path = zenodo / META / "test_post_competition.csv"
    source = next(clip.group for clip in read(zenodo).clips if clip.subset == "curated")
    path.write_text(path.read_text().replace(",41,", f",{source},"))
    assert read(zenodo).leaks() == [source]


def test_clips_known_to_be_bad_are_left_out_and_named(kaggle: Path) -> None:
    manifest = read(kaggle)
    assert not {"curated/f76181c4", "curated/1d44b0bd"} & {clip.clip_id for clip in manifest.clips}
    assert manifest.notes == (
        "Left out, for want of labels: test (2). Zenodo's release has them.",
        "Left out of the curated part, as wrong label: f76181c4.wav.",
        "Left out of the curated part, as silent: 1d44b0bd.wav.",
    )


def test_kaggle_without_a_vocabulary_sorts_its_classes(kaggle: Path) -> None:
    (kaggle / "train_noisy.csv").unlink()
    manifest = read(kaggle)
    assert manifest.class_names == ("Bark", "Slam", "Walk_and_footsteps")
    assert manifest.notes[0] == "There is no train_noisy.csv, so nothing of the noisy part is read."


def test_a_part_that_was_not_unpacked_is_left_out_with_a_note(zenodo: Path) -> None:
    shutil.rmtree(zenodo / "FSDKaggle2019.audio_train_noisy")
    manifest = read(zenodo)
    assert {clip.subset for clip in manifest.clips} == {"curated", ""}
    assert (
        manifest.notes[0] == "There is no folder FSDKaggle2019.audio_train_noisy, so nothing of the noisy part is read."
    )
    shutil.rmtree(zenodo / "FSDKaggle2019.audio_train_curated")
    shutil.rmtree(zenodo / "FSDKaggle2019.audio_test")
    with pytest.raises(ManifestError, match="no part is whole. There is no folder .* Unpack the audio beside"):
        read(zenodo)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav,Meow", r"train_noisy_post_competition.csv, line 3: the label 'Meow' is not in .*vocabulary.csv"),
        ("a.wav,", "line 3: the column 'labels' is empty"),
        ('a.wav,"Bark,,Slam"', "line 3: the column 'labels' must be labels with commas between them"),
        ("a.wav,Bark,Slam", "line 3: more cells than columns. Quote cells with commas"),
        ("../test/a.wav,Bark", "line 3: the column 'fname' must be the name of a file without any folder"),
        ("b.wav,Bark", "two clips are called 'noisy/b'"),
    ],
)
def test_wrong_rows_are_named(zenodo: Path, row: str, message: str) -> None:
    table(zenodo / META / "train_noisy_post_competition.csv", "fname,labels", "b.wav,Bark", row)
    with pytest.raises(ManifestError, match=message):
        read(zenodo)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("0,Bark\n2,Slam", "vocabulary.csv: classes must be numbered 0, 1, 2 … without a gap, but there is no class 1"),
        ("Bark", r"vocabulary.csv, line 1: expected the number and the name of a class, got \['Bark'\]"),
        ("0,Bark\n0,Slam", "vocabulary.csv, line 2: class 0 is 'Slam', but was 'Bark' further up"),
        ("zero,Bark", "vocabulary.csv, line 1: the column 'class' must be an integer, got 'zero'"),
    ],
)
def test_a_vocabulary_that_is_not_right_is_refused(zenodo: Path, rows: str, message: str) -> None:
    table(zenodo / META / "vocabulary.csv", rows)
    with pytest.raises(ManifestError, match=message):
        read(zenodo)
