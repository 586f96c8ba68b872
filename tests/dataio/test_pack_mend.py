"""Which shards of an earlier run stay: none whose recordings are others by now, and nothing foreign is written over."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dataio.recordings import folder_of, sound, write
from tonearm.dataio import kept_shards as kept_shards_module
from tonearm.dataio import open_dataset, pack_dataset, read_manifest, relabel_dataset
from tonearm.dataio import shard_tasks as shard_tasks_module
from tonearm.dataio.manifest import Manifest
from tonearm.dataio.shards import Shard
from tonearm.errors import RequestError, ShardError

SHARD_BYTES = 60_000


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return read_manifest("folder", folder_of(tmp_path / "in", clips=24, frames=(8000, 5000, 10_001)))


def test_a_folder_with_a_shards_name_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "out" / "shard-00000.h5").mkdir(parents=True)
    with pytest.raises(RequestError, match=r"shard-00000.h5.*Delete that file, or pack into another folder"):
        pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES)


def test_a_recording_replaced_by_an_older_one_is_noticed(tmp_path: Path, manifest: Manifest) -> None:
    out = tmp_path / "out"
    num_shards = pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).num_shards
    path = tmp_path / "in" / manifest.clips[0].path
    write(tmp_path / "other.wav", sound(8000, seed=99))
    os.utime(tmp_path / "other.wav", ns=(10**18, 10**18))
    time.sleep(0.02)  # what the kernel calls now may lie a tick back
    (tmp_path / "other.wav").replace(path)
    assert pack_dataset(manifest, out, shard_bytes=SHARD_BYTES).num_kept == num_shards - 1
    assert np.array_equal(open_dataset(out).pcm(0, 0, 8000), sound(8000, seed=99))


def test_a_recording_rewritten_while_its_shard_is_packed_is_noticed(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in" / manifest.clips[0].path
    complete = shard_tasks_module.complete_shard

    def rewrite_then_complete(*call: Any) -> Shard:
        if call[1].number == 0:
            time.sleep(0.02)
            write(path, sound(8000, seed=99))
        time.sleep(0.02)
        return complete(*call)

    with monkeypatch.context() as patch:
        patch.setattr(shard_tasks_module, "complete_shard", rewrite_then_complete)
        num_shards = pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES).num_shards
    assert pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES).num_kept == num_shards - 1
    assert np.array_equal(open_dataset(tmp_path / "out").pcm(0, 0, 8000), sound(8000, seed=99))


def test_a_recording_that_is_gone_was_not_written_since(tmp_path: Path) -> None:
    assert kept_shards_module._changed_ns(tmp_path / "gone.wav") == 0


def test_what_is_said_of_a_pack_that_is_not_finished(tmp_path: Path, manifest: Manifest) -> None:
    pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES)
    (tmp_path / "out" / "index.json").unlink()
    with pytest.raises(RequestError, match="the pack is not finished: if it no longer runs, run the same tonearm pack"):
        open_dataset(tmp_path / "out")


def test_a_lost_index_of_a_changed_dataset_is_not_said_to_be_made_again(tmp_path: Path, manifest: Manifest) -> None:
    out = tmp_path / "out"
    pack_dataset(manifest, out, shard_bytes=SHARD_BYTES)
    columns = (out / "index.h5").read_bytes()
    (out / "index.h5").unlink()
    with pytest.raises(ShardError, match=r"index.h5: missing or not .* describes. Run the same tonearm pack again"):
        open_dataset(out)
    (out / "index.h5").write_bytes(columns)
    (tmp_path / "t.csv").write_text("clip_id,fold\nclass0/clip00.wav,4\n")
    relabel_dataset(out, tmp_path / "t.csv")
    (out / "index.h5").unlink()
    with pytest.raises(ShardError, match=r"index.h5: missing or not .* describes. Put back a copy of it"):
        pack_dataset(manifest, out, shard_bytes=SHARD_BYTES)
