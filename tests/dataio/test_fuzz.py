"""Hostile shards and indexes: refused or harmless, whatever is wrong with them."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.dataio.fuzz import prepare

TIME_LIMIT_SECONDS = 1500


@pytest.mark.slow
def test_thousands_of_mutations_are_refused_or_harmless(tmp_path: Path) -> None:
    prepare(tmp_path)
    jobs = [["1050", "0", "damage", "damage", "lie"], ["1050", "1", "damage", "damage", "lie"], ["150", "2", "stream"]]
    running = [
        subprocess.Popen([sys.executable, "-m", "tests.dataio.fuzz", str(tmp_path), *job], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        for job in jobs
    ]  # fmt: skip
    counts: Counter[str] = Counter()
    for process in running:
        out, err = process.communicate(timeout=TIME_LIMIT_SECONDS)
        assert process.returncode == 0, err
        found = json.loads(out)
        assert found["failures"] == [], err
        counts.update(found["counts"])
    assert counts.total() == 2250
    assert counts["damage: refused"] > 1000  # of 1400: nearly every byte counts
    assert counts["lie: refused"] > 500  # of 700
    assert counts["stream: refused"] > 100  # of 150
