from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from tonearm.benchmarks import features as bench
from tonearm.benchmarks.features import FRONT_ENDS, FrontEnd, bench_features, torchaudio_log_mel
from tonearm.benchmarks.harness import Role
from tonearm.commands.bench import app
from tonearm.config import FeaturesConfig
from tonearm.errors import RequestError, RunError
from tonearm.models import LogMel

SMALL = FrontEnd("small", 8000, FeaturesConfig(n_fft=256, win_length=200, hop_length=100, n_mels=12))


@pytest.fixture(autouse=True)
def one_small_front_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(bench, "FRONT_ENDS", (SMALL,))


def test_ours_beside_torchaudios_and_the_bare_transform() -> None:
    report = bench_features(batch_size=3, duration_seconds=0.5, repeats=2)
    ceiling = "ceiling: rfft alone, small"
    assert [(result.group, result.name, result.role, result.ceiling) for result in report.results] == [
        ("small", ceiling, Role.CEILING, None),
        ("small", "ours, small", Role.OWN, ceiling),
        ("small", "torchaudio, small", Role.PEER, ceiling),
        ("small, with the gradient", "ours, small, with the gradient", Role.OWN, ceiling),
        ("small, with the gradient", "torchaudio, small, with the gradient", Role.PEER, ceiling),
    ]
    assert {result.num_clips for result in report.results} == {3}
    assert report.results[0].note == "123 transforms of 256"
    assert report.results[1].ratio_to_best_peer is not None
    assert report.settings == {"batch_size": 3, "duration_seconds": 0.5, "device": "cpu"}


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=lambda front_end: front_end.name)
def test_the_front_ends_are_what_torchaudio_computes(front_end: FrontEnd) -> None:
    waveform = 0.1 * torch.randn(1, 1, front_end.sample_rate // 2, generator=torch.Generator().manual_seed(0))
    ours = LogMel(front_end.features, sample_rate=front_end.sample_rate)
    assert bench._wrong(ours, front_end, waveform) is None
    assert bench._wrong(torchaudio_log_mel(front_end), front_end, waveform) is None


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda log_mel: log_mel[..., :-1], r"its shape is \(2, 1, 12, 40\), not \(2, 1, 12, 41\)"),
        (lambda log_mel: log_mel + 0.1, "of full scale away from torchaudio in double precision"),
        (lambda log_mel: log_mel * float("nan"), "nan of full scale away"),
        (lambda log_mel: torch.where(log_mel < log_mel.mean(), log_mel + 1e-2, log_mel), "away from torchaudio"),
    ],
)
def test_a_wrong_spectrogram_is_not_timed(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Tensor], Tensor], complaint: str
) -> None:
    forward = LogMel.forward
    monkeypatch.setattr(LogMel, "forward", lambda self, waveform: spoil(forward(self, waveform)))
    with pytest.raises(RunError, match=f"ours, small gives a wrong output, so nothing was timed: .*{complaint}"):
        bench_features(batch_size=2, duration_seconds=0.5, repeats=1)


@pytest.mark.parametrize(
    ("spoil", "apart"),
    [
        (lambda log_mel: 2 * log_mel.detach() - log_mel, "2"),
        (lambda log_mel: 1.01 * log_mel - 0.01 * log_mel.detach(), r"0\.01"),
        (lambda log_mel: log_mel + (log_mel - log_mel).sum().sqrt(), "nan"),
    ],
)
def test_a_wrong_gradient_is_not_timed(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Tensor], Tensor], apart: str
) -> None:
    forward = LogMel.forward
    monkeypatch.setattr(LogMel, "forward", lambda self, waveform: spoil(forward(self, waveform)))
    wrong = f"ours, small, with the gradient gives a wrong output, .* its gradient is {apart} of its norm away"
    with pytest.raises(RunError, match=wrong):
        bench_features(batch_size=2, duration_seconds=0.5, repeats=1)


@pytest.mark.parametrize("front_end", FRONT_ENDS, ids=lambda front_end: front_end.name)
def test_gradients_are_what_torchaudio_computes(front_end: FrontEnd) -> None:
    waveform = 0.1 * torch.randn(1, 1, front_end.sample_rate // 2, generator=torch.Generator().manual_seed(0))
    ours = LogMel(front_end.features, sample_rate=front_end.sample_rate)
    assert bench._wrong_gradient(ours, front_end, waveform) is None
    assert bench._wrong_gradient(torchaudio_log_mel(front_end), front_end, waveform) is None


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize(("frames", "n_fft"), [(640, 1380), (5, 256), (1281, 2048)])
def test_the_bare_transform_does_as_many_as_its_note_says(
    monkeypatch: pytest.MonkeyPatch, threads: int, frames: int, n_fft: int
) -> None:
    done: list[int] = []

    def one_after_the_other(tasks: Sequence[Callable[[], None]]) -> None:
        assert len(tasks) >= min(threads, frames)  # nobody stands idle
        for task in tasks:
            task()

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch.fft, "rfft", lambda windows: done.append(len(windows)))
    monkeypatch.setattr(bench, "side_by_side", one_after_the_other)
    assert bench._bare_transform(3, frames, n_fft, torch.device("cpu"))() == 3
    assert sum(done) == frames
    assert max(done) * n_fft <= bench.BLOCK_SAMPLES


def test_no_batch_is_refused() -> None:
    with pytest.raises(RequestError, match="batch_size is 0 and duration_seconds 5.0; both must be positive"):
        bench_features(batch_size=0)


def test_the_command_prints_a_table() -> None:
    done = CliRunner().invoke(app, ["features", "--batch-size", "1", "--repeats", "1", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "torchaudio, small" in done.output
