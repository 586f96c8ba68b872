"""The writer's way of building a shard around its audio: HDF5 reads it back, whatever the clips are like."""

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.dataio.recordings import sound
from tonearm.dataio.audio_stream import AudioStream
from tonearm.dataio.manifest import Clip
from tonearm.dataio.memory_file import MemoryFile
from tonearm.dataio.plan import library_versions
from tonearm.dataio.planned import EncodedClip, ShardTask, WrittenAudio
from tonearm.dataio.shard_writer import complete_shard, find_audio
from tonearm.dataio.shards import DatasetHeader, Shard, read_shard, stored_crcs

MIB = 1 << 20


def header_of(codec: str = "pcm16", class_names: tuple[str, ...] = ("thing",)) -> DatasetHeader:
    return DatasetHeader("made", class_names, codec, 8000, 1, 1, "0" * 64, "1" * 64, library_versions())


def write_shard(path: Path, payloads: list[np.ndarray], header: DatasetHeader, *, skip: tuple[int, ...] = ()) -> Shard:
    task = ShardTask(path.parent, path.parent, header, 0, ())
    begin = find_audio(header)
    clips = []
    with path.open("wb", buffering=0) as file:
        stream = AudioStream(file, begin)
        for number, payload in enumerate(payloads):
            content = payload.view(np.uint8)
            stream.room(len(content))[:] = content
            if number not in skip:
                encoded = EncodedClip(len(content), len(payload), 0.5, 0.25, number)
                clips.append((Clip(f"clip {number}", "a.wav", (0,)), encoded, stream.add(len(content))))
        written = WrittenAudio(clips, *stream.finish(), rejects=[])
    return complete_shard(path, task, begin, written)


@pytest.mark.parametrize(
    "lengths",
    [
        [],
        [1],
        [100, 33, 32, 31],
        [32_768],
        [32_767, 32_769, 5],
        [220_500] * 7,  # more than the buffer
        [MIB, 3 * MIB, 7, 2 * MIB + 1],  # clips larger than the buffer
        [7] * 3000,
    ],
)
def test_what_was_written_is_what_hdf5_reads(tmp_path: Path, lengths: list[int]) -> None:
    payloads = [sound(length, seed=seed)[:, 0] for seed, length in enumerate(lengths)]
    told = write_shard(tmp_path / "shard-00000.h5", payloads, header_of())
    found = read_shard(tmp_path / "shard-00000.h5")
    assert np.array_equal(stored_crcs(found), found.crc32)
    for name, value in vars(found).items():
        if name != "table":
            assert np.array_equal(value, getattr(told, name)), name
    for name, column in vars(found.table).items():
        assert np.array_equal(column, getattr(told.table, name)), name
        assert column.dtype == getattr(told.table, name).dtype, name
    with h5py.File(found.path) as file:
        audio = file["audio"][:]
    covered = np.zeros(len(audio), bool)
    for payload, place in zip(payloads, found.table.offset, strict=True):
        assert np.array_equal(audio[place : place + len(payload)], payload)
        covered[place : place + len(payload)] = True
    assert not audio[~covered].any()


def test_a_clip_that_is_not_added_leaves_nothing_behind(tmp_path: Path) -> None:
    payloads = [sound(length, seed=seed)[:, 0] for seed, length in enumerate([1000, 600_000, 999, 250_000, 40])]
    write_shard(tmp_path / "a.h5", payloads, header_of(), skip=(1, 3))
    told = read_shard(tmp_path / "a.h5").table
    write_shard(tmp_path / "b.h5", [payloads[0], payloads[2], payloads[4]], header_of())
    with h5py.File(tmp_path / "a.h5") as first, h5py.File(tmp_path / "b.h5") as second:
        assert np.array_equal(first["audio"], second["audio"])
        assert np.array_equal(first["crc32"], second["crc32"])
    assert told.clip_id.tolist() == [b"clip 0", b"clip 2", b"clip 4"]
    assert told.num_clipped.tolist() == [0, 2, 4]


def test_many_class_names_move_the_audio_and_nothing_else(tmp_path: Path) -> None:
    names = tuple(f"a class with a name that is long enough to fill blocks {number}" for number in range(3000))
    payloads = [sound(220_500, seed=seed)[:, 0] for seed in range(7)]
    told = write_shard(tmp_path / "shard-00000.h5", payloads, header_of(class_names=names))
    found = read_shard(told.path)
    assert found.header.class_names == names
    assert (found.audio_offset, found.audio_offset % 4096) == (told.audio_offset, 0)
    assert np.array_equal(stored_crcs(found), found.crc32)


def test_a_shard_takes_a_few_mebibytes_of_memory(tmp_path: Path) -> None:
    payload = sound(220_500)[:, 0]
    tracemalloc.start()
    try:
        write_shard(tmp_path / "shard-00000.h5", [payload] * 150, header_of())
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "shard-00000.h5").stat().st_size > 60 * MIB
    assert most < 4 * MIB


def test_a_file_in_memory_reads_as_one_on_disk(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    image = MemoryFile()
    with (tmp_path / "a").open("w+b") as file:
        for _ in range(300):
            place, content = int(generator.integers(0, 50_000)), generator.bytes(int(generator.integers(1, 9000)))
            for target in (image, file):
                target.seek(place)
                target.write(content)
            assert image.tell() == file.tell()
        file.flush()
        assert image.read_from(0) == (tmp_path / "a").read_bytes()
        assert (image.seek(0, 2), image.seek(-10, 2)) == (file.seek(0, 2), file.seek(-10, 2))
        ours, theirs = bytearray(10), bytearray(10)
        assert (image.readinto(ours), ours) == (file.readinto(theirs), theirs)
