"""The batches of a run: crops of training clips in random order, held-out clips in theirs."""

import torch

from tonearm.config import TrainConfig
from tonearm.dataio.dataset import Dataset
from tonearm.dataio.loader import ClipLoader


def training_loader(dataset: Dataset, settings: TrainConfig, device: torch.device) -> ClipLoader:
    """Random crops in an order that is a function of the run's seed and the epoch."""
    return ClipLoader(
        dataset,
        batch_size=settings.batch_size,
        duration_seconds=settings.duration_seconds,
        device=device,
        shuffle=True,
        seed=settings.seed,
        num_threads=settings.decode_threads,
    )


def evaluation_loader(dataset: Dataset, settings: TrainConfig, device: torch.device) -> ClipLoader:
    """Each clip once, in order, from its beginning, as long as the configuration says."""
    return ClipLoader(
        dataset,
        batch_size=settings.batch_size,
        duration_seconds=settings.evaluation_seconds,
        device=device,
        num_threads=settings.decode_threads,
    )
