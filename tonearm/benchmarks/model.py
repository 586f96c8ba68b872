"""Networks, measured by themselves: clips/s, memory and the share of the device's matrix rate, system by system.

A clip's FLOPs are counted, not measured: two for each multi-add of the forward pass (tonearm.models.count), and three
times as many with the backward pass, which multiplies once for the gradient of the input and once for that of the
weights. The ceiling is what the device would score if it did these at the rate of one large product of square matrices
in the row's dtype, measured in the same interleaved run. So "of its ceiling" is the share of the matrix rate; a library
that convolves with fewer multiplications than counted (Winograd) may pass it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import torch

from tonearm.benchmarks.environment import current_environment
from tonearm.benchmarks.harness import Contestant, Measurement, measure
from tonearm.benchmarks.matrix_rate import MatrixProduct, rate_text
from tonearm.benchmarks.model_rows import PRECISIONS, Pass, Row, rows_of
from tonearm.benchmarks.model_trials import BenchedSystem, LeftOut, Trial
from tonearm.benchmarks.report import BenchmarkReport, build_report
from tonearm.config import TrainConfig
from tonearm.errors import RequestError, RunError
from tonearm.models import System
from tonearm.models.count import count_costs
from tonearm.training.precision import resolve_precision

BATCH_SIZES = {"cuda": 32, "cpu": 4}
MIN_SECONDS = 0.25  # of a timed pass; one call takes from a millisecond (a GPU) to many seconds (two cores)
FLOP_PER_MULTI_ADD = {Pass.FORWARD: 2, Pass.TRAINING: 6}
NOT_ASKED_FOR = "--compiled also times these; on a CPU each takes a minute or more to compile"
_COMPILED_GRAPHS = 64  # of one function; torch's limit of 8 is against compiling again by accident


def bench_model(
    systems: Sequence[System],
    *,
    batch_size: int | None = None,
    duration_seconds: float = 5.0,
    repeats: int = 5,
    device: torch.device | str = "cpu",
    compiled: bool | None = None,
    only: str = "",
    announce: Callable[[str], None] = lambda _: None,
) -> BenchmarkReport:
    """Measure forward, and forward and backward, in every precision, memory format and mode that the device has.

    One system lies in memory at a time. A row that does not fit into it, does not compile or gives something else than
    fp32 contiguous eager is left out; ``settings["left_out"]`` of the report says which and why.

    Args:
        systems: each with a name of its own.
        batch_size: clips; None: 32 on a GPU, 4 on a CPU.
        duration_seconds: of each clip.
        repeats: timed passes of each row.
        device: where.
        compiled: also the rows under torch.compile; None: on a GPU.
        only: a regular expression; rows are measured in whose name it is found.
        announce: told what is about to run.

    Returns:
        The report. A row's note has its rate beside the plain row's, paired by repeat, its FLOP/s and its peak memory.

    Raises:
        RequestError: numbers that make no batch, or an expression that leaves no row.
        ShapeError: clips too short for a network.
        RunError: every row was left out.
    """
    device = torch.device(device)
    batch_size = BATCH_SIZES[device.type] if batch_size is None else batch_size
    if batch_size < 1 or not duration_seconds > 0:
        raise RequestError(
            f"bench model: batch_size is {batch_size} and duration_seconds {duration_seconds}; both must be positive."
        )
    names = [system.name for system in systems]
    if len(set(names)) < len(names) or not names:
        raise RequestError(f"bench model: the systems are {', '.join(names) or 'none'}; name each once.")
    wanted = [(system, _wanted(system.name, only)) for system in systems]
    if not any(rows for _, rows in wanted):
        raise RequestError(
            f"bench model: only is {only!r}, which is found in no row's name, such as {rows_of(names[0])[0].name!r}."
        )
    environment = current_environment(device)
    refused = _refused(device, compiled=device.type == "cuda" if compiled is None else compiled)
    every_name = " ".join(row.name for _, rows in wanted for row in rows)
    left_out = {word: reason for word, reason in refused.items() if word in every_name.split()}
    measurements: list[Measurement] = []
    for system, rows in wanted:
        possible = [row for row in rows if not refused.keys() & row.name.split()]
        if possible:
            run = _SystemRun(system, batch_size, duration_seconds, device, announce)
            measurements += run.measure(possible, repeats=repeats)
            left_out |= run.left_out
    if not measurements:
        raise RunError(f"bench model: every row was left out, so nothing was timed: {_reasons(left_out)}.")
    return build_report(
        "model",
        measurements,
        settings={
            "batch_size": batch_size,
            "duration_seconds": duration_seconds,
            "device": str(device),
            **({"only": only} if only else {}),
            **({"left_out": _reasons(left_out)} if left_out else {}),
        },
        environment=environment,
    )


@dataclass
class _SystemRun:
    """One system: tried row by row, then timed in one interleaved run together with its ceilings."""

    system: System
    batch_size: int
    duration_seconds: float
    device: torch.device
    announce: Callable[[str], None]
    left_out: dict[str, str] = field(default_factory=dict)

    def measure(self, rows: Sequence[Row], *, repeats: int) -> list[Measurement]:
        """Ceilings and rows, pass by pass; ``left_out`` then has the others. None if there are no rows left."""
        self.announce(f"building {self.system.name}")
        with ExitStack() as stack:
            stack.enter_context(torch._dynamo.config.patch(recompile_limit=_COMPILED_GRAPHS))
            stack.callback(torch.compiler.reset)  # or the next system's graphs would come on top of these
            # of weights, and of dropout
            stack.enter_context(torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []))
            try:
                bench = BenchedSystem(
                    self.system,
                    batch_size=self.batch_size,
                    duration_seconds=self.duration_seconds,
                    device=self.device,
                )
            except LeftOut as reason:
                self.left_out[self.system.name] = str(reason)
                return []
            trials = self._trials(bench, rows)
            if not trials:
                return []
            products = {row.precision: MatrixProduct(row.precision, self.device) for row in trials}
            contestants = [product.contestant(_product_name(name)) for name, product in products.items()]
            # what a check would look at, the trial has looked at
            contestants += [Contestant(row.name, bench.pass_of(row), group=row.what) for row in trials]
            measurements = measure(
                contestants, repeats=repeats, min_seconds=MIN_SECONDS, device=self.device, announce=self.announce
            )
        return self._told(trials, products, {each.name: each for each in measurements})

    def _trials(self, bench: BenchedSystem, rows: Sequence[Row]) -> dict[Row, Trial]:
        trials = {}
        for row in rows:
            self.announce(f"trying {row.name}")
            try:
                trials[row] = bench.try_out(row)
            except LeftOut as reason:
                self.left_out[row.name] = str(reason)
        return trials

    def _told(
        self, trials: Mapping[Row, Trial], products: Mapping[str, MatrixProduct], measured: Mapping[str, Measurement]
    ) -> list[Measurement]:
        """The table's rows: a ceiling for each pass and precision, then the network's, with notes."""
        costs = count_costs(self.system, duration_seconds=self.duration_seconds, batch_size=1)
        told = []
        for what in Pass:
            tried = {row: trial for row, trial in trials.items() if row.what is what}
            flop = FLOP_PER_MULTI_ADD[what] * costs.multi_adds
            group = f"{self.system.name}, {what}: {flop / 1e9:.3g} GFLOP a clip, {costs.parameters:,} parameters"
            told += [
                products[precision].ceiling(
                    measured[_product_name(precision)],
                    name=_ceiling(self.system.name, what, precision),
                    group=group,
                    num_clips=self.batch_size,
                    flop_per_clip=flop,
                )
                for precision in dict.fromkeys(row.precision for row in tried)
            ]
            for row, trial in tried.items():
                mine, plain = measured[row.name], measured.get(row.plain.name)
                ceiling = _ceiling(self.system.name, what, row.precision)
                note = _note(mine, plain, trial, flop_per_clip=flop)
                told.append(replace(mine, group=group, ceiling=ceiling, note=note))
        return told


def _wanted(system: str, only: str) -> list[Row]:
    try:
        pattern = re.compile(only)
    except re.error as error:
        raise RequestError(f"bench model: only is {only!r}, which is no regular expression: {error}.") from error
    return [row for row in rows_of(system) if pattern.search(row.name)]


def _refused(device: torch.device, *, compiled: bool) -> dict[str, str]:
    """Words of row names, and why no such row is tried: precisions that training refuses too, and what is not asked."""
    refused = {} if compiled else {"compiled": NOT_ASKED_FOR}
    for precision in PRECISIONS:
        try:
            resolve_precision(TrainConfig.model_validate({"precision": precision}), device)
        except RequestError as error:
            refused[precision] = str(error)
    return refused


def _note(mine: Measurement, plain: Measurement | None, trial: Trial, *, flop_per_clip: int) -> str:
    parts = [
        rate_text(mine.clips_per_second().median * flop_per_clip),
        f"peak {_size(trial.peak_bytes)}",
    ]
    if plain is not None and mine is not plain:
        parts.insert(0, f"{mine.ratio_to(plain).median:.3g} × fp32 contiguous eager")
    if trial.compile_seconds:
        parts.append(f"compiled in {trial.compile_seconds:.0f} s")
    if trial.loss_scale != 1:
        parts.append(f"loss scale {trial.loss_scale:g}")
    return "; ".join(parts)


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.0f} MB"


def _product_name(precision: str) -> str:
    return f"product of {precision} matrices"


def _ceiling(system: str, what: Pass, precision: str) -> str:
    return f"ceiling: {system} {what}, all at the {precision} matrix rate"


def _reasons(left_out: Mapping[str, str]) -> str:
    """What was left out, by reason: ``fp16 (no such arithmetic), a and b (out of memory)``."""
    reasons = dict.fromkeys(left_out.values())
    return "; ".join(
        f"{', '.join(name for name, why in left_out.items() if why == reason)} ({reason.rstrip('.')})"
        for reason in reasons
    )
