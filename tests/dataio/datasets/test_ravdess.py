from collections import Counter
from pathlib import Path

import pytest

from tests.dataio.miniatures import ravdess
from tonearm.dataio import read_manifest
from tonearm.errors import ManifestError


def test_folds_hold_six_actors_of_either_sex_and_groups_are_actors(tmp_path: Path) -> None:
    ravdess(tmp_path)
    manifest = read_manifest("ravdess", tmp_path)
    assert manifest.class_names == ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    assert [(clip.clip_id, clip.path, clip.labels, clip.fold, clip.group) for clip in manifest.clips[4:6]] == [
        ("03-01-05-01-02-01-05", "Actor_05/03-01-05-01-02-01-05.wav", (4,), 1, "Actor_05"),
        ("03-01-06-01-02-01-06", "Actor_06/03-01-06-01-02-01-06.wav", (5,), 1, "Actor_06"),
    ]
    sexes = Counter((clip.fold, int(clip.group[-2:]) % 2) for clip in manifest.clips)
    assert sexes == {(fold, sex): 3 for fold in range(1, 5) for sex in (0, 1)}
    assert manifest.leaks() == []


def test_songs_films_and_other_names_are_left_out_with_a_note(tmp_path: Path) -> None:
    ravdess(tmp_path)
    assert read_manifest("ravdess", tmp_path).notes == (
        "24 of the 1440 published recordings of speech are there.",
        "Left out, as songs or films: 2, the first Actor_01/03-02-05-01-01-01-01.wav.",
        "Left out, for a name not such as 03-01-05-01-02-01-12.wav: 1, the first Actor_03/03-01-09-01-01-01-03.wav.",
    )


def test_a_whole_copy_has_nothing_to_note(tmp_path: Path) -> None:
    for actor in range(1, 25):
        (tmp_path / f"Actor_{actor:02d}").mkdir()
        for number in range(60):
            emotion, rest = number % 8 + 1, number // 8
            name = f"03-01-{emotion:02d}-0{rest // 4 + 1}-0{rest // 2 % 2 + 1}-0{rest % 2 + 1}-{actor:02d}.wav"
            (tmp_path / f"Actor_{actor:02d}" / name).touch()
    manifest = read_manifest("ravdess", tmp_path)
    assert (len(manifest), manifest.notes) == (1440, ())


def test_a_recording_in_another_actors_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "Actor_02").mkdir()
    (tmp_path / "Actor_02" / "03-01-05-01-02-01-12.wav").touch()
    with pytest.raises(ManifestError, match="its name says actor 12, its folder Actor_02"):
        read_manifest("ravdess", tmp_path)


def test_actors_without_speech_are_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "Actor_02").mkdir()
    (tmp_path / "Actor_02" / "03-02-05-01-02-01-02.wav").touch()
    with pytest.raises(ManifestError, match="no clips found for the dataset 'RAVDESS'"):
        read_manifest("ravdess", tmp_path)
