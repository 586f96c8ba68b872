"""Files of weights by other people: hostile until checked, and damaged ones told of in one line."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tonearm.errors import ConfigError, RunError


class _Forgotten:
    """Stands in for the numpy arrays of a training sampler's state, which we need not: numpy itself is never called."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


_NUMPY = [
    (_Forgotten, f"numpy.{name}")
    for name in (
        "ndarray",
        "dtype",
        "core.multiarray._reconstruct",
        "core.multiarray.scalar",
        "_core.multiarray._reconstruct",
        "_core.multiarray.scalar",
    )
]


def read_state(path: Path, *, where_from: str, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file by their names, without running anything in it.

    Args:
        path: as torch saves it now, or as it did before 1.6.
        where_from: a sentence on where the right file is to be had, the end of messages.
        key: of the dict in the file that has the tensors; None: the file is that dict.

    Raises:
        ConfigError: no such file.
        RunError: a file that is damaged, no such dict, or holds anything but tensors and plain values; a tensor that is
            not dense and on the CPU, not finite, or a variance below 0.
    """
    if not path.is_file():
        raise ConfigError(f"model.weights: {path}: no such file. {where_from}")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
                damaged = archive.testzip()
            if damaged is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        with torch.serialization.safe_globals(_NUMPY):  # type: ignore[arg-type]
            values: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what torch and zipfile raise on damaged files is no closed list
        held = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if held:
            raise RunError(
                f"{path}: holds {held[1]}, which is neither a tensor nor a plain value and is not loaded. {where_from}"
            ) from error
        # what torch says of a file that is no pickle of tensors advises to read it unchecked
        pickled = isinstance(error, pickle.UnpicklingError) or not str(error)
        reason = type(error).__name__ if pickled else str(error).splitlines()[0]
        raise RunError(f"{path}: damaged, or not a checkpoint ({reason}). {where_from}") from error
    state = values if key is None else values.get(key) if isinstance(values, dict) else None
    if not isinstance(state, dict) or not state:
        inside = "" if key is None else f" in a dict under {key!r}"
        raise RunError(f"{path}: holds no tensors by name{inside}. {where_from}")
    for name, value in state.items():
        if not (isinstance(name, str) and isinstance(value, Tensor) and _is_plain(value)):
            raise RunError(f"{path}: {name}: got {describe(value)}, expected a dense tensor of real numbers.")
        if not value.isfinite().all() or (name.endswith("running_var") and (value < 0).any()):
            raise RunError(f"{path}: {name}: has numbers that no training leaves (NaN, infinite, a variance below 0).")
    return dict(state)


def _is_plain(value: Tensor) -> bool:
    return value.layout is torch.strided and value.device.type == "cpu" and not value.is_complex()


def describe(value: object) -> str:
    """Shape and dtype of a tensor, the kind of anything else, for messages.

    Example:
        >>> describe(torch.zeros(2, 3))
        '(2, 3) torch.float32'
    """
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
