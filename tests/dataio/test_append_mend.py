"""A shard that was appended and is lost or damaged: the append that made it makes it again, to the same bytes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.dataio.recordings import folder_of, sound, write
from tonearm.dataio import Clip, Manifest, append_dataset, open_dataset, pack_dataset, read_manifest, relabel_dataset
from tonearm.dataio.index import read_index
from tonearm.dataio.verify import verify_dataset
from tonearm.errors import RunError, ShardError

SHARD_BYTES = 30_000  # three or four of the short test clips


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def more(root: Path, numbers: range, *, classes: tuple[str, ...] = ("zebra", "class2", "class0")) -> Manifest:
    """Clips in other classes than the dataset's, named in another order."""
    clips = []
    for number in numbers:
        if not (root / f"new{number}.wav").exists():
            write(root / f"new{number}.wav", sound(3000 + number, seed=100 + number))
        clips.append(Clip(f"new{number}", f"new{number}.wav", (number % len(classes),), number % 2))
    return Manifest("other", root, classes, tuple(clips))


def append(manifest: Manifest, out: Path) -> tuple[str, ...]:
    return append_dataset(manifest, out, shard_bytes=SHARD_BYTES).mended


def lose(path: Path) -> None:
    path.unlink()


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_audio(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.fixture
def first(tmp_path: Path) -> Manifest:
    return read_manifest("folder", folder_of(tmp_path / "in"))


@pytest.fixture
def out(tmp_path: Path, first: Manifest) -> Path:
    """Twelve clips, then 8 appended, then 4."""
    out = tmp_path / "out"
    pack_dataset(first, out, shard_bytes=SHARD_BYTES)
    append(more(tmp_path / "more", range(8)), out)
    append(more(tmp_path / "late", range(20, 24), classes=("late",)), out)
    return out


def shards_of(out: Path, pack: int) -> list[str]:
    index = read_index(out)[0]
    begin = index.packs[pack - 1].end if pack else 0
    return [entry.file for entry in index.shards[begin : index.packs[pack].end]]


@pytest.mark.parametrize("relabelled", [False, True])
@pytest.mark.parametrize("damage", [lose, cut_in_half, flip_audio])
def test_the_append_that_made_it_makes_it_again(
    out: Path, tmp_path: Path, damage: Callable[[Path], None], relabelled: bool
) -> None:
    if relabelled:
        (tmp_path / "t.csv").write_text("clip_id,label,fold\nnew0,purr,4\n")
        relabel_dataset(out, tmp_path / "t.csv")
    whole = contents(out)
    lost = shards_of(out, 1)[-1]
    damage(out / lost)
    summary = append_dataset(more(tmp_path / "more", range(8)), out, shard_bytes=SHARD_BYTES)
    assert (summary.mended, summary.num_clips, summary.num_shards) == ((lost,), 0, 0)
    assert contents(out) == whole
    assert append(more(tmp_path / "more", range(8)), out) == ()
    assert verify_dataset(out) == []


def test_the_last_append_too_and_several_at_once(out: Path, tmp_path: Path) -> None:
    whole = contents(out)
    lost = (*shards_of(out, 1), *shards_of(out, 2))
    assert len(shards_of(out, 1)) > 1
    for name in lost:
        (out / name).unlink()
    with pytest.raises(RunError, match=f"missing or damaged: {shards_of(out, 2)[0]}, and this is not what they were"):
        append(more(tmp_path / "more", range(8)), out)
    assert append(more(tmp_path / "late", range(20, 24), classes=("late",)), out) == tuple(shards_of(out, 2))
    assert contents(out) == whole


def test_pack_mends_its_own_and_names_what_was_appended(out: Path, first: Manifest) -> None:
    whole = contents(out)
    lost = shards_of(out, 1)[0]
    for name in (lost, "shard-00000.h5"):
        flip_audio(out / name)
    with pytest.raises(RunError, match=rf"{lost}, which came with a later append.*packed again: shard-00000.h5\.$"):
        pack_dataset(first, out, shard_bytes=SHARD_BYTES)
    assert {name for name, data in contents(out).items() if data != whole[name]} == {lost}
    with pytest.raises(
        RunError, match=f"missing or damaged: {lost}, which came with a later append. Run the `tonearm app"
    ):
        pack_dataset(first, out, shard_bytes=SHARD_BYTES)


def test_nothing_is_appended_beside_a_lost_shard_of_another_append(out: Path, tmp_path: Path) -> None:
    lost = shards_of(out, 1)[0]
    (out / lost).unlink()
    before = contents(out)
    with pytest.raises(RunError, match=f"missing or damaged: {lost}, and this is not what they were appended from"):
        append(more(tmp_path / "others", range(40, 42)), out)
    assert contents(out) == before


def test_a_manifest_that_has_grown_mends_what_it_was(out: Path, tmp_path: Path) -> None:
    """Of further clips some were appended later, and some are new now; with them came another class."""
    grown = more(tmp_path / "more", range(8))
    classes = ("aardvark", *grown.class_names)
    moved = [replace(clip, labels=(clip.labels[0] + 1,)) for clip in grown.clips]
    extra = more(tmp_path / "more", range(30, 34), classes=("aardvark",)).clips
    append(Manifest("other", grown.root, classes, (*moved, *extra[:2])), out)
    whole = contents(out)
    lost = shards_of(out, 1)[0]
    for clips in ((*moved, *extra[:2]), (*moved, *extra)):
        (out / lost).unlink()
        summary = append_dataset(Manifest("other", grown.root, classes, clips), out, shard_bytes=SHARD_BYTES)
        assert summary.mended == (lost,)
        assert (out / lost).read_bytes() == whole[lost]
    assert summary.num_clips == 2
    assert verify_dataset(out) == []


def test_clips_that_were_left_out_then_do_not_stand_in_the_way(tmp_path: Path, first: Manifest) -> None:
    out = tmp_path / "out"
    pack_dataset(first, out, shard_bytes=SHARD_BYTES)
    manifest = more(tmp_path / "more", range(8))
    (tmp_path / "more" / "new3.wav").write_bytes(b"RIFF")
    append(manifest, out)
    whole = contents(out)
    flip_audio(out / shards_of(out, 1)[0])
    assert append(manifest, out) == (shards_of(out, 1)[0],)
    assert contents(out) == whole


@pytest.mark.parametrize("frames", [3001, 4000])
def test_other_recordings_are_refused(out: Path, tmp_path: Path, frames: int) -> None:
    """Some are told by their headers, before anything is packed; others once they are packed."""
    write(tmp_path / "more" / "new1.wav", -sound(frames, seed=101))
    (out / shards_of(out, 1)[0]).unlink()
    before = contents(out)
    with pytest.raises(RunError, match=r"cannot be made again\. (Append with what it was then, p|P)ut back"):
        append(more(tmp_path / "more", range(8)), out)
    assert contents(out) == before


def test_another_shard_size_is_refused(out: Path, tmp_path: Path) -> None:
    (out / shards_of(out, 1)[0]).unlink()
    with pytest.raises(RunError, match="The recordings, --shard-mib or the library versions are not those"):
        append_dataset(more(tmp_path / "more", range(8)), out)


@pytest.mark.parametrize("damage", [lose, cut_in_half, flip_audio])
def test_a_reader_is_told_what_mends_it(out: Path, damage: Callable[[Path], None]) -> None:
    dataset = open_dataset(out)
    row = next(row for row in range(len(dataset)) if dataset.clip_id(row) == "new0")
    for name in shards_of(out, 1):
        damage(out / name)
    with pytest.raises(ShardError, match="Run the `tonearm pack` or `append` that wrote it again: it is made anew"):
        for place in range(row, row + 8):
            dataset.payload(place)
