"""The stopwatch of the stages."""

import pytest
import torch

from tonearm.training import clock
from tonearm.training.clock import StageClock


def test_stages_add_up_and_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 10.0, 12.0, 20.0, 20.5])
    monkeypatch.setattr(clock, "perf_counter", lambda: next(ticks))
    stages = StageClock(torch.device("cpu"))
    with stages.stage("model"):
        pass
    with stages.stage("model"):
        pass
    with stages.waiting():
        pass
    assert stages.seconds() == {"model": 3.0, "waiting": 0.5}
    assert stages.seconds() == {}


@pytest.mark.gpu
def test_a_gpu_is_timed_by_events() -> None:
    stages = StageClock(torch.device("cuda", 0))
    x = torch.randn(2000, 2000, device="cuda")
    with stages.stage("model"):
        for _ in range(20):
            x = x @ x / 2000
    assert stages.seconds()["model"] > 0
