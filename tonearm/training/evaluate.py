"""How well a model does on clips it has not seen."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tonearm.batch import AudioBatch
from tonearm.training.precision import Precision


@dataclass(frozen=True)
class Evaluation:
    """Scores of every clip, and how many are right.

    Attributes:
        accuracy: share of clips whose highest score is at a true label.
        scores: (clips, classes) float32 on the CPU, in the dataset's order.
        targets: (clips, classes) likewise.
    """

    accuracy: float
    scores: Tensor
    targets: Tensor


def accuracy(scores: Tensor, targets: Tensor) -> float:
    """The share of clips whose highest score is at a true label.

    Args:
        scores: (clips, classes).
        targets: (clips, classes), above 0 at true labels.
    """
    return float((targets.gather(1, scores.argmax(dim=1, keepdim=True)) > 0).double().mean())


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[AudioBatch], precision: Precision) -> Evaluation:
    """Score every clip of ``batches`` with ``model`` in eval mode, whose mode is restored afterwards."""
    was_training = model.training
    model.eval()
    scores, targets = [], []
    for batch in batches:
        with precision.autocast():
            scores.append(model(batch.waveform).float())
        targets.append(batch.targets)
    model.train(was_training)
    all_scores, all_targets = torch.cat(scores).cpu(), torch.cat(targets).cpu()
    return Evaluation(accuracy(all_scores, all_targets), all_scores, all_targets)
