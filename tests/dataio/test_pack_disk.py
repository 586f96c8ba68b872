"""A disk without room: refused before anything is written, or stopped with everything that is whole kept."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.dataio.recordings import sound, write
from tonearm.dataio import open_dataset, pack_dataset
from tonearm.dataio import shard_tasks as shard_tasks_module
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.errors import RunError

MIB = 1 << 20
NUM_CLIPS = 24
FRAMES = MIB // 4  # half a MiB as 16-bit samples: 12 MiB in all


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"mounting a small disk is not permitted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("recordings")
    names = [f"{number:02d}.wav" for number in range(NUM_CLIPS)]
    for number, name in enumerate(names):
        write(root / name, sound(FRAMES, seed=number))
    return Manifest("made", root, ("thing",), tuple(Clip(name, name, (0,)) for name in names))


def fill(place: Path, leave: int) -> Path:
    """A file of somebody else's, which leaves so many bytes free."""
    free = int(subprocess.run(["stat", "-f", "-c", "%f", str(place)], capture_output=True, check=True).stdout) * 4096
    path = place / "somebody's"
    with path.open("ab") as file:
        file.write(bytes(free - leave))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_fills_up_meanwhile_stops_the_pack_and_leaves_it_resumable(
    tmp_path: Path, disk: Path, manifest: Manifest, workers: int
) -> None:
    pack_dataset(manifest, tmp_path / "whole", shard_bytes=MIB)
    other: list[Path] = []

    check = shard_tasks_module.check_free_space

    def check_then_fill(out: Path, needed: int, codec: str) -> None:
        check(out, needed, codec)
        other.append(fill(disk, leave=5 * MIB))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_tasks_module, "check_free_space", check_then_fill)
        with pytest.raises(
            RunError,
            match=r"shard-000\d\d.h5: cannot be written \(No space left on device\); the disk has [\d.]+ MB free, this "
            r"file needs 1.0 MB. Make room and run the same command again",
        ):
            pack_dataset(manifest, disk / "out", num_workers=workers, shard_bytes=MIB)
    left = contents(disk / "out")
    assert left
    assert all(content == (tmp_path / "whole" / name).read_bytes() for name, content in left.items())
    other[-1].unlink()
    summary = pack_dataset(manifest, disk / "out", num_workers=workers, shard_bytes=MIB)
    assert summary.num_kept == len(left)
    assert contents(disk / "out") == contents(tmp_path / "whole")


def test_no_room_for_the_index_is_said_too(tmp_path: Path, disk: Path, manifest: Manifest) -> None:
    pack_dataset(manifest, disk / "out", shard_bytes=MIB)
    whole = contents(disk / "out")
    for name in ("index.json", "index.h5", "rejects.csv"):
        (disk / "out" / name).unlink()
    for leave in (0, 4096, 8192, 12_288):
        other = fill(disk, leave=leave)
        with pytest.raises(RunError, match=r"(?s)cannot be written \(.*No space left"):
            pack_dataset(manifest, disk / "out", shard_bytes=MIB)
        other.unlink()
        assert not (disk / "out" / "index.json").exists()
    assert pack_dataset(manifest, disk / "out", shard_bytes=MIB).num_kept == 12
    assert contents(disk / "out") == whole


@pytest.mark.parametrize("codec", ["pcm16", "source", "flac"])
def test_what_does_not_fit_is_refused_before_anything_is_written(disk: Path, manifest: Manifest, codec: str) -> None:
    fill(disk, leave=5 * MIB)
    needed = "6.7" if codec == "flac" else "13.0"  # 12.6 MB of audio, or half of it, and the metadata of 12 shards
    with pytest.raises(RunError, match=rf"{needed} MB are needed here.*, but 5.2 MB are free on this disk. Make room"):
        pack_dataset(manifest, disk / "out", codec=codec, shard_bytes=MIB)
    assert not list((disk / "out").iterdir())


def test_what_finished_shards_take_is_not_asked_for_again(disk: Path, manifest: Manifest) -> None:
    pack_dataset(manifest, disk / "out", shard_bytes=MIB)
    whole = contents(disk / "out")
    (disk / "out" / "shard-00003.h5").unlink()
    fill(disk, leave=2 * MIB)
    assert pack_dataset(manifest, disk / "out", shard_bytes=MIB).num_kept == 11
    assert contents(disk / "out") == whole
    assert np.array_equal(open_dataset(disk / "out").table.num_frames, [FRAMES] * NUM_CLIPS)
