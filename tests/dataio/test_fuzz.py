"""Hostile shards and indexes: refused or harmless, whatever is wrong with them."""

import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.dataio.fuzz import prepare

TIME_LIMIT_SECONDS = 1500


@pytest.mark.slow
def test_thousands_of_mutations_are_refused_or_harmless(tmp_path: Path) -> None:
    prepare(tmp_path)
    jobs = [["1050", "0", "damage", "damage", "lie"], ["1050", "1", "damage", "damage", "lie"], ["150", "2", "stream"]]
    with ExitStack() as stack:
        # Files, not pipes: a pipe that nobody reads fills up with warnings, and then the process stands still.
        logs = [stack.enter_context((tmp_path / f"log-{job[1]}").open("w+")) for job in jobs]
        running = [
            subprocess.Popen([sys.executable, "-m", "tests.dataio.fuzz", str(tmp_path), *job], stdout=subprocess.PIPE,
                             stderr=log, text=True, cwd=Path(__file__).parents[2])
            for job, log in zip(jobs, logs, strict=True)
        ]  # fmt: skip
        outputs = [process.communicate(timeout=TIME_LIMIT_SECONDS)[0] for process in running]
    counts: Counter[str] = Counter()
    for job, process, out in zip(jobs, running, outputs, strict=True):
        log = (tmp_path / f"log-{job[1]}").read_text()
        assert process.returncode == 0, log
        found = json.loads(out)
        assert found["failures"] == [], log
        counts.update(found["counts"])
    assert counts.total() == 2250
    assert counts["damage: refused"] > 1000  # of 1400: nearly every byte counts
    assert counts["lie: refused"] > 500  # of 700
    assert counts["stream: refused"] > 100  # of 150
