"""Logits of averaged probabilities, for networks that score windows, frames or cells and average what they say."""

import torch
from torch import Tensor
from torch.nn import functional


def logit_of_mean(scores: Tensor, *, dim: int, log_weights: Tensor | None = None) -> Tensor:
    """The logit of the mean of sigmoid(scores) over ``dim``, finite for all finite scores.

        p = Σ w·sigmoid(x) / Σ w        log p - log(1 - p) = log Σ w·sigmoid(x) - log Σ w·sigmoid(-x)

    Never leaving the logarithm, it neither rounds to 0 or 1 nor needs a clamp, which would stop gradients.

    Args:
        scores: logits, any floating dtype.
        dim: axis to average over.
        log_weights: logarithms of the weights w, the shape of ``scores``; None: all weigh the same.

    Returns:
        ``scores`` without ``dim``; float32 or wider.
    """
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32))
    present, absent = functional.logsigmoid(wide), functional.logsigmoid(-wide)
    if log_weights is not None:
        present, absent = present + log_weights, absent + log_weights
    return present.logsumexp(dim) - absent.logsumexp(dim)
