import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tonearm.benchmarks.augment_steps import StepByStep
from tonearm.benchmarks.harness import measure
from tonearm.gpu_augment import Noise, TimeShiftStretch

SLEEP_SECONDS = 0.01


class Slow(Noise):
    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        time.sleep(SLEEP_SECONDS)
        return super().effect(clips, parameters, lengths)


@pytest.fixture(scope="module")
def steps() -> Iterator[StepByStep]:
    batch = torch.rand(2, 1, 100)
    effects = [("stretch", TimeShiftStretch(1.0)), ("slow noise", Slow(1.0))]
    yield StepByStep("chain", effects, batch, None, pass_seconds=20 * SLEEP_SECONDS)


def test_each_step_has_its_part_of_the_passes(steps: StepByStep) -> None:
    (whole,) = measure([steps.contestant("chains")], repeats=3, min_seconds=0.1)
    parts = steps.steps(whole)
    assert [part.name for part in parts] == ["chain: sampling", "chain: stretch", "chain: slow noise"]
    assert {part.group for part in parts} == {"chains"}
    assert {part.num_clips for part in parts} == {whole.num_clips}
    for repeat in range(3):
        together = sum(part.seconds[repeat] for part in parts)
        assert 0.5 * whole.seconds[repeat] < together < whole.seconds[repeat]
    assert parts[2].seconds[0] > SLEEP_SECONDS * whole.num_clips / 2
    assert [part.note.endswith("% of the chain's time") for part in parts] == [True] * 3
    assert float(parts[2].note.partition("%")[0]) > 50


def test_a_pass_lasts(steps: StepByStep) -> None:
    (whole,) = measure([steps.contestant("chains")], repeats=1)
    assert whole.num_clips >= 2 * 2
    assert whole.seconds[0] > 2 * SLEEP_SECONDS


def test_the_marks_draw_nothing(steps: StepByStep) -> None:
    draws = TimeShiftStretch(1.0).num_draws + Noise(1.0).num_draws
    assert steps._chain.num_draws == draws
