"""The demo keeps its promises: it learns what only time can tell, and ends with the throughput tables."""

from pathlib import Path

import pytest

from tonearm.benchmarks.report import BenchmarkReport, load_report
from tonearm.demo import run_demo
from tonearm.errors import RequestError

PROMISED_ACCURACY = 0.8


@pytest.mark.slow
def test_the_demo_reaches_what_it_promises(tmp_path: Path) -> None:
    lines: list[str] = []
    shown: list[BenchmarkReport] = []
    accuracy = run_demo(tmp_path / "demo", say=lines.append, show=shown.append)
    assert accuracy >= PROMISED_ACCURACY
    assert f"held-out accuracy {accuracy:.3f} on 120 clips (fold 1)" in lines
    assert [report.benchmark for report in shown] == ["loader", "augment", "train"]
    for report in shown:
        assert load_report(tmp_path / "demo" / f"{report.benchmark}.json") == report


def test_a_folder_that_is_not_a_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RequestError, match="is not an earlier demo's"):
        run_demo(tmp_path, say=lambda _: None, show=lambda _: None)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
