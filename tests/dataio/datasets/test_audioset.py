from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataio.miniatures import AUDIOSET_CLASSES, audioset, table
from tonearm.dataio import Manifest, read_manifest
from tonearm.errors import ManifestError

IDS = st.text("ABCyz019-_", min_size=11, max_size=11)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    audioset(tmp_path)
    return tmp_path


def read(root: Path) -> Manifest:
    return read_manifest("audioset", root)


def test_all_ways_to_name_a_recording_are_found(root: Path) -> None:
    manifest = read(root)
    assert manifest.class_names == AUDIOSET_CLASSES
    assert len(manifest.class_names) == 527
    found = {clip.clip_id: (clip.path, clip.labels, clip.split, clip.subset) for clip in manifest.clips}
    assert found == {
        "--PJHxphWEs": ("balanced/Y--PJHxphWEs.wav", (0, 2), "train", "balanced"),
        "-0xzrMun0Rs": ("balanced/-0xzrMun0Rs_30_40.wav", (1,), "train", "balanced"),
        "_a_b_c_d_e_": ("balanced/_a_b_c_d_e__0_9.5.wav", (526,), "train", "balanced"),
        "--BfvyPmVMo": ("Y--BfvyPmVMo.wav", (3,), "test", ""),
        "-A1o1Egi20c": (
            "unbalanced/part 00/-A1o1Egi20c_420.000_430.000.wav", (0,), "train", "unbalanced"
        ),
        "Zz_-_10_20_": (
            "unbalanced/part 01/deep/Zz_-_10_20__10000_20000.wav", (0, 1, 2), "train", "unbalanced"
        ),
    }  # fmt: skip


def test_what_is_missing_is_summed_up(root: Path) -> None:
    assert read(root).notes == (
        "balanced_train_segments.csv: 3 of 4 recordings found, 25.0 % missing. Classes that lost most: "
        "Speech (1 of 2); Male speech, man speaking (1 of 2).",
        "unbalanced_train_segments.csv: 2 of 3 recordings found, 33.3 % missing. Classes that lost most: "
        "Gush (1 of 2).",
        "Classes without any recording: 522 of 527 (Class 1, or so; Class 2, or so; Class 3, or so; Class 4, or so; "
        "Class 5, or so; …).",
    )
    (root / "Y--BfvyPmVMo.wav").unlink()
    assert "eval_segments.csv: 0 of 1 recordings found, 100.0 % missing." in read(root).notes


def test_a_recording_that_is_there_twice_is_read_once(root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "Y--BfvyPmVMo.flac").touch()
    manifest = read(root)
    assert {clip.clip_id: clip.path for clip in manifest.clips}["--BfvyPmVMo"] == "Y--BfvyPmVMo.wav"
    assert manifest.notes[0] == (
        "Not read, because another file has its name: 1, the first a/Y--BfvyPmVMo.flac (read: Y--BfvyPmVMo.wav)."
    )


@settings(deadline=None)
@given(video=IDS, start=st.integers(0, 40_000), length=st.integers(1, 10_000), form=st.integers(0, 3))
def test_any_id_and_any_times_are_found(
    tmp_path_factory: pytest.TempPathFactory, video: str, start: int, length: int, form: int
) -> None:
    """Times in milliseconds, as far as they can be told in seconds."""
    root = tmp_path_factory.mktemp("audioset")
    end = start + length
    name = (
        f"Y{video}",
        f"{video}_{start}_{end}",
        f"{video}_{start / 1000:.3f}_{end / 1000:.3f}",
        f"{video}_{_short(start)}_{_short(end)}",
    )[form]
    table(root / "class_labels_indices.csv", "index,mid,display_name", "0,/m/0,Speech")
    table(root / "eval_segments.csv", "# x", f'{video}, {start / 1000:.3f}, {end / 1000:.3f}, "/m/0"')
    (root / f"{name}.wav").touch()
    clip = read(root).clips[0]
    assert (clip.clip_id, clip.path, clip.start_seconds, clip.end_seconds) == (video, f"{name}.wav", 0.0, None)


def _short(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('-0xzrMun0Rs, 30.000, 40.000, "/m/none"', "eval_segments.csv, line 2: the label '/m/none' is not in class_la"),
        ("-0xzrMun0Rs, 30.000, 40.000, /m/0,/m/1", "line 2: expected a YouTube id of 11 characters, start, end and la"),
        ('../x, 30.000, 40.000, "/m/0"', "line 2: expected a YouTube id of 11 characters"),
        (
            '-0xzrMun0Rs, thirty, 40.000, "/m/0"',
            "line 2: the column 'start_seconds' must be a number from 0 up, got 'th",
        ),
        ('-0xzrMun0Rs, -1, 40.000, "/m/0"', "line 2: the column 'start_seconds' must be a number from 0 up, got '-1'"),
        ('-0xzrMun0Rs, 30.000, nan, "/m/0"', "line 2: the column 'end_seconds' must be a number from 0 up, got 'nan'"),
        ('-0xzrMun0Rs, 30.000, 30.000, "/m/0"', "line 2: the segment ends at 30.000 s, but begins at 30.000 s"),
        ('-0xzrMun0Rs, 0, 9, "/m/0"\n-0xzrMun0Rs, 0, 9, "/m/0"', "line 3: the video '-0xzrMun0Rs' stands further up"),
        ("", "eval_segments.csv: no segments in it"),
        ('-0xzrMun0Rs, 0, 9, "/m/0"', "of 1 segments, none has a recording.*audio files found: 1, for example x.wav"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, line: str, message: str) -> None:
    table(tmp_path / "class_labels_indices.csv", "index,mid,display_name", "0,/m/0,Speech", "1,/m/1,Music")
    table(tmp_path / "eval_segments.csv", "# x", line)
    (tmp_path / "x.wav").touch()
    with pytest.raises(ManifestError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2,/m/1,Music", "there is no class 1"),
        ("1,/m/0,Music", "class_labels_indices.csv, line 3: '/m/0' stood further up, as 0"),
        ("1,/m/1,Speech", "line 3: 'Speech' has index 1, but 0 further up"),
        ("1,/m/1", "line 3: the column 'display_name' is empty"),
        ("1,/m/1,Male speech, man speaking", "line 3: more cells than columns. Quote cells with commas"),
    ],
)
def test_wrong_classes_are_named(tmp_path: Path, line: str, message: str) -> None:
    table(tmp_path / "class_labels_indices.csv", "index,mid,display_name", "0,/m/0,Speech", line)
    with pytest.raises(ManifestError, match=message):
        read(tmp_path)


def test_segments_files_have_their_published_names(root: Path) -> None:
    (root / "eval_segments.csv").rename(root / "my_segments.csv")
    with pytest.raises(ManifestError, match="my_segments.csv: a segments file must be called balanced_train_segments"):
        read(root)
    for path in root.glob("*_segments.csv"):
        path.unlink()
    with pytest.raises(ManifestError, match=r"no \*_segments.csv in it, so this is not the audioset layout"):
        read(root)
