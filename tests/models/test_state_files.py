from pathlib import Path

import pytest
import torch
from torch import Tensor

from tonearm.errors import ConfigError, RunError
from tonearm.models.state_files import read_state

RIGHT = {"conv.weight": torch.arange(6.0).reshape(2, 3), "norm.running_var": torch.ones(2)}
HELP = "The right one is elsewhere."


def saved(path: Path, values: object, *, now: bool = True) -> Path:
    torch.save(values, path, _use_new_zipfile_serialization=now)
    return path


@pytest.mark.parametrize("now", [True, False])
@pytest.mark.parametrize("key", [None, "model"])
def test_tensors_are_read_by_their_names(tmp_path: Path, now: bool, key: str | None) -> None:
    path = saved(tmp_path / "w.pth", RIGHT if key is None else {key: RIGHT, "iteration": 3}, now=now)
    got = read_state(path, where_from=HELP, key=key)
    assert got.keys() == RIGHT.keys()
    assert all(torch.equal(got[name], value) for name, value in RIGHT.items())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("conv.weight", torch.full((2, 3), torch.nan), "no training leaves"),
        ("conv.weight", torch.full((2, 3), torch.inf), "no training leaves"),
        ("norm.running_var", torch.tensor([1.0, -1.0]), "no training leaves"),
        ("conv.weight", torch.zeros(2, dtype=torch.complex64), r"\(2,\) torch.complex64, expected a dense tensor"),
        ("conv.weight", torch.zeros(2, 3, device="meta"), r"\(2, 3\) torch.float32, expected a dense tensor"),
        ("conv.weight", "text", "got str, expected a dense tensor"),
    ],
)
def test_what_is_no_weight_is_refused_by_its_name(tmp_path: Path, name: str, value: object, words: str) -> None:
    path = saved(tmp_path / "w.pth", {**RIGHT, name: value})
    with pytest.raises(RunError, match=rf"w\.pth: {name}: .*{words}"):
        read_state(path, where_from=HELP)


@pytest.mark.parametrize("values", [[1, 2], {}, {"model": 3}, RIGHT["conv.weight"]])
def test_what_holds_no_tensors_is_refused(tmp_path: Path, values: object) -> None:
    with pytest.raises(RunError, match=f"holds no tensors by name in a dict under 'model'. {HELP}"):
        read_state(saved(tmp_path / "w.pth", values), where_from=HELP, key="model")


def test_a_missing_file_says_where_it_is_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"none\.pth: no such file\. {HELP}"):
        read_state(tmp_path / "none.pth", where_from=HELP)


@pytest.mark.parametrize("now", [True, False])
def test_a_damaged_file_is_an_error_or_still_whole(tmp_path: Path, now: bool) -> None:
    """Every flipped byte: refused in one line, or (before 1.6 there were no checksums) tensors of the right kind."""
    path = saved(tmp_path / "w.pth", RIGHT, now=now)
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x41
        path.write_bytes(damaged)
        try:
            got = read_state(path, where_from=HELP)
        except RunError as error:
            refused += 1
            assert "\n" not in str(error)
            assert "weights_only" not in str(error)
        else:
            assert all(isinstance(value, Tensor) for value in got.values())
    assert refused > len(whole) / 7 * (0.2 if now else 0.05)
