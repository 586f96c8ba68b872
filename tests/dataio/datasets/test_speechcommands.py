from pathlib import Path

import pytest

from tests.dataio.miniatures import speechcommands, table
from tonearm.dataio import read_manifest
from tonearm.errors import ManifestError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    speechcommands(tmp_path)
    return tmp_path


def test_lists_make_splits_and_speakers_groups(root: Path) -> None:
    manifest = read_manifest("speechcommands", root)
    assert manifest.class_names == ("bed", "cat")
    facts = {(clip.group, clip.split) for clip in manifest.clips}
    assert facts == {("0a7c2a8d", "train"), ("0c40e715", "val"), ("fffcabd1", "test")}
    clip = manifest.clips[0]
    assert (clip.clip_id, clip.path, clip.labels) == (
        "bed/0a7c2a8d_nohash_0", "bed/0a7c2a8d_nohash_0.wav", (0,)
    )  # fmt: skip
    assert manifest.leaks() == []


def test_background_noise_is_no_class_and_stays_where_it_is(root: Path) -> None:
    (note,) = read_manifest("speechcommands", root).notes
    assert note.startswith(f"Left out, as no class: _background_noise_ (2). It stays in {root}/_background_noise_, ")


def test_lists_may_name_more_and_folders_hold_more(root: Path) -> None:
    with (root / "testing_list.txt").open("a") as file:
        file.write("dog/0c40e715_nohash_7.wav\n\n")
    (root / "bed" / "again.wav").touch()
    (root / "loose.wav").touch()
    assert read_manifest("speechcommands", root).notes[1:] == (
        "Named in the lists, but not there: 1 of 9, the first dog/0c40e715_nohash_7.wav.",
        "Left out, for a name not such as bed/0c40e715_nohash_0.wav: 2, the first bed/again.wav.",
    )


def test_a_speaker_in_two_splits_is_reported(root: Path) -> None:
    path = root / "validation_list.txt"
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    assert read_manifest("speechcommands", root).leaks() == ["0c40e715"]


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(root: Path) -> None:
    plain = read_manifest("speechcommands", root)
    path = root / "validation_list.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_manifest("speechcommands", root) == plain


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "../bed/0c40e715_nohash_0.wav",
            r"testing_list.txt, line 2: expected a path such as bed/0c40e715_nohash_0.wav",
        ),
        ("../0c40e715_nohash_0.wav", "line 2: expected a path such as"),
        ("/bed/0c40e715_nohash_0.wav", "line 2: expected a path such as"),
        ("bed\\0c40e715_nohash_0.wav", "line 2: expected a path such as"),
        ("bed/0c40e715_nohash_0.wav", "line 2: bed/0c40e715_nohash_0.wav is in validation_list.txt as well"),
    ],
)
def test_wrong_lines_are_named(root: Path, line: str, message: str) -> None:
    table(root / "testing_list.txt", "bed/fffcabd1_nohash_0.wav", line)
    with pytest.raises(ManifestError, match=message):
        read_manifest("speechcommands", root)


def test_empty_missing_and_unreadable_lists_are_refused(root: Path) -> None:
    path = root / "testing_list.txt"
    path.write_text("\n")
    with pytest.raises(ManifestError, match="testing_list.txt: it is empty"):
        read_manifest("speechcommands", root)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="testing_list.txt: not text in UTF-8"):
        read_manifest("speechcommands", root)
    path.unlink()
    with pytest.raises(ManifestError, match="no testing_list.txt in it, so this is not the speechcommands layout"):
        read_manifest("speechcommands", root)
