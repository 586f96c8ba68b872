"""The record of a benchmark: a JSON file with a schema, written whole or not at all, checked when it is read.

The raw passes are what was measured; rates and ratios stand beside them for readers that are not tonearm. A file whose
rates do not follow from its passes is refused, so no figure can be shown that was not measured.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from tonearm.benchmarks.environment import Environment
from tonearm.benchmarks.harness import Measurement, Role, Spread, best_peer
from tonearm.dataio.atomic import write_text
from tonearm.errors import RequestError
from tonearm.strict_model import Several, StrictModel

SCHEMA_VERSION = 2
RELATIVE_TOLERANCE = 1e-9  # of a figure derived again from its passes: the same arithmetic, up to rounding
NAME_ANOTHER = "Name a file that `tonearm bench` wrote."

Setting = str | int | float | bool | None


class Result(StrictModel):
    """One contestant: its passes, and what follows from them.

    Attributes:
        name: the contestant.
        role: own, ceiling or peer.
        group: what it is compared within.
        ceiling: name of the result that bounds this one.
        note: what a reader has to know.
        num_clips: clips of one pass.
        seconds: of each repeat's pass, in the order of repeats.
        clips_per_second: over the repeats.
        ratio_to_ceiling: rate over the ceiling's, paired by repeat.
        ratio_to_best_peer: rate over that of the peer of its group with the highest median, paired by repeat; a ceiling
            has none.
    """

    name: str
    role: Role
    group: str
    ceiling: str | None
    note: str
    num_clips: int = Field(gt=0)
    seconds: Several[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    clips_per_second: Spread
    ratio_to_ceiling: Spread | None
    ratio_to_best_peer: Spread | None

    def measurement(self) -> Measurement:
        """What was measured, without what was derived."""
        return Measurement(
            name=self.name,
            role=self.role,
            group=self.group,
            ceiling=self.ceiling,
            note=self.note,
            num_clips=self.num_clips,
            seconds=self.seconds,
        )


class BenchmarkReport(StrictModel):
    """One benchmark: an interleaved run, or several whose groups are not compared with each other.

    Attributes:
        schema_version: of this format.
        benchmark: what was measured: "loader", "pack", "augment", "train".
        settings: what the run was asked for: clips, batch size, seconds a clip …
        environment: where and when.
        results: in the order of the table.
    """

    schema_version: int
    benchmark: str
    settings: dict[str, Setting]
    environment: Environment
    results: Several[Result] = Field(min_length=1)

    @model_validator(mode="after")
    def _figures_follow_from_passes(self) -> "BenchmarkReport":
        if len({result.name for result in self.results}) < len(self.results):
            raise ValueError("two results have the same name")
        by_name = {result.name: result for result in self.results}
        for result in self.results:
            partners = [other for other in self.results if other.group == result.group]
            partners += [by_name[result.ceiling]] if result.ceiling in by_name else []
            if any(len(other.seconds) != len(result.seconds) for other in partners):
                raise ValueError(
                    "results that are compared differ in their number of repeats, so they are not of one run"
                )
        derived = _results([result.measurement() for result in self.results])
        for stored, expected in zip(self.results, derived, strict=True):
            if not _close(stored.model_dump(mode="json"), expected.model_dump(mode="json")):
                raise ValueError(f"the rates or ratios of {stored.name!r} do not follow from its passes")
        return self


def build_report(
    benchmark: str,
    measurements: Sequence[Measurement],
    *,
    settings: dict[str, Setting],
    environment: Environment,
) -> BenchmarkReport:
    """The report of what :func:`~tonearm.benchmarks.harness.measure` returned."""
    return BenchmarkReport(
        schema_version=SCHEMA_VERSION,
        benchmark=benchmark,
        settings=settings,
        environment=environment,
        results=_results(measurements),
    )


def save_report(report: BenchmarkReport, path: Path) -> None:
    """Write ``report`` as JSON, atomically; the folder must exist."""
    write_text(path, report.model_dump_json(indent=2) + "\n")


def load_report(path: Path) -> BenchmarkReport:
    """Read a report and check it.

    Raises:
        RequestError: the file is missing, not JSON, of another schema version, or its figures do not hold together.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
    except OSError as error:
        raise RequestError(f"{path}: cannot be read ({error.strerror}). {NAME_ANOTHER}") from error
    except ValueError as error:
        raise RequestError(f"{path}: not JSON ({error}). {NAME_ANOTHER}") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise RequestError(
            f"{path}: schema_version is {version!r}, but this tonearm reads {SCHEMA_VERSION}. Run the benchmark "
            "again, or read the file with the tonearm that wrote it."
        )
    try:
        return BenchmarkReport.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the report"
        raise RequestError(f"{path}: {where}: {first['msg']}. {NAME_ANOTHER}") from error


def _results(measurements: Sequence[Measurement]) -> tuple[Result, ...]:
    by_name = {measurement.name: measurement for measurement in measurements}
    results = []
    for measurement in measurements:
        if measurement.ceiling is not None and measurement.ceiling not in by_name:
            raise ValueError(f"the ceiling {measurement.ceiling!r} of {measurement.name!r} is not in the run")
        peer = best_peer(measurements, measurement.group)
        results.append(
            Result(
                name=measurement.name,
                role=measurement.role,
                group=measurement.group,
                ceiling=measurement.ceiling,
                note=measurement.note,
                num_clips=measurement.num_clips,
                seconds=measurement.seconds,
                clips_per_second=measurement.clips_per_second(),
                ratio_to_ceiling=measurement.ratio_to(by_name[measurement.ceiling]) if measurement.ceiling else None,
                ratio_to_best_peer=measurement.ratio_to(peer)
                if peer and measurement.role is not Role.CEILING
                else None,
            )
        )
    return tuple(results)


def _close(stored: Any, derived: Any) -> bool:
    """Whether two plain structures are equal, floats up to RELATIVE_TOLERANCE."""
    if isinstance(stored, dict) and isinstance(derived, dict):
        return stored.keys() == derived.keys() and all(_close(stored[key], derived[key]) for key in stored)
    if isinstance(stored, float) and isinstance(derived, float):
        return math.isclose(stored, derived, rel_tol=RELATIVE_TOLERANCE)
    return bool(stored == derived)
