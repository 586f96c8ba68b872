import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tonearm.benchmarks.environment import Environment
from tonearm.benchmarks.harness import Measurement, Role, Spread
from tonearm.benchmarks.report import SCHEMA_VERSION, BenchmarkReport, build_report, load_report, save_report
from tonearm.benchmarks.table import COLUMNS, to_markdown, to_rich
from tonearm.errors import RequestError

ENVIRONMENT = Environment(
    commit="0123456789abcdef",
    dirty=True,
    date="2026-01-02T03:04:05+00:00",
    device="A card",
    driver=None,
    cpu="A processor",
    cores=6,
    threads=5,
    memory_bytes=2**34,
    load_average=0.25,
    operating_system="Linux",
    versions={"tonearm": "0.1.0", "torch": "2.14.1", "dali": None},
)


def measurement(
    name: str, role: Role, *seconds: float, group: str = "", ceiling: str | None = None, note: str = ""
) -> Measurement:
    return Measurement(name=name, role=role, group=group, ceiling=ceiling, note=note, num_clips=100, seconds=seconds)


@pytest.fixture
def report() -> BenchmarkReport:
    return build_report(
        "loader",
        [
            measurement("own", Role.OWN, 0.2, 0.4, 0.8, ceiling="copy", note="a | b [bold]"),
            measurement("copy", Role.CEILING, 0.1, 0.2, 0.4),
            measurement("slow peer", Role.PEER, 2.0, 4.0, 8.0, ceiling="copy"),
            measurement("fast peer", Role.PEER, 1.0, 2.0, 4.0, ceiling="copy"),
        ],
        settings={"num_clips": 100, "page_cache": "warm"},
        environment=ENVIRONMENT,
    )


def test_ratios_are_to_the_named_ceiling_and_to_the_best_peer(report: BenchmarkReport) -> None:
    own, copy, slow, fast = report.results
    assert own.clips_per_second == Spread(187.5, 250.0, 375.0)
    assert own.ratio_to_ceiling == Spread(0.5, 0.5, 0.5)
    assert own.ratio_to_best_peer == Spread(5.0, 5.0, 5.0)
    assert (copy.ratio_to_ceiling, copy.ratio_to_best_peer) == (None, None)
    assert slow.ratio_to_best_peer == Spread(0.5, 0.5, 0.5)
    assert fast.ratio_to_best_peer == Spread(1.0, 1.0, 1.0)


@pytest.fixture
def grouped() -> BenchmarkReport:
    return build_report(
        "loader",
        [
            measurement("own pcm", Role.OWN, 1.0, 1.0, group="pcm", ceiling="copy"),
            measurement("own flac", Role.OWN, 4.0, 4.0, group="flac", ceiling="copy"),
            measurement("copy", Role.CEILING, 0.5, 0.5, group="pcm"),
            measurement("pcm peer", Role.PEER, 3.0, 3.0, group="pcm"),
            measurement("flac peer", Role.PEER, 8.0, 8.0, group="flac"),
            measurement("own cold", Role.OWN, 2.0, group="cold"),
        ],
        settings={"num_clips": 100},
        environment=ENVIRONMENT,
    )


def test_a_row_is_compared_with_the_best_peer_of_its_group(grouped: BenchmarkReport, tmp_path: Path) -> None:
    ratios = {result.name: result.ratio_to_best_peer for result in grouped.results}
    assert ratios == {
        "own pcm": Spread(3.0, 3.0, 3.0),
        "own flac": Spread(2.0, 2.0, 2.0),
        "copy": None,
        "pcm peer": Spread(1.0, 1.0, 1.0),
        "flac peer": Spread(1.0, 1.0, 1.0),
        "own cold": None,
    }
    save_report(grouped, tmp_path / "report.json")
    assert load_report(tmp_path / "report.json") == grouped


def test_groups_are_sections_of_the_table(grouped: BenchmarkReport) -> None:
    lines = to_markdown(grouped).splitlines()
    headings = [line for line in lines if line.startswith("### ")]
    assert headings == ["### pcm", "### flac", "### cold"]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")]
    head = ["contestant", "---"]
    assert rows == [*head, "own pcm", "copy", "pcm peer", *head, "own flac", "flac peer", *head, "own cold"]
    assert "interleaved repeats: 2 of pcm and flac, 1 of cold" in lines[0]
    console = Console(file=io.StringIO(), width=160)
    console.print(to_rich(grouped))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert shown.index("own pcm") < shown.index("copy") < shown.index("flac") < shown.index("own cold")


def test_a_report_comes_back_as_it_was_saved(report: BenchmarkReport, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    save_report(report, path)
    assert load_report(path) == report
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_without_peers_nothing_is_compared_with_one() -> None:
    report = build_report("augment", [measurement("own", Role.OWN, 1.0)], settings={}, environment=ENVIRONMENT)
    assert report.results[0].ratio_to_best_peer is None


def set_version(data: dict[str, Any]) -> None:
    data["schema_version"] = SCHEMA_VERSION + 1


def drop_version(data: dict[str, Any]) -> None:
    del data["schema_version"]


def polish_rate(data: dict[str, Any]) -> None:
    data["results"][0]["clips_per_second"]["median"] *= 1.01


def polish_ratio(data: dict[str, Any]) -> None:
    data["results"][0]["ratio_to_best_peer"]["median"] = 6.0


def lose_ceiling(data: dict[str, Any]) -> None:
    del data["results"][1]


def rename_twice(data: dict[str, Any]) -> None:
    data["results"][2]["name"] = "own"


def fewer_repeats(data: dict[str, Any]) -> None:
    data["results"][1]["seconds"].pop()


def move_to_another_group(data: dict[str, Any]) -> None:
    data["results"][3]["group"] = "elsewhere"


def no_time(data: dict[str, Any]) -> None:
    data["results"][0]["seconds"][0] = 0.0


def unknown_key(data: dict[str, Any]) -> None:
    data["results"][0]["predicted"] = 1.0


def unknown_role(data: dict[str, Any]) -> None:
    data["results"][0]["role"] = "winner"


def no_results(data: dict[str, Any]) -> None:
    data["results"] = []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_version, r"schema_version is 3, but this tonearm reads 2\. Run the benchmark again"),
        (drop_version, "schema_version is None"),
        (polish_rate, "the rates or ratios of 'own' do not follow from its passes"),
        (polish_ratio, "the rates or ratios of 'own' do not follow from its passes"),
        (lose_ceiling, "the ceiling 'copy' of 'own' is not in the run"),
        (rename_twice, "two results have the same name"),
        (fewer_repeats, "differ in their number of repeats"),
        (move_to_another_group, "the rates or ratios of 'own' do not follow from its passes"),
        (no_time, r"results\.0\.seconds\.0: Input should be greater than 0"),
        (unknown_key, r"results\.0\.predicted"),
        (unknown_role, r"results\.0\.role"),
        (no_results, "results"),
    ],
)
def test_a_file_that_does_not_hold_together_is_refused(
    report: BenchmarkReport, tmp_path: Path, change: Any, message: str
) -> None:
    data = json.loads(report.model_dump_json())
    change(data)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data))
    with pytest.raises(RequestError, match=message) as caught:
        load_report(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "not JSON"), (b"[1]", "schema_version is None"), (b"\xff\xfe", "not JSON")]
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message):
        load_report(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"nothing\.json: cannot be read \(No such file or directory\)"):
        load_report(tmp_path / "nothing.json")


def test_the_markdown_has_every_row_losses_included(report: BenchmarkReport) -> None:
    conditions, _, header, rule, *rows = to_markdown(report).splitlines()
    assert [cell.strip() for cell in header.strip("|").split("|")] == list(COLUMNS)
    assert rule == "| --- | ---: | ---: | ---: | ---: | --- |"
    assert rows == [
        "| own | 250 | 188 – 375 | 0.5 | 5 | a \\| b [bold] |",
        "| copy | 500 | 375 – 750 | – | – |  |",
        "| slow peer | 25 | 18.8 – 37.5 | 0.05 | 0.5 |  |",
        "| fast peer | 50 | 37.5 – 75 | 0.1 | 1 |  |",
    ]
    for part in ("num_clips 100", "3 interleaved repeats", "A card, 6 cores, 5 threads", "DALI absent", "2026-01-02"):
        assert part in conditions
    assert "commit 0123456789 with uncommitted changes; load average before 0.2" in conditions


def test_the_terminal_shows_the_same_cells(report: BenchmarkReport) -> None:
    console = Console(file=io.StringIO(), width=160)
    console.print(to_rich(report))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for text in (*COLUMNS, "188 – 375", "a | b [bold]", "fast peer", "0.05"):
        assert text in shown
