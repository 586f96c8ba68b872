"""What is held out."""

import dataclasses

import numpy as np
import pytest

from tonearm.dataio import Dataset
from tonearm.dataio.clip_rows import clips_of, with_facts
from tonearm.errors import RequestError
from tonearm.training.split import check_one_label, hold_out


def with_columns(dataset: Dataset, **columns: np.ndarray) -> Dataset:
    return dataclasses.replace(dataset, table=dataclasses.replace(dataset.table, **columns))


def ids(dataset: Dataset) -> set[bytes]:
    return set(dataset.table.clip_id.tolist())


def test_a_fold_is_held_out_whole(dataset: Dataset) -> None:
    training, held_out, words = hold_out(dataset, fold=2, seed=0)
    assert set(held_out.table.fold.tolist()) == {2}
    assert 2 not in training.table.fold
    assert len(training) + len(held_out) == len(dataset)
    assert words == "fold 2"
    with pytest.raises(RequestError, match="no fold 7; it has 0, 1, 2, 3"):
        hold_out(dataset, fold=7, seed=0)
    loose = with_columns(dataset, fold=np.where(np.arange(48) < 5, -1, dataset.table.fold).astype(np.int32))
    assert len(hold_out(loose, fold=2, seed=0)[0]) + int((loose.table.fold == 2).sum()) == 48  # no clip is lost
    with pytest.raises(RequestError, match="nothing is left to train on"):
        hold_out(dataset.where(fold=1), fold=1, seed=0)


def test_a_published_split_is_used(dataset: Dataset) -> None:
    split = np.where(np.arange(48) % 6 == 0, b"test", np.where(np.arange(48) % 6 == 1, b"val", b"train"))
    training, held_out, words = hold_out(with_columns(dataset, split=split), fold=None, seed=0)
    assert (len(training), len(held_out), words) == (32, 8, "split val")


def test_without_folds_a_tenth_of_the_recordings_is_drawn(dataset: Dataset) -> None:
    group = np.array([f"recording{row // 4}".encode() for row in range(48)])
    loose = with_columns(dataset, fold=np.full(48, -1, np.int32), group=group)
    training, held_out, words = hold_out(loose, fold=None, seed=1)
    assert len(held_out) == 4  # one of twelve recordings
    assert set(held_out.table.group.tolist()).isdisjoint(training.table.group.tolist())
    assert words == "a random tenth of the recordings, seed 1"
    assert ids(hold_out(loose, fold=None, seed=1)[1]) == ids(held_out)
    assert any(ids(hold_out(loose, fold=None, seed=seed)[1]) != ids(held_out) for seed in range(2, 6))
    alone = with_columns(loose, group=np.full(48, b"one"))
    with pytest.raises(RequestError, match="all clips come from one recording"):
        hold_out(alone, fold=None, seed=0)


def test_clips_without_a_group_are_their_own(dataset: Dataset) -> None:
    loose = with_columns(dataset, fold=np.full(48, -1, np.int32), group=np.full(48, b"", "S1"))
    _, held_out, _ = hold_out(loose, fold=None, seed=0)
    assert len(held_out) == 5


def test_clips_with_several_labels_are_refused(dataset: Dataset) -> None:
    table = dataset.table
    clips = [
        dataclasses.replace(clip, labels=(0, 1)) if row % 4 == 0 else clip for row, clip in enumerate(clips_of(table))
    ]
    several = dataclasses.replace(dataset, table=with_facts(table, clips))
    training, held_out, _ = hold_out(several, fold=0, seed=0)
    with pytest.raises(RequestError, match="12 of 48 clips have several labels, but training takes one label a clip"):
        check_one_label(training, held_out)
    check_one_label(*hold_out(dataset, fold=0, seed=0)[:2])
