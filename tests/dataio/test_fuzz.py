"""Hostile shards and indexes: refused or harmless, whatever is wrong with them."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.dataio.fuzz import prepare

NUM_MUTATIONS = 2100
NUM_PROCESSES = 2
TIME_LIMIT_SECONDS = 1500


@pytest.mark.slow
def test_thousands_of_mutations_are_refused_or_harmless(tmp_path: Path) -> None:
    prepare(tmp_path)
    words = [sys.executable, "-m", "tests.dataio.fuzz", str(tmp_path), str(NUM_MUTATIONS // NUM_PROCESSES)]
    running = [
        subprocess.Popen([*words, str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         cwd=Path(__file__).parents[2])
        for seed in range(NUM_PROCESSES)
    ]  # fmt: skip
    counts: Counter[str] = Counter()
    for process in running:
        out, err = process.communicate(timeout=TIME_LIMIT_SECONDS)
        assert process.returncode == 0, err
        found = json.loads(out)
        assert found["failures"] == [], err
        counts.update(found["counts"])
    assert counts.total() == NUM_MUTATIONS
    assert counts["damage: refused"] > NUM_MUTATIONS // 2  # nearly every byte counts
    assert counts["lie: refused"] > NUM_MUTATIONS // 4
