"""Checkpoints come back as they were, or not at all."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from tonearm.errors import RequestError, RunError
from tonearm.training.checkpoint import LAST, Checkpoint, load_checkpoint, save_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def checkpoint() -> Checkpoint:
    weights = {"weight": torch.randn(50, generator=torch.Generator().manual_seed(0))}
    return Checkpoint(
        epoch=3, config="model: {}", class_names=("a", "b"), sample_rate=8000, num_channels=1, dataset_sha256="0" * 64,
        fold=None, state={"model": weights}, scored=weights, best=(0.5, 1),
    )  # fmt: skip


def test_it_comes_back_as_it_was(tmp_path: Path, checkpoint: Checkpoint) -> None:
    save_checkpoint(tmp_path, checkpoint)
    again = load_checkpoint(tmp_path, device=CPU)
    assert torch.equal(again.scored["weight"], checkpoint.scored["weight"])
    assert again.model_dump(exclude={"state", "scored"}) == checkpoint.model_dump(exclude={"state", "scored"})


def test_bytes_flipped_anywhere_are_refused(tmp_path: Path, checkpoint: Checkpoint) -> None:
    save_checkpoint(tmp_path, checkpoint)
    path = tmp_path / LAST
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(0, len(whole), 100):
        data = bytearray(whole)
        data[place] ^= 0x10
        path.write_bytes(data)
        try:
            again = load_checkpoint(tmp_path, device=CPU)
        except RunError:
            continue
        assert torch.equal(again.scored["weight"], checkpoint.scored["weight"])  # the zip's padding, dates and such
        assert again.epoch == 3
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match="damaged, or not a checkpoint"):
        load_checkpoint(tmp_path, device=CPU)


@pytest.mark.parametrize("change", [{"best": 1}, {"state": 3}, {"epoch": "x"}, {"surprise": 1}, {"version": 2}])
def test_other_contents_are_refused(tmp_path: Path, checkpoint: Checkpoint, change: dict[str, object]) -> None:
    torch.save({**copy.copy(dict(checkpoint)), **change}, tmp_path / LAST)
    with pytest.raises(RunError, match="not a checkpoint of this tonearm"):
        load_checkpoint(tmp_path, device=CPU)


def test_a_pickle_in_its_place_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path(tmp_path / "ran").touch, ()

    torch.save({"version": 1, "epoch": Evil()}, tmp_path / LAST)
    with pytest.raises(RunError, match="damaged, or not a checkpoint"):
        load_checkpoint(tmp_path, device=CPU)
    assert not (tmp_path / "ran").exists()


def test_what_is_no_run_says_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no last.pt in it, .* stopped in its first epoch: then begin it again"):
        load_checkpoint(tmp_path, device=CPU)
    (tmp_path / "index.json").touch()
    with pytest.raises(RequestError, match="a packed dataset, not a run .* Are the arguments swapped"):
        load_checkpoint(tmp_path, device=CPU)
