"""Damaged clips: named, or passed over and counted; never a wrong sample."""

import errno
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tonearm.dataio import ClipLoader, Dataset, open_dataset, pack_dataset, read_manifest
from tonearm.dataio.shards import read_shard
from tonearm.errors import RunError, ShardError

BACKENDS = ["copy", "soundfile", "dali", "memory"]


@pytest.fixture
def damaged(tmp_path: Path, recordings: Path) -> Path:
    """A copy of the pcm16 dataset with one byte of the first clip of every second shard flipped."""
    shutil.copytree(recordings / "pcm16", tmp_path / "out")
    for path in sorted((tmp_path / "out").glob("shard-*.h5"))[::2]:
        shard = read_shard(path)
        data = bytearray(path.read_bytes())
        data[shard.audio_offset + 5] ^= 1
        path.write_bytes(data)
    return tmp_path / "out"


def loader(dataset: Dataset, backend: str, **more: object) -> ClipLoader:
    if backend == "dali":
        pytest.importorskip("nvidia.dali")
    where = {"residency": "memory"} if backend == "memory" else {"backend": backend, "residency": "stream"}
    return ClipLoader(dataset, **{"batch_size": 4, **where, **more})  # type: ignore[arg-type]


def broken_rows(dataset: Dataset) -> set[int]:
    broken = set()
    for row in range(len(dataset)):
        try:
            dataset.payload(row)
        except ShardError:
            broken.add(row)
    return broken


@pytest.mark.parametrize("backend", BACKENDS)
def test_raise_names_shard_and_clip(damaged: Path, backend: str) -> None:
    dataset = open_dataset(damaged)
    with pytest.raises(ShardError, match=r"shard-0000\d.h5, clip 'class\d/clip\d\d.wav': its bytes do not match"):
        list(loader(dataset, backend))


@pytest.mark.parametrize("backend", BACKENDS)
def test_evaluation_leaves_them_out_and_counts_them(
    damaged: Path, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = open_dataset(damaged)
    broken = broken_rows(open_dataset(damaged))
    assert 0 < len(broken) < 14
    batches = loader(dataset, backend, on_corrupt="skip")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            rows = torch.cat([batch.clip_index for batch in batches]).tolist()
            assert rows == [row for row in range(14) if row not in broken]
    assert set(batches.damaged) == broken
    shards = {int(dataset.table.shard[row]) for row in broken}
    assert len(caplog.records) == len(shards)  # each shard is told once, not each of its clips
    assert all("its bytes do not match their CRC-32" in why for why in batches.damaged.values())


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_replaces_them_and_keeps_its_batch_size(damaged: Path, recordings: Path, backend: str) -> None:
    broken = broken_rows(open_dataset(damaged))
    settings = {"shuffle": True, "seed": 2, "duration_seconds": 0.2}
    intact = list(loader(open_dataset(recordings / "pcm16"), backend, **settings))
    found = list(loader(open_dataset(damaged), backend, on_corrupt="skip", **settings))
    again = list(loader(open_dataset(damaged), backend, on_corrupt="skip", **settings))
    assert len(found) == len(intact)
    for batch, same, whole in zip(found, again, intact, strict=True):
        assert len(batch) == 4
        assert broken.isdisjoint(batch.clip_index.tolist())
        assert torch.equal(batch.waveform, same.waveform)  # whatever threads met first
        kept = torch.tensor([row not in broken for row in whole.clip_index.tolist()])
        assert torch.equal(batch.waveform[kept], whole.waveform[kept])
        assert torch.equal(batch.targets[kept], whole.targets[kept])
    assert any(not torch.equal(a.clip_index, b.clip_index) for a, b in zip(found, intact, strict=True))


@pytest.fixture
def damaged_beyond(tmp_path: Path) -> Path:
    """Clips of several blocks, the last block of two of them damaged: most short crops of these miss it."""
    generator = np.random.default_rng(0)
    (tmp_path / "wav" / "a").mkdir(parents=True)
    for number in range(12):
        samples = generator.integers(-9000, 9000, 300_000).astype(np.int16)
        soundfile.write(tmp_path / "wav" / "a" / f"{number:02d}.wav", samples, 8000)
    pack_dataset(read_manifest("folder", tmp_path / "wav"), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    shard = read_shard(tmp_path / "out" / "shard-00000.h5")
    data = bytearray(shard.path.read_bytes())
    for row in (3, 7):
        data[shard.audio_offset + 2 * int(dataset.table.offset[row]) + 599_000] ^= 1
    shard.path.write_bytes(data)
    return tmp_path / "out"


@pytest.mark.parametrize("seed", range(4))
def test_what_is_skipped_depends_on_no_thread_no_crop_and_no_history(damaged_beyond: Path, seed: int) -> None:
    settings = {
        "batch_size": 3, "duration_seconds": 0.5, "shuffle": True, "seed": seed, "on_corrupt": "skip",
        "weights": np.arange(1.0, 13.0),
    }  # fmt: skip

    def rows(first: ClipLoader) -> list[list[int]]:
        return [batch.clip_index.tolist() for batch in first]

    def make(**more: object) -> ClipLoader:
        return ClipLoader(open_dataset(damaged_beyond), **(settings | {"residency": "stream"} | more))  # type: ignore[arg-type]

    expected = rows(make(num_threads=1))
    assert not {3, 7} & {row for batch in expected for row in batch}
    assert rows(make()) == expected
    assert rows(make(backend="soundfile")) == expected
    assert rows(make(residency="memory")) == expected
    resumed = make()
    resumed.load_state_dict(make().state_dict() | {"batches": 2})
    assert rows(resumed) == expected[2:]


def test_damage_in_memory_holds_on_to_no_batch(damaged: Path) -> None:
    batches = loader(open_dataset(damaged), "memory", on_corrupt="skip")
    for _ in batches:
        pass
    assert batches._resident is not None
    assert set(map(type, batches._resident.damaged.values())) == {str}


@pytest.mark.gpu
def test_a_gpu_passes_over_batches_that_are_damaged_all_over(tmp_path: Path, recordings: Path) -> None:
    shutil.copytree(recordings / "pcm16", tmp_path / "out")
    (tmp_path / "out" / "shard-00000.h5").unlink()
    dataset = open_dataset(tmp_path / "out")
    expected = [row for row in range(14) if row not in broken_rows(dataset)]
    loader = ClipLoader(dataset, batch_size=1, device="cuda", residency="stream", on_corrupt="skip")
    assert [int(batch.clip_index[0]) for batch in loader] == expected


def test_want_of_file_descriptors_is_not_damage(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset(damaged)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("tonearm.dataio.mapped_shards.check_seal", refuse)
        with pytest.raises(RunError, match="shard-00000.h5: cannot be opened .Too many open files.. Close other files"):
            list(ClipLoader(dataset, batch_size=4, on_corrupt="skip"))
    loader = ClipLoader(dataset, batch_size=4, on_corrupt="skip")
    list(loader)
    assert set(loader.damaged) == broken_rows(dataset)


def test_a_disk_that_cannot_be_read_is_damage_with_a_name(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("tonearm.dataio.mapped_shards.read_crc32", refuse)
    with pytest.raises(ShardError, match="shard-00000.h5, clip 'class0/clip00.wav': cannot be read .Input/output"):
        list(ClipLoader(open_dataset(damaged), batch_size=4))


def test_a_dataset_that_is_damaged_all_over_ends(tmp_path: Path, recordings: Path) -> None:
    shutil.copytree(recordings / "pcm16", tmp_path / "out")
    for path in (tmp_path / "out").glob("shard-*.h5"):
        path.unlink()
    dataset = open_dataset(tmp_path / "out")
    with pytest.raises(ShardError, match="every clip of this epoch is damaged; the first: .* missing. Run the "):
        list(ClipLoader(dataset, batch_size=4, shuffle=True, on_corrupt="skip"))
    with pytest.raises(ShardError, match="every clip of this epoch is damaged; the first: "):
        list(ClipLoader(dataset, batch_size=4, on_corrupt="skip"))


def test_a_shard_that_shrinks_while_it_is_not_mapped_is_refused(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tonearm.dataio.mapped_shards._MAX_MAPPED", 1)
    dataset = open_dataset(damaged)
    rows = [int(np.flatnonzero(dataset.table.shard == number)[-1]) for number in (0, 1)]
    for row in rows:
        dataset.payload(row, verify="never")
    path = damaged / "shard-00000.h5"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(ShardError, match=r"\d+ bytes, but \d+ were packed"):
        dataset.payload(rows[0], verify="never")
