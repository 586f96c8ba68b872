"""Recordings that are packed once for all tests of the loader."""

from pathlib import Path

import pytest

from tests.dataio.recordings import folder_of
from tonearm.dataio import Dataset, open_dataset, pack_dataset, read_manifest


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 clips of three classes and three lengths, in WAV (``in``) and packed by each codec."""
    root = tmp_path_factory.mktemp("loader")
    folder_of(root / "in", clips=14)
    rows = [f"{path.relative_to(root / 'in')},{path.parent.name},{i % 3 + 1}" for i, path in
            enumerate(sorted((root / "in").rglob("*.wav")))]  # fmt: skip
    (root / "in" / "clips.csv").write_text("path,label,fold\n" + "\n".join(rows) + "\n")
    for codec in ("pcm16", "flac", "source"):
        pack_dataset(read_manifest("csv", root / "in" / "clips.csv"), root / codec, codec=codec, shard_bytes=40_000)
    return root


@pytest.fixture
def dataset(recordings: Path) -> Dataset:
    return open_dataset(recordings / "pcm16")
