"""A benchmark report as a table for people: in colour on a terminal, in Markdown for a page."""

from rich.markup import escape
from rich.table import Table

from tonearm.benchmarks.harness import Role, Spread
from tonearm.benchmarks.report import BenchmarkReport, Result

COLUMNS = ("contestant", "clips/s, median", "quartiles", "of its ceiling", "of the best peer", "note")
NUMERIC = (False, True, True, True, True, False)
STYLES = {Role.OWN: "", Role.CEILING: "dim", Role.PEER: "cyan"}
NOT_MEASURED = "–"


def to_rich(report: BenchmarkReport) -> Table:
    """The table for a terminal; print it with a rich Console."""
    table = Table(title=escape(f"tonearm bench {report.benchmark}"), caption=escape(conditions(report)))
    for column, numeric in zip(COLUMNS, NUMERIC, strict=True):
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    for group, results in _sections(report).items():
        if group:
            table.add_section()
            table.add_row(escape(group), style="bold")
        for result in results:
            table.add_row(*map(escape, _cells(result)), style=STYLES[result.role])
    return table


def to_markdown(report: BenchmarkReport) -> str:
    """A table for each group as Markdown, with a line before them that says where and how it was measured."""
    lines = [conditions(report)]
    for group, results in _sections(report).items():
        lines += ["", f"### {group}"] if group else []
        lines += ["", _row(COLUMNS), _row(["---:" if numeric else "---" for numeric in NUMERIC])]
        lines += [_row([cell.replace("|", "\\|") for cell in _cells(result)]) for result in results]
    return "\n".join(lines) + "\n"


def conditions(report: BenchmarkReport) -> str:
    """One line: what was measured, on what, when, by which commit and under what other load."""
    environment = report.environment
    commit = f"commit {environment.commit[:10]}" if environment.commit else f"tonearm {environment.versions['tonearm']}"
    parts = [
        f"{report.benchmark}: " + ", ".join(f"{name} {value}" for name, value in report.settings.items()),
        _repeats(report),
        f"{environment.device}, {environment.cores} cores, {environment.threads} threads",
        f"torch {environment.versions['torch']}, DALI {environment.versions['dali'] or 'absent'}",
        environment.date,
        commit + (" with uncommitted changes" if environment.dirty else ""),
    ]
    if environment.load_average is not None:
        parts.append(f"load average before {environment.load_average:.1f}")
    return "; ".join(parts)


def _sections(report: BenchmarkReport) -> dict[str, list[Result]]:
    """The results by group, in the order in which groups first appear."""
    sections: dict[str, list[Result]] = {}
    for result in report.results:
        sections.setdefault(result.group, []).append(result)
    return sections


def _repeats(report: BenchmarkReport) -> str:
    """How many repeats there were; where groups differ, of which."""
    groups: dict[int, list[str]] = {}
    for group, results in _sections(report).items():
        groups.setdefault(len(results[0].seconds), []).append(group)
    if len(groups) == 1:
        return f"{next(iter(groups))} interleaved repeats"
    return "interleaved repeats: " + ", ".join(f"{count} of {' and '.join(of)}" for count, of in groups.items())


def _cells(result: Result) -> list[str]:
    rate = result.clips_per_second
    return [
        result.name,
        _rate(rate.median),
        f"{_rate(rate.lower_quartile)} – {_rate(rate.upper_quartile)}",
        _ratio(result.ratio_to_ceiling),
        _ratio(result.ratio_to_best_peer),
        result.note,
    ]


def _rate(clips_per_second: float) -> str:
    return f"{clips_per_second:,.0f}" if clips_per_second >= 100 else f"{clips_per_second:.3g}"


def _ratio(ratio: Spread | None) -> str:
    """Three digits, whatever the size: 0.0123, 0.871, 6.12, 14."""
    if ratio is None:
        return NOT_MEASURED
    return f"{ratio.median:.3g}" if ratio.median < 100 else f"{ratio.median:,.0f}"


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
