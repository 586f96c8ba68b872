"""A dataset of more shards than a process may open files."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.dataio.recordings import manifest_of, sound, write
from tonearm.dataio import pack_dataset

NUM_SHARDS = 1100
OPEN_FILES = 1024


@pytest.mark.slow
def test_every_clip_of_more_shards_than_open_files(tmp_path: Path) -> None:
    names = [f"{number}.wav" for number in range(NUM_SHARDS)]
    for number, name in enumerate(names):
        write(tmp_path / "in" / name, sound(64, seed=number))
    pack_dataset(manifest_of(tmp_path / "in", names), tmp_path / "out", shard_bytes=128)
    code = f"""
        import resource
        resource.setrlimit(resource.RLIMIT_NOFILE, ({OPEN_FILES}, {OPEN_FILES}))
        import torch
        from tests.dataio.recordings import sound
        from tonearm.dataio import ClipLoader, open_dataset
        dataset = open_dataset({str(tmp_path / "out")!r})
        assert not dataset._shards._known, "opening must not touch a shard"
        rows = []
        for _ in range(2):
            for batch in ClipLoader(dataset, batch_size=50, shuffle=True, residency="stream"):
                for waveform, row in zip(batch.waveform, batch.clip_index.tolist(), strict=True):
                    expected = torch.from_numpy(sound(64, seed=int(dataset.clip_id(row)[:-4])).T) / 32768
                    assert torch.equal(waveform, expected), row
                    rows.append(row)
        print(len(set(rows)), max(dataset._shards._known) + 1, len(dataset._shards._maps))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(NUM_SHARDS), str(NUM_SHARDS), str(OPEN_FILES // 4)]
