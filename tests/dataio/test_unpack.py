"""Unpacking: the files say exactly what the shards say, whatever the clips are called, and never outside the folder."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.dataio.recordings import RATE, folder_of, sound, write
from tonearm.dataio import Clip, Dataset, Manifest, open_dataset, pack_dataset, read_manifest, unpack_dataset
from tonearm.dataio.clip_rows import clips_of
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.file_names import file_stems
from tonearm.errors import RequestError, RunError

HOSTILE = [
    "../../x", "/etc/passwd", "a/b", "a_b", "A/B", "CON", "con.wav", "x" * 300, "x" * 299 + "y", "-rf", "é", "e\u0301",
    "a:b", "a\\b", ".hidden", "..", "nul.txt", "tail.", " spaced ", "=1+1", "labels.csv", "‮gpj.wav", "日本語", "?",
    "COM¹", "*", "ﬁ", "fi", "~", "ẞ", "ss",
]  # fmt: skip


def by_id(dataset: Dataset) -> dict[str, tuple[object, ...]]:
    """Everything but label numbers, which follow from a table's class names."""
    names = dataset.class_names
    return {
        clip.clip_id: ({names[label] for label in clip.labels}, clip.fold, clip.split, clip.group, clip.subset)
        for clip in clips_of(dataset.table)
    }


def samples(dataset: Dataset) -> dict[str, np.ndarray]:
    return {dataset.clip_id(row): decode_clip(dataset, row) for row in range(len(dataset))}


def made(root: Path, ids: list[str], *, names: tuple[str, ...] = ("dog", "Speech, male", '"q"')) -> Manifest:
    """A clip of its own length for each id, with facts of every kind."""
    clips = []
    for number, clip_id in enumerate(ids):
        write(root / f"{number}.wav", sound(200 + number, seed=number))
        labels = tuple(range(number % len(names) + 1))
        split = ("", "train", "val", "test")[number % 4]
        clips.append(Clip(clip_id, f"{number}.wav", labels, number - 1, split, f"g{number % 5}", ("", "x")[number % 2]))
    return Manifest("made", root, names, tuple(clips))


@pytest.mark.parametrize("codec", ["pcm16", "flac", "source"])
@pytest.mark.parametrize("file_format", [None, "wav", "flac"])
def test_the_round_trip_gives_the_same_dataset(tmp_path: Path, codec: str, file_format: str | None) -> None:
    manifest = made(tmp_path / "in", [f"clip {number}" for number in range(9)])
    pack_dataset(manifest, tmp_path / "out", codec=codec)
    seen: list[tuple[int, int]] = []
    summary = unpack_dataset(
        tmp_path / "out", tmp_path / "files", file_format=file_format, progress=lambda *step: seen.append(step)
    )
    assert (summary.num_clips, summary.problems) == (9, ())
    assert seen == [(number, 9) for number in range(10)]
    suffix = f".{file_format}" if file_format else {"pcm16": ".wav", "flac": ".flac", "source": ".wav"}[codec]
    files = sorted((tmp_path / "files").glob("clip*"))
    assert [path.name for path in files] == [f"clip {number}{suffix}" for number in range(9)]
    assert sum(path.stat().st_size for path in files) == summary.num_bytes
    assert {soundfile.info(path).subtype for path in files} == {"PCM_16"}
    pack_dataset(read_manifest("csv", tmp_path / "files" / "labels.csv"), tmp_path / "again")
    first, again = open_dataset(tmp_path / "out"), open_dataset(tmp_path / "again")
    assert by_id(first) == by_id(again)
    before, after = samples(first), samples(again)
    assert all(np.array_equal(before[clip_id], after[clip_id]) for clip_id in before)


def test_streams_and_files_that_are_kept_are_kept_byte_for_byte(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write(root / "x" / "a.wav", sound(500))
    write(root / "x" / "b.flac", sound(600))
    write(root / "x" / "c.ogg", sound(4000) / 40_000)
    write(root / "x" / "d.wav", sound(500, seed=2), format="WAVEX")
    pack_dataset(read_manifest("folder", root), tmp_path / "out", codec="source")
    unpack_dataset(tmp_path / "out", tmp_path / "files")
    for name in ("a.wav", "b.flac", "c.ogg", "d.wav"):
        assert (tmp_path / "files" / f"x_{name}").read_bytes() == (root / "x" / name).read_bytes()


def test_a_class_name_may_hold_a_comma(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write(root / "Speech, male" / "a.wav", sound())
    write(root / "dog" / "b.wav", sound())
    pack_dataset(read_manifest("folder", root), tmp_path / "out")
    unpack_dataset(tmp_path / "out", tmp_path / "files")
    assert read_manifest("csv", tmp_path / "files" / "labels.csv").class_names == ("Speech, male", "dog")


@pytest.mark.parametrize(
    ("kinds", "wav", "flac"),
    [
        ({"subtype": "PCM_U8"}, "PCM_16", "PCM_16"),
        ({"subtype": "PCM_24"}, "PCM_24", "PCM_24"),
        ({"subtype": "PCM_32"}, "PCM_32", None),
        ({"subtype": "FLOAT"}, "FLOAT", None),
        ({"subtype": "DOUBLE"}, "DOUBLE", None),
        ({"subtype": "ULAW"}, "PCM_16", "PCM_16"),
        ({"format": "OGG", "subtype": "VORBIS"}, "FLOAT", None),
    ],
)
def test_a_source_is_decoded_without_loss_or_not_at_all(
    tmp_path: Path, kinds: dict[str, str], wav: str, flac: str | None
) -> None:
    write(tmp_path / "in" / "x" / "a.wav", np.random.default_rng(0).uniform(-0.9, 0.9, (3000, 1)), **kinds)
    pack_dataset(read_manifest("folder", tmp_path / "in"), tmp_path / "out", codec="source")
    expected = decode_clip(open_dataset(tmp_path / "out"), 0)
    for file_format, subtype in (("wav", wav), ("flac", flac)):
        if file_format == "wav" and kinds.get("format") != "OGG":  # it is a WAV already
            continue
        summary = unpack_dataset(tmp_path / "out", tmp_path / file_format, file_format=file_format)
        if subtype is None:
            message = f"FLAC cannot hold its samples ({kinds['subtype']}); unpack with --format wav"
            assert message in summary.problems[0]
            continue
        path = tmp_path / file_format / f"x_a.{file_format}"
        assert soundfile.info(path).subtype == subtype
        assert np.array_equal(soundfile.read(path, dtype="float32", always_2d=True)[0], expected)


def test_hostile_ids_stay_in_the_folder_and_apart(tmp_path: Path) -> None:
    manifest = made(tmp_path / "in", HOSTILE)
    pack_dataset(manifest, tmp_path / "out")
    unpack_dataset(tmp_path / "out", tmp_path / "deep" / "files")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "in", "out"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["files"]
    files = list((tmp_path / "deep" / "files").iterdir())
    assert all(path.is_file() for path in files)
    names = [path.name for path in files]
    assert len(names) == len(HOSTILE) + 1
    assert len({name.casefold() for name in names}) == len(names)
    assert "é.wav" in names
    assert "日本語.wav" in names
    assert not any(name.startswith(("-", ".", "~", " ")) for name in names)
    pack_dataset(read_manifest("csv", tmp_path / "deep" / "files" / "labels.csv"), tmp_path / "again")
    found = samples(open_dataset(tmp_path / "again"))
    for number, clip_id in enumerate(HOSTILE):  # cells lose the spaces around them
        assert np.array_equal(found[clip_id.strip()], sound(200 + number, seed=number) / np.float32(32768))


@given(st.lists(st.text(max_size=400), unique=True, max_size=20))
def test_any_ids_make_names_that_every_system_takes(ids: list[str]) -> None:
    stems = file_stems(ids)
    assert len({stem.casefold() for stem in stems}) == len(ids)
    for stem in stems:
        assert 0 < len(f".{stem}.flac.1234567.part".encode()) <= 255
        assert not set(stem) & set('<>:"/\\|?*\0\n')
        assert stem.strip() == stem
        assert not stem.startswith(("-", "."))
        assert not stem.endswith(".")
        assert stem.split(".")[0].strip().upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT9"}


def test_a_damaged_clip_is_named_and_the_others_are_written(tmp_path: Path) -> None:
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in", frames=(40_000,))), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    shard = tmp_path / "out" / "shard-00000.h5"
    data = bytearray(shard.read_bytes())
    place = data.find(dataset.pcm(4, 20_000, 8).tobytes())
    data[place] ^= 1
    shard.write_bytes(data)
    summary = unpack_dataset(tmp_path / "out", tmp_path / "files")
    left_out = {dataset.clip_id(row) for row in range(12)} - set(by_id_of_table(tmp_path / "files"))
    assert dataset.clip_id(4) in left_out
    assert len(left_out) == len(summary.problems) == 12 - summary.num_clips <= 3  # a block holds parts of three clips
    assert all("do not match their CRC-32" in problem for problem in summary.problems)
    assert any(dataset.clip_id(4) in problem for problem in summary.problems)
    assert len(list((tmp_path / "files").glob("*.wav"))) == summary.num_clips


def by_id_of_table(folder: Path) -> list[str]:
    return [clip.clip_id for clip in read_manifest("csv", folder / "labels.csv").clips]


def test_a_shard_that_is_gone_costs_its_clips_alone(tmp_path: Path) -> None:
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), tmp_path / "out", shard_bytes=30_000)
    (tmp_path / "out" / "shard-00001.h5").unlink()
    summary = unpack_dataset(tmp_path / "out", tmp_path / "files")
    assert 0 < summary.num_clips < 12
    assert len(summary.problems) == 12 - summary.num_clips
    assert all("shard-00001.h5" in problem for problem in summary.problems)


def test_folders_that_hold_something_are_left_alone(tmp_path: Path) -> None:
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    for folder, message in (
        (tmp_path / "full", "is not empty, it holds 'thesis.tex'.*If an interrupted unpack left it, empty or"),
        (tmp_path / "full" / "thesis.tex", "thesis.tex: a file, not a folder"),
        (tmp_path / "out" / "files", "lies in the packed dataset"),
        (tmp_path / "out", "lies in the packed dataset"),
    ):
        with pytest.raises(RequestError, match=message):
            unpack_dataset(tmp_path / "out", folder)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    assert not (tmp_path / "out" / "files").exists()
    with pytest.raises(RequestError, match=r"file_format \(--format\) is 'mp3'; it may be wav or flac"):
        unpack_dataset(tmp_path / "out", tmp_path / "new", file_format="mp3")
    assert not (tmp_path / "new").exists()


def test_flac_is_refused_where_it_cannot_hold_the_clips(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x" / "a.wav", sound(500, channels=9))
    pack_dataset(read_manifest("folder", tmp_path / "in"), tmp_path / "out", num_channels=9)
    with pytest.raises(RequestError, match="9 channels at 8000 Hz; FLAC holds at most 8"):
        unpack_dataset(tmp_path / "out", tmp_path / "files", file_format="flac")
    unpack_dataset(tmp_path / "out", tmp_path / "files")
    assert np.array_equal(soundfile.read(tmp_path / "files" / "x_a.wav", dtype="int16")[0], sound(500, channels=9))
    assert soundfile.info(tmp_path / "files" / "x_a.wav").samplerate == RATE


def test_a_full_disk_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), tmp_path / "out")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match=r"\.wav: cannot be written \(No space left on device\).* unpack again"):
        unpack_dataset(tmp_path / "out", tmp_path / "files")
    assert list((tmp_path / "files").iterdir()) == []


def test_a_disk_that_is_full_at_the_table_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), tmp_path / "out")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(
        RunError, match=r"labels.csv: cannot be written \(No space left on device\); the disk has .* free"
    ):
        unpack_dataset(tmp_path / "out", tmp_path / "files")
    assert not (tmp_path / "files" / "labels.csv").exists()


def test_the_disk_is_waited_for_once_and_before_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), tmp_path / "out")
    there: list[int] = []
    monkeypatch.setattr(
        "tonearm.dataio.unpack.os.sync", lambda: there.append(len(list((tmp_path / "files").iterdir())))
    )
    unpack_dataset(tmp_path / "out", tmp_path / "files")
    assert there == [12]
