"""What stands in the folder already: damaged shards are mended, and what is worth more than a pack is left alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dataio.recordings import folder_of, sound, write
from tonearm.dataio import append_dataset, pack_dataset, read_manifest, relabel_dataset
from tonearm.dataio import pack as pack_module
from tonearm.dataio.manifest import Manifest
from tonearm.dataio.shards import read_shard
from tonearm.errors import RequestError, RunError

SHARD_BYTES = 60_000


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return read_manifest("folder", folder_of(tmp_path / "in", clips=24, frames=(8000, 5000, 10_001)))


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


def flip_audio(path: Path) -> None:
    shard = read_shard(path)
    flip(path, shard.audio_offset + shard.audio_nbytes // 2)


def flip_metadata(path: Path) -> None:
    shard = read_shard(path)
    flip(path, shard.audio_offset + shard.audio_nbytes + 100)


def flip_attributes(path: Path) -> None:
    flip(path, 4096 + 300)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [flip_audio, flip_metadata, flip_attributes, cut_in_half, empty]


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_packed_again(
    tmp_path: Path, manifest: Manifest, damage: Callable[[Path], None], complete: bool
) -> None:
    out = tmp_path / "out"
    num_shards = pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).num_shards
    whole = contents(out)
    damage(out / "shard-00002.h5")
    if not complete:
        (out / "index.json").unlink()
    summary = pack_dataset(manifest, out, num_workers=2, shard_bytes=SHARD_BYTES)
    assert summary.mended == ("shard-00002.h5",)
    assert summary.num_kept == num_shards - 1
    assert contents(out) == whole
    assert pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).mended == ()


def test_every_shard_damaged_is_a_pack_from_the_beginning(tmp_path: Path, manifest: Manifest) -> None:
    out = tmp_path / "out"
    num_shards = pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).num_shards
    whole = contents(out)
    for path in out.glob("shard-*.h5"):
        cut_in_half(path)
    assert len(pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).mended) == num_shards
    assert contents(out) == whole


@pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\n" + b"\0" * 9000, b"years of work", b"\0" * 9000])
def test_a_foreign_file_with_a_shards_name_is_not_written_over(
    tmp_path: Path, manifest: Manifest, content: bytes
) -> None:
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "shard-00000.h5"
    path.write_bytes(content)
    with pytest.raises(RequestError, match="not a tonearm shard.*Delete that file, or pack into another folder"):
        pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES)
    assert path.read_bytes() == content


def test_damage_in_another_pack_is_not_mended_but_refused(tmp_path: Path, manifest: Manifest) -> None:
    pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES)
    for path in (tmp_path / "out").glob("shard-*.h5"):
        cut_in_half(path)
    before = contents(tmp_path / "out")
    with pytest.raises(RequestError, match="holds shards of another pack"):
        pack_dataset(manifest, tmp_path / "out", sample_rate=16_000, shard_bytes=SHARD_BYTES)
    assert contents(tmp_path / "out") == before


def test_shards_beyond_the_last_are_another_pack(tmp_path: Path, manifest: Manifest) -> None:
    pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES)
    (tmp_path / "out" / "index.json").unlink()
    last = sorted((tmp_path / "out").glob("shard-*.h5"))[-1]
    last.rename(last.with_name("shard-00099.h5"))
    with pytest.raises(RequestError, match="holds shards of another pack"):
        pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES)


def change(out: Path, tmp_path: Path, how: str) -> None:
    """Relabel or append to a dataset that was packed."""
    if how == "relabelled":
        (tmp_path / "new.csv").write_text("clip_id,label\nclass0/clip00.wav,class2\n")
        relabel_dataset(out, tmp_path / "new.csv")
    else:
        more = folder_of(tmp_path / "more", clips=3)
        for path in sorted(more.rglob("*.wav")):
            path.rename(path.with_name(f"new-{path.name}"))
        append_dataset(read_manifest("folder", more), out)


@pytest.mark.parametrize("how", ["relabelled", "appended to"])
@pytest.mark.parametrize("damage", [cut_in_half, flip_audio, Path.unlink])
def test_a_dataset_that_was_changed_since_is_mended_and_keeps_its_change(
    tmp_path: Path, manifest: Manifest, how: str, damage: Callable[[Path], None]
) -> None:
    out = tmp_path / "out"
    pack_dataset(manifest, out, shard_bytes=SHARD_BYTES)
    change(out, tmp_path, how)
    whole = contents(out)
    assert pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).mended == ()
    assert contents(out) == whole
    damage(out / "shard-00001.h5")
    assert pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).mended == ("shard-00001.h5",)
    assert contents(out) == whole


def test_a_changed_dataset_is_not_mended_with_other_recordings(tmp_path: Path, manifest: Manifest) -> None:
    out = tmp_path / "out"
    pack_dataset(manifest, out, shard_bytes=SHARD_BYTES)
    change(out, tmp_path, "relabelled")
    whole = contents(out)
    for clip in manifest.clips:
        write(manifest.root / clip.path, -sound((8000, 5000, 10_001)[int(clip.clip_id[11:13]) % 3]))
    (out / "shard-00001.h5").unlink()
    with pytest.raises(RunError, match="shard-00001.h5: it was damaged, and the recordings no longer are"):
        pack_dataset(manifest, out, shard_bytes=SHARD_BYTES)
    assert contents(out) == {name: data for name, data in whole.items() if name != "shard-00001.h5"}


def test_an_append_that_did_not_come_to_its_end_is_told_from_another_pack(tmp_path: Path, manifest: Manifest) -> None:
    out = tmp_path / "out"
    pack_dataset(manifest, out, shard_bytes=SHARD_BYTES)
    before = (out / "index.json").read_bytes()
    change(out, tmp_path, "appended to")
    last = sorted(out.glob("shard-*.h5"))[-1].name
    (out / "index.json").write_bytes(before)
    with pytest.raises(RequestError, match=rf"an append that did not come to its end: {last}. Run that append again"):
        pack_dataset(manifest, out, shard_bytes=SHARD_BYTES)


def test_a_damaged_index_is_not_overwritten(tmp_path: Path, manifest: Manifest) -> None:
    """It may hold labels that the shards do not."""
    out = tmp_path / "out"
    num_shards = pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).num_shards
    whole = contents(out)
    (out / "index.json").write_bytes(whole["index.json"][:100])
    with pytest.raises(RequestError, match=r"index.json: damaged. If the dataset was appended to or relabelled, put"):
        pack_dataset(manifest, out, shard_bytes=SHARD_BYTES)
    (out / "index.json").unlink()
    (out / "index.h5").write_bytes(whole["index.h5"][:100])
    assert pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).num_kept == num_shards
    assert contents(out) == whole


def test_a_recording_that_vanished_since_the_headers_were_read_is_a_reject(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / manifest.clips[0].path
    cut = pack_module.cut

    def cut_then_remove(*call: object) -> object:
        path.unlink()
        return cut(*call)  # type: ignore[arg-type]

    monkeypatch.setattr(pack_module, "cut", cut_then_remove)
    summary = pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES)
    assert [(reject.clip_id, reject.reason) for reject in summary.rejects] == [
        (manifest.clips[0].clip_id, "cannot be read (No such file or directory)")
    ]
