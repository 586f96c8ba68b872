"""Which clips are trained on and which are held out."""

import numpy as np

from tonearm.dataio.dataset import Dataset
from tonearm.errors import RequestError
from tonearm.seeding import numpy_generator

_HELD_OUT_SHARE = 0.1


def hold_out(dataset: Dataset, *, fold: int | None, seed: int) -> tuple[Dataset, Dataset, str]:
    """Cut a dataset into a part to train on and a part held out.

    A fold holds that fold out. Without one, a published split is used (val is held out, or else test); a dataset that
    has folds wants one named; one that has neither loses a tenth of its groups at random.

    Args:
        dataset: the whole.
        fold: the fold to hold out.
        seed: what the random tenth depends on.

    Returns:
        The clips to train on, the clips held out, and in words what was held out.

    Raises:
        RequestError: no such fold, a fold that must be named, or a part that would be empty.
    """
    if fold is not None:
        held_out = dataset.where(fold=fold)
        training = dataset.rows(np.flatnonzero(dataset.table.fold != fold))
        if not len(training):
            raise RequestError(f"{dataset.root}: fold {fold} is all there is, so nothing is left to train on.")
        return training, held_out, f"fold {fold}"
    if "train" in dataset.splits and len(dataset.splits) > 1:
        split = "val" if "val" in dataset.splits else "test"
        return dataset.where(split="train"), dataset.where(split=split), f"split {split}"
    if len(dataset.folds) > 1:
        folds = ", ".join(map(str, dataset.folds))
        raise RequestError(f"{dataset.root} has folds: name the one to hold out with --fold, out of {folds}.")
    return _random_tenth(dataset, seed)


def check_one_label(*parts: Dataset) -> None:
    """Refuse clips with several labels: the loss and the accuracy are those of classes that exclude each other.

    Raises:
        RequestError: a clip of ``parts`` has not exactly one label.
    """
    counts = np.concatenate([np.diff(part.table.label_indptr) for part in parts])
    several = int((counts != 1).sum())
    if several:
        raise RequestError(
            f"{parts[0].root}: {several} of {len(counts)} clips have several labels, but training takes one label a "
            "clip so far. Give each clip one with `tonearm relabel`, or pack those that have one."
        )


def _random_tenth(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset, str]:
    """Hold out a tenth of the recordings: clips of one group stay together, a clip without a group is its own."""
    table = dataset.table
    own = np.where(table.group == b"", np.char.add(b"\x00", table.clip_id), table.group)
    _, group = np.unique(own, return_inverse=True)
    num_groups = int(group.max()) + 1
    chosen = numpy_generator(seed, "held out").permutation(num_groups)[: max(1, round(num_groups * _HELD_OUT_SHARE))]
    out = np.isin(group, chosen)
    if out.all():
        raise RequestError(f"{dataset.root}: all clips come from one recording, so none can be held out.")
    words = f"a random tenth of the recordings, seed {seed}"
    return dataset.rows(np.flatnonzero(~out)), dataset.rows(np.flatnonzero(out)), words
