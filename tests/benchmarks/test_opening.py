"""Opening very many clips: a real dataset, measured in processes of its own."""

from pathlib import Path

import pytest

from tonearm.benchmarks import opening
from tonearm.benchmarks.opening import OpeningReport, bench_opening, to_markdown
from tonearm.dataio import open_dataset
from tonearm.errors import RequestError, RunError


@pytest.mark.slow
def test_a_small_one_is_measured_and_kept(tmp_path: Path) -> None:
    said: list[str] = []
    report = bench_opening(tmp_path, num_clips=600, num_shards=20, repeats=2, announce=said.append)
    assert any("packing 600 clips into 20 shards" in line for line in said)
    assert report.num_shards == 20
    assert len(open_dataset(next(tmp_path.glob("open-*/packed")))) == 600
    assert len(report.open_seconds) == 2
    resumed = (report.resume_seconds, report.resume_balanced_seconds, report.resume_window_seconds)
    assert [len(seconds) for seconds in resumed] == [2, 2, 2]
    assert min(*report.open_seconds, *sum(resumed, ())) > 0
    assert 2**24 < min(report.peak_memory_bytes) < 300e6  # no torch in it
    assert OpeningReport.model_validate_json(report.model_dump_json()) == report
    table = to_markdown(report)
    assert [line.split(" | ")[0].strip("| ") for line in table.splitlines()[4:]] == [
        "open the dataset",
        "peak memory of the process once it is open, torch not imported yet",
        "first batch of a shuffled epoch",
        "first batch after resuming in the middle of a shuffled epoch",
        "the same, classes balanced",
        'the same, shuffle="window"',
    ]
    assert "600 clips in 20 shards, at most 1024 open files, 2 repeats" in table
    again = bench_opening(tmp_path, num_clips=600, num_shards=20, repeats=1, announce=said.append)
    assert again.num_clips == 600
    assert sum("packing" in line for line in said) == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", opening.RESUMED)
def test_a_resume_that_goes_on_elsewhere_is_not_reported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetful = """
import numpy
plan = ClipLoader._plan
def other_plan(self, epoch):
    rows, draws = plan(self, epoch)
    return numpy.roll(rows, "state" in asked), draws
ClipLoader._plan = other_plan
"""
    monkeypatch.setattr(opening, "RESUMED", {name: opening.RESUMED[name]} | opening.RESUMED)
    monkeypatch.setattr(opening, "_BEGIN", opening._BEGIN + forgetful)
    with pytest.raises(RunError, match=rf"the resumed pass \({name}\) yielded other clips than a pass that was not"):
        bench_opening(tmp_path, num_clips=600, num_shards=20, repeats=1)


@pytest.mark.slow
def test_who_resumes_has_computed_no_order_and_no_hash_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = """
done = 0
def counted(method):
    def call(*arguments):
        global done
        done += 1
        return method(*arguments)
    return call
ClipLoader._plan, ClipLoader._state = counted(ClipLoader._plan), counted(ClipLoader._state)
time.perf_counter = lambda: float(done**2)
"""
    monkeypatch.setattr(opening, "_BEGIN", opening._BEGIN + clock)
    report = bench_opening(tmp_path, num_clips=600, num_shards=20, repeats=1)
    assert report.first_batch_seconds == (1.0,)
    resumed = (report.resume_seconds, report.resume_balanced_seconds, report.resume_window_seconds)
    assert resumed == ((4.0,),) * 3  # the first two calls; a third, before or within the clock, would make it more


def test_a_pack_by_another_version_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = opening._make(tmp_path, 64, 2, lambda _: None)
    assert opening._make(tmp_path, 64, 2, lambda _: None) == packed
    monkeypatch.setattr(opening, "__version__", "0.0.1")
    said: list[str] = []
    other = opening._make(tmp_path, 64, 2, said.append)
    assert other != packed
    assert len(said) == 1
    with pytest.raises(RunError, match=r"has 64 clips packed by tonearm .*, expected 64 by 0\.0\.1\. Remove it"):
        opening._make(tmp_path, 64, 2, said.append)


def test_numbers_that_make_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="bench open: 10 clips in 20 shards"):
        bench_opening(tmp_path, num_clips=10, num_shards=20)
