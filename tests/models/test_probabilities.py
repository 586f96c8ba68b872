import torch

from tests.models.promises import random
from tonearm.models.probabilities import logit_of_mean


def test_it_is_the_logit_of_the_mean_probability() -> None:
    scores = 3 * random(4, 6, 5).double()
    torch.testing.assert_close(logit_of_mean(scores, dim=1).sigmoid(), scores.sigmoid().mean(dim=1))
    weights = random(4, 6, 5, seed=1).double().exp()
    expected = (weights * scores.sigmoid()).sum(dim=1) / weights.sum(dim=1)
    torch.testing.assert_close(logit_of_mean(scores, dim=1, log_weights=weights.log()).sigmoid(), expected)


def test_one_score_is_itself_however_large() -> None:
    scores = torch.tensor([[[-1e4], [-80.0], [0.0], [80.0], [1e4]]], requires_grad=True)
    logits = logit_of_mean(scores, dim=2)
    torch.testing.assert_close(logits, scores[..., 0])
    logits.sum().backward()
    torch.testing.assert_close(scores.grad, torch.ones_like(scores))


def test_halves_come_out_as_float32() -> None:
    assert logit_of_mean(random(2, 3).half(), dim=1).dtype == torch.float32
