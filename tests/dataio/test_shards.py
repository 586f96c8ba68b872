"""The shard format as others see it, and damage that must not pass."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.dataio.recordings import folder_of, sound
from tonearm.dataio import open_dataset, pack_dataset, read_manifest
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.shards import read_shard, seal
from tonearm.dataio.verify import inspect_dataset, verify_dataset
from tonearm.errors import RequestError, ShardError, TonearmError


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    pack_dataset(manifest, tmp_path / "out", shard_bytes=50_000)
    return tmp_path / "out"


def test_plain_h5py_shows_the_audio(packed: Path) -> None:
    with h5py.File(packed / "shard-00000.h5") as file:
        assert file.attrs["format_version"] == 1
        assert bytes(file.attrs["codec"]) == b"pcm16"
        assert [name.decode() for name in file.attrs["class_names"]] == ["class0", "class1", "class2"]
        audio, clips = file["audio"], file["clips"]
        assert (audio.dtype, audio.chunks, audio.compression) == (np.int16, None, None)
        begin, size = int(clips["offset"][1]), int(clips["size"][1])
        assert np.array_equal(audio[begin : begin + size], sound(4000, seed=3)[:, 0])
        assert (clips["offset"][:] * 2 % 64 == 0).all()
        assert clips["clip_id"][1] == b"class0/clip03.wav"


def test_shards_are_balanced(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in", clips=24, frames=(4000,)))
    pack_dataset(manifest, tmp_path / "out", shard_bytes=5 * 8000)
    assert [entry["num_clips"] for entry in json.loads((tmp_path / "out" / "index.json").read_text())["shards"]] == [
        5, 5, 5, 5, 4
    ]  # fmt: skip


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)


def test_a_flipped_audio_byte_names_its_clip(packed: Path) -> None:
    assert verify_dataset(packed) == []
    shard = read_shard(packed / "shard-00001.h5")
    flip(shard.path, shard.audio_offset + 100)
    problems = verify_dataset(packed)
    assert problems
    assert all("shard-00001.h5" in problem and "CRC-32" in problem for problem in problems)
    dataset = open_dataset(packed)
    row = int(np.flatnonzero(dataset.table.shard == 1)[0])
    with pytest.raises(ShardError, match=rf"shard-00001.h5, clip '{dataset.clip_id(row)}': its bytes do not match"):
        dataset.payload(row)
    assert len(dataset.payload(row, verify="never")) > 0


def test_metadata_is_checked_before_hdf5_sees_it(packed: Path) -> None:
    shard = read_shard(packed / "shard-00000.h5")
    flip(shard.path, shard.audio_offset + shard.audio_nbytes + 10)
    dataset = open_dataset(packed)
    with pytest.raises(ShardError, match=r"its metadata is not what was packed \(SHA-256 differs\)"):
        dataset.payload(0)
    assert len(verify_dataset(packed)) == 1


def test_missing_and_shortened_shards_are_named(packed: Path) -> None:
    path = packed / "shard-00000.h5"
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    with pytest.raises(ShardError, match=rf"{len(data) - 10} bytes, but {len(data)} were packed"):
        open_dataset(packed).payload(0)
    path.unlink()
    with pytest.raises(ShardError, match="missing. Run the `tonearm pack` or `append` that wrote it again"):
        open_dataset(packed).payload(0)


def test_only_a_foreign_file_is_to_be_deleted(packed: Path) -> None:
    """What begins as a shard is packed again where it stands; what does not is never written over."""
    path = packed / "shard-00000.h5"
    data = path.read_bytes()
    for content, advice in ((data[:20] + b"?" + data[21:], "Run the"), (b"?" + data[1:], "Delete it. Run the")):
        path.write_bytes(content)
        with pytest.raises(ShardError, match=f"not a tonearm shard: the seal .* is missing or damaged. {advice}"):
            open_dataset(packed).payload(0)


def place_of_audio(path: Path) -> tuple[int, int, int]:
    with h5py.File(path, "r") as file:
        return file["audio"].id.get_offset(), file["audio"].nbytes, file["crc32"].id.get_offset()


def edit_json(root: Path, change: Callable[[dict], None]) -> None:
    document = json.loads((root / "index.json").read_text())
    change(document)
    (root / "index.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format_version=2), "shard format 2, but this tonearm reads format 1"),
        (lambda d: d.update(codec="mp3"), "codec"),
        (lambda d: d.update(sample_rate=-1), "sample_rate"),
        (lambda d: d["shards"][0].update(file="../../etc/passwd"), "file"),
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d.update(num_channels=10**30), "num_channels"),
        (lambda d: d["shards"][0].update(audio_nbytes=10**30), "audio_nbytes"),
        (lambda d: d.update(index_sha256="0" * 64), "not the file that index.json describes"),
    ],
)
def test_a_changed_index_is_refused(packed: Path, change: Callable[[dict], None], message: str) -> None:
    edit_json(packed, change)
    with pytest.raises(ShardError, match=message):
        open_dataset(packed)


def test_a_shard_of_another_version_says_so(packed: Path) -> None:
    path = packed / "shard-00000.h5"
    path.write_bytes(path.read_bytes().replace(b"tonearm shard 1 ", b"tonearm shard 7 ", 1))
    with pytest.raises(ShardError, match="shard format 7, but this tonearm reads format 1"):
        read_shard(path)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("offset", -64, "offset is negative"),
        ("offset", 7, "64-byte boundary"),
        ("offset", 1 << 60, "audio ends beyond"),
        ("size", -1, "size is not positive"),
        ("size", 1 << 62, "audio ends beyond"),
        ("num_frames", 1, "num_frames x num_channels"),
        ("sample_rate", 1, "sample_rate is not 8000"),
        ("peak", np.nan, "not a finite level"),
        ("label_indices", 99, "must lie in 0 to 2"),
        ("label_indptr", 5, "label_indptr"),
    ],
)
def test_columns_that_lie_are_refused(packed: Path, column: str, value: float, message: str) -> None:
    path = packed / "shard-00000.h5"
    with h5py.File(path, "r+") as file:
        file[f"clips/{column}"][1] = value
    seal(path, *place_of_audio(path))
    with pytest.raises(ShardError, match=message):
        read_shard(path)


def test_bytes_flipped_anywhere_are_refused_or_harmless(packed: Path) -> None:
    expected = [decode_clip(open_dataset(packed), row) for row in range(12)]
    generator = np.random.default_rng(0)
    refused = 0
    for path in sorted(packed.glob("*.h5")):
        whole = path.read_bytes()
        for place in generator.integers(0, len(whole), 40):
            flip(path, int(place))
            try:
                dataset = open_dataset(packed)
                for row, samples in enumerate(expected):
                    assert np.array_equal(decode_clip(dataset, row), samples)
            except ShardError:
                refused += 1
            path.write_bytes(whole)
    assert refused > 100  # nearly every byte counts; the gaps between clips need not


def test_what_is_not_a_packed_dataset_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such folder"):
        open_dataset(tmp_path / "none")
    with pytest.raises(RequestError, match=r"not a packed dataset, index.json is missing: tonearm pack makes one"):
        open_dataset(tmp_path)
    (tmp_path / "x.h5").write_bytes(b"not hdf5")
    with pytest.raises(ShardError, match="not a tonearm shard: the seal"):
        read_shard(tmp_path / "x.h5")
    with h5py.File(tmp_path / "y.h5", "w"):
        pass
    with pytest.raises(TonearmError, match="not a tonearm shard"):
        read_shard(tmp_path / "y.h5")


def test_inspect_counts(packed: Path) -> None:
    found = inspect_dataset(packed)
    assert (found.num_clips, found.sample_rate, found.codec, found.num_rejected) == (12, 8000, "pcm16", 0)
    assert found.classes == {"class0": 4, "class1": 4, "class2": 4}
    assert found.longest_seconds == pytest.approx(5001 / 8000)
    assert found.num_bytes == sum(path.stat().st_size for path in packed.glob("shard-*.h5"))
