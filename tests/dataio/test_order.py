"""Order and sampling: pinned, balanced, windowed, and shared out among ranks without loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tonearm.dataio import ClipLoader, Dataset
from tonearm.dataio.order import balanced_weights, batch_part, epoch_order, weighted_order, window_order
from tonearm.errors import RequestError


def test_pinned_orders() -> None:
    """They change only when a run's order changes for everybody: then say so in the changelog."""
    weights = np.array([1.0, 1, 1, 5])
    assert weighted_order(weights, seed=0, epoch=0).tolist() == [3, 0, 3, 2]
    shard = np.array([0, 0, 1, 1, 2, 2])
    assert window_order(np.arange(6), shard, window_shards=1, seed=0, epoch=0).tolist() == [4, 5, 0, 1, 3, 2]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60).filter(any), st.integers(0, 5))
@settings(max_examples=200, deadline=None)
def test_a_clip_comes_as_often_as_its_weight_says_up_to_one(weights: list[float], epoch: int) -> None:
    values = np.array(weights)
    rows = weighted_order(values, seed=1, epoch=epoch)
    counts = np.bincount(rows, minlength=len(values))
    expected = values / values.sum() * len(values)
    assert len(rows) == len(values)
    assert (np.abs(counts - expected) < 1 + 1e-6).all()  # systematic sampling: the count is one of the two neighbours
    assert not counts[values == 0].any()


def test_equal_weights_give_a_permutation_that_changes_with_the_epoch() -> None:
    first, second = (weighted_order(np.full(1000, 0.3), seed=0, epoch=epoch) for epoch in (0, 1))
    assert sorted(first) == list(range(1000))
    assert (first != second).mean() > 0.9


def test_weighted_draws_are_in_random_order() -> None:
    rows = weighted_order(np.array([3.0] * 100 + [1.0] * 100), seed=0, epoch=0)
    heavy = np.array(rows) < 100
    halves = heavy[:100].sum(), heavy[100:].sum()
    assert abs(int(halves[0]) - int(halves[1])) < 40  # of 150: six standard deviations


@given(
    st.integers(1, 9).flatmap(lambda n: st.lists(st.integers(0, n), min_size=1, max_size=80)),
    st.integers(1, 4),
    st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_a_window_holds_few_shards_and_every_row(shards: list[int], window_shards: int, epoch: int) -> None:
    shard = np.array(shards)
    rows = window_order(np.arange(len(shard)), shard, window_shards=window_shards, seed=0, epoch=epoch)
    assert sorted(rows) == list(range(len(shard)))
    seen = shard[rows]
    remaining = seen.tolist()
    while remaining:  # from the front, each window is a run of rows of at most window_shards shards, all of theirs
        chosen = list(dict.fromkeys(remaining))[:window_shards]
        size = int(np.isin(shard, chosen).sum())
        # shards of one window are mixed: find the smallest prefix that is closed
        chosen = list(dict.fromkeys(remaining[:size]))
        while len(chosen) > window_shards or int(np.isin(shard, chosen).sum()) != size:
            chosen = chosen[:-1]
            assert chosen
            size = int(np.isin(shard, chosen).sum())
        assert set(remaining[:size]) == set(chosen)
        remaining = remaining[size:]


def test_a_window_mixes_its_shards() -> None:
    shard = np.repeat(np.arange(4), 100)
    seen = shard[window_order(np.arange(400), shard, window_shards=2, seed=0, epoch=0)]
    first, second = set(seen[:200].tolist()), set(seen[200:].tolist())
    assert (len(first), len(second), first & second) == (2, 2, set())
    assert np.count_nonzero(np.diff(seen[:200])) > 60  # about 100 changes of shard; unmixed it would be one


def test_balanced_weights_by_hand(dataset: Dataset) -> None:
    # 5 clips of class 0, 5 of class 1, 4 of class 2
    weights = balanced_weights(dataset.table, 3)
    labels = dataset.table.label_indices
    assert np.allclose(weights, np.where(labels == 2, 1 / 4, 1 / 5))
    several = dataset.rows(np.array([0, 5, 10]))
    several.table.label_indptr[:] = [0, 2, 3, 4]
    table = type(several.table)(**{**vars(several.table), "label_indices": np.array([0, 1, 1, 2], np.int32)})
    assert np.allclose(balanced_weights(table, 4), [1 + 1 / 2, 1 / 2, 1])


def test_balanced_training_draws_classes_equally_often(dataset: Dataset) -> None:
    skewed = dataset.rows(np.flatnonzero((dataset.table.label_indices != 0) | (np.arange(14) < 1)))  # 1, 5 and 4 clips
    loader = ClipLoader(skewed, batch_size=5, duration_seconds=0.1, shuffle=True, balanced=True)
    totals = sum(batch.targets.sum(dim=0) for _ in range(30) for batch in loader)
    assert isinstance(totals, torch.Tensor)
    assert totals.sum() == 300
    assert (totals - 100).abs().max() <= 30  # each epoch of 10 is off by less than one draw a class


def test_a_weight_of_zero_never_comes(dataset: Dataset) -> None:
    weights = np.zeros(14)
    weights[[3, 7]] = 1.0
    loader = ClipLoader(dataset, batch_size=4, shuffle=True, weights=weights)
    rows = torch.cat([batch.clip_index for batch in loader])
    assert rows.unique().tolist() == [3, 7]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"balanced": True}, "they need shuffle"),
        ({"weights": [1.0] * 13, "shuffle": True}, r"weights has the shape \(13,\)"),
        ({"weights": [-1.0] * 14, "shuffle": True}, "weights must be finite and not negative"),
        ({"weights": [0.0] * 14, "shuffle": True}, "not all of them zero"),
        ({"weights": [float("nan")] * 14, "shuffle": True}, "weights must be finite"),
        ({"weights": [1.0] * 14, "balanced": True, "shuffle": True}, "exclude each other"),
        ({"shuffle": "local"}, "shuffle is 'local'; it may be"),
        ({"shuffle": "window", "window_shards": 0}, "window_shards is 0"),
        ({"rank": 2, "world_size": 2}, "rank is 2; with world_size 2 it may be 0 to 1"),
        ({"world_size": 0}, "world_size is 0"),
        ({"shuffle": True, "batch_size": 8, "world_size": 2}, "8 on each of 2 ranks, but there are only 14 clips"),
        ({"verify": "sometimes"}, "verify is 'sometimes'"),
        ({"on_corrupt": "ignore"}, "on_corrupt is 'ignore'"),
        ({"residency": "disk"}, "unknown residency 'disk'"),
        ({"duration_seconds": float("inf")}, "duration_seconds is inf"),
        ({"duration_seconds": "4"}, "duration_seconds is '4'"),
        ({"shuffle": 1}, "shuffle is 1; it may be"),
        ({"weights": ["a"] * 14, "shuffle": True}, "weights must be numbers, one a clip"),
        ({"device": None}, "device None: no such device"),
    ],
)
def test_settings_that_make_no_sense(dataset: Dataset, more: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ClipLoader(dataset, **{"batch_size": 4, **more})  # type: ignore[arg-type]


def test_a_path_is_no_dataset() -> None:
    with pytest.raises(RequestError, match=r"dataset is 'esc10'; it must be what tonearm.dataio.open_dataset"):
        ClipLoader("esc10")  # type: ignore[arg-type]


@pytest.mark.parametrize("ranks", ["x", "0", "-1"])
def test_a_number_of_local_ranks_that_is_none(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, ranks: str) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", ranks)
    with pytest.raises(RequestError, match=f"LOCAL_WORLD_SIZE is '{ranks}'; it must be the number of ranks"):
        ClipLoader(dataset)


@given(st.integers(1, 60), st.integers(1, 7), st.integers(1, 5))
def test_ranks_share_every_position_once(num_positions: int, batch_size: int, world_size: int) -> None:
    taken = []
    for step in range(-(-num_positions // (batch_size * world_size))):
        for rank in range(world_size):
            part = batch_part(step, num_positions, batch_size=batch_size, rank=rank, world_size=world_size)
            taken += range(part.start, part.stop)
    assert taken == list(range(num_positions))


@pytest.mark.parametrize("shuffle", [False, True, "window"])
def test_two_ranks_together_see_what_one_process_sees(dataset: Dataset, shuffle: bool) -> None:
    one = list(ClipLoader(dataset, batch_size=4, shuffle=shuffle, duration_seconds=0.2, seed=5))
    ranks = [
        list(ClipLoader(dataset, batch_size=2, shuffle=shuffle, duration_seconds=0.2, seed=5, rank=rank, world_size=2))
        for rank in range(2)
    ]
    assert [len(ClipLoader(dataset, batch_size=2, shuffle=shuffle, rank=r, world_size=2)) for r in range(2)] == [
        len(part) for part in ranks
    ]
    if shuffle:
        assert len(ranks[0]) == len(ranks[1]) == 3  # equal steps, the ragged tail dropped
    for step, batch in enumerate(one):
        parts = [part[step] for part in ranks if step < len(part)]
        assert torch.equal(torch.cat([part.waveform for part in parts]), batch.waveform)
        assert torch.equal(torch.cat([part.clip_index for part in parts]), batch.clip_index)


def test_evaluation_on_more_ranks_than_clips_sees_each_clip_once(dataset: Dataset) -> None:
    few = dataset.rows(np.arange(3))
    seen = []
    for rank in range(5):
        loader = ClipLoader(few, batch_size=1, rank=rank, world_size=5)
        batches = list(loader)
        assert len(batches) == len(loader)
        seen += [int(batch.clip_index[0]) for batch in batches]
    assert sorted(seen) == [0, 1, 2]


def test_an_order_of_a_million_clips_is_one(recordings: Path) -> None:
    rows = epoch_order(1_000_000, seed=0, epoch=3)
    assert np.array_equal(np.sort(rows), np.arange(1_000_000))
