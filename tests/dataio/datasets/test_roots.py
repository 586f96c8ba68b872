from pathlib import Path

from tonearm.dataio.datasets.roots import list_recordings, stem


def test_recordings_are_found_by_suffix_and_hidden_ones_are_left(tmp_path: Path) -> None:
    for name in ("b/x.WAV", "a/y.flac", "a/.z.wav", ".git/q.wav", "a/notes.txt", "a-b/x.mp3", "a/deep/er/x.ogg", "wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert list_recordings(tmp_path) == ["a/deep/er/x.ogg", "a/y.flac", "a-b/x.mp3", "b/x.WAV"]


def test_links_are_followed_once_and_a_folder_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.wav").touch()
    (tmp_path / "in" / "kick.wav").mkdir(parents=True)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "round").symlink_to(tmp_path / "in")
    assert list_recordings(tmp_path / "in") == ["linked/x.wav"]


def test_a_stem_loses_folders_and_the_last_suffix() -> None:
    assert [stem(path) for path in ("a/b.c.wav", "-x_.wav", "a.b/c.wav")] == ["b.c", "-x_", "c"]
