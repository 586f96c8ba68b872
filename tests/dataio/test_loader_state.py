"""Resuming in the middle of an epoch: the same batches as if nothing had happened, or a refusal with the reason."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from tonearm.batch import AudioBatch
from tonearm.dataio import ClipLoader, Dataset
from tonearm.errors import RequestError


def make(dataset: Dataset, **more: Any) -> ClipLoader:
    return ClipLoader(dataset, **{"batch_size": 3, "shuffle": True, "seed": 7, "duration_seconds": 0.2, **more})


def same(left: list[AudioBatch], right: list[AudioBatch]) -> bool:
    return len(left) == len(right) and all(
        torch.equal(a.waveform, b.waveform) and torch.equal(a.clip_index, b.clip_index)
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.parametrize("consumed", [0, 1, 3, 4])
@pytest.mark.parametrize("settings", [{}, {"shuffle": "window"}, {"balanced": True}, {"shuffle": False}])
def test_the_rest_of_the_epoch_and_all_that_follow_are_the_same(
    dataset: Dataset, consumed: int, settings: dict[str, Any]
) -> None:
    whole = make(dataset, **settings)
    expected = [list(whole) for _ in range(3)]

    loader = make(dataset, **settings)
    list(loader)
    batches = iter(loader)
    for _ in range(consumed):
        next(batches)
    state = json.loads(json.dumps(loader.state_dict()))  # plain values: it survives any file format
    assert (state["epoch"], state["batches"]) == ((1, consumed) if consumed else (1, 0))
    batches.close()  # type: ignore[attr-defined]

    again = make(dataset, **settings)
    again.load_state_dict(state)
    assert again.epoch == 1
    assert same(list(again), expected[1][consumed:])
    assert same(list(again), expected[2])


def test_the_state_is_what_was_consumed_not_what_was_prefetched(dataset: Dataset) -> None:
    loader = make(dataset, batch_size=1)
    for number, _ in enumerate(loader, 1):
        assert loader.state_dict()["batches"] == number
    assert (loader.state_dict()["epoch"], loader.state_dict()["batches"]) == (1, 0)


def test_the_state_before_the_first_batch_of_an_epoch_that_was_set(dataset: Dataset) -> None:
    loader = make(dataset)
    list(loader)
    loader.epoch = 5
    assert (loader.state_dict()["epoch"], loader.state_dict()["batches"]) == (5, 0)
    loader.load_state_dict({**loader.state_dict(), "epoch": 3, "batches": 2})
    loader.epoch = 3  # as a training loop does before each epoch: the middle that was loaded stays
    assert len(list(loader)) == len(loader) - 2


def test_any_kind_of_integer_is_the_same_setting(dataset: Dataset) -> None:
    plain, numpy = make(dataset), make(dataset, seed=np.int64(7), batch_size=np.int32(3))
    assert plain.state_dict() == numpy.state_dict()
    assert same(list(plain), list(numpy))
    with pytest.raises(RequestError, match="seed is 0.5; it must be an integer"):
        make(dataset, seed=0.5)


def test_two_iterations_at_once_count_for_themselves(dataset: Dataset) -> None:
    loader = make(dataset, batch_size=1)
    first, second = iter(loader), iter(loader)
    for _ in range(3):
        next(first)
    next(second)
    next(first)
    assert (loader.state_dict()["epoch"], loader.state_dict()["batches"]) == (0, 4)


def test_an_epoch_that_is_set_begins_at_its_beginning(dataset: Dataset) -> None:
    loader = make(dataset)
    loader.load_state_dict({**loader.state_dict(), "epoch": 2, "batches": 3})
    loader.epoch = 0
    assert len(list(loader)) == len(loader)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 2}, "batch_size 3, this one has 2"),
        ({"seed": 8}, "seed 7, this one has 8"),
        ({"rank": 0, "world_size": 2}, "world_size 1, this one has 2"),
        ({"duration_seconds": 0.3}, "num_samples 1600, this one has 2400"),
        ({"shuffle": "window", "window_shards": 4}, "shuffle global, this one has window 4"),
        ({"balanced": True}, "another weights"),
    ],
)
def test_a_state_of_another_loader_is_refused(dataset: Dataset, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        make(dataset, **change).load_state_dict(make(dataset).state_dict())


def test_a_state_of_other_data_is_refused(dataset: Dataset) -> None:
    state = make(dataset).state_dict()
    with pytest.raises(RequestError, match="another dataset"):
        make(dataset.rows(np.arange(13))).load_state_dict(state)
    with pytest.raises(RequestError, match="another dataset"):
        make(dataset.rows(np.arange(14)[::-1])).load_state_dict(state)
    make(dataset.rows(np.arange(14))).load_state_dict(state)  # the same clips in the same order


@pytest.mark.parametrize("change", [{"batches": -1}, {"epoch": "1"}, {"surprise": 1}, {"seed": None}])
def test_what_is_no_state_is_refused(dataset: Dataset, change: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=f"not the state of a loader: {next(iter(change))}"):
        make(dataset).load_state_dict({**make(dataset).state_dict(), **change})


@pytest.mark.parametrize("epoch", [-1, "x"])
def test_an_epoch_that_is_none_leaves_the_state_as_it_was(dataset: Dataset, epoch: object) -> None:
    loader = make(dataset)
    before = loader.state_dict()
    with pytest.raises(RequestError, match="epoch is"):
        loader.epoch = epoch  # type: ignore[assignment]
    assert loader.state_dict() == before
    loader.epoch = np.int64(3)  # type: ignore[assignment]
    assert (loader.state_dict()["epoch"], type(loader.state_dict()["epoch"])) == (3, int)


def test_a_state_beyond_the_end_of_an_epoch_is_refused(dataset: Dataset) -> None:
    loader = make(dataset)
    with pytest.raises(RequestError, match=rf"has 1000000 batches behind it; an epoch has {len(loader)}"):
        loader.load_state_dict(loader.state_dict() | {"batches": 10**6})
