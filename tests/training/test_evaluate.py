"""Accuracy, and evaluation in batches."""

import torch
from torch import nn

from tonearm.batch import AudioBatch
from tonearm.training.evaluate import accuracy, evaluate
from tonearm.training.precision import Precision


def test_accuracy_counts_the_highest_score() -> None:
    scores = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.4]])
    targets = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    assert accuracy(scores, targets) == torch.tensor(2 / 3)


def test_evaluation_runs_in_eval_mode_and_puts_the_mode_back() -> None:
    class Model(nn.Module):
        def forward(self, waveform: torch.Tensor) -> torch.Tensor:
            assert not self.training
            return waveform[:, 0, :2]

    model = Model().train()
    waveform = torch.eye(2)[torch.tensor([0, 1, 1, 0, 1])][:, None]
    targets = waveform[:, 0].clone()
    targets[0] = torch.tensor([0.0, 1.0])
    batches = [
        AudioBatch(waveform[part], torch.ones(len(waveform[part])), targets[part], torch.arange(5)[part])
        for part in (slice(0, 3), slice(3, 5))
    ]
    found = evaluate(model, batches, Precision("fp32", False, torch.device("cpu")))
    assert model.training
    assert found.accuracy == torch.tensor(4 / 5)
    assert found.scores.shape == found.targets.shape == (5, 2)
