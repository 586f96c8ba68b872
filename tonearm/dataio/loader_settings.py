"""A loader's settings, checked before anything is opened."""

import operator
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch

from tonearm.dataio.columns import Array
from tonearm.dataio.dataset import Dataset
from tonearm.dataio.order import balanced_weights
from tonearm.errors import RequestError

Backend = Literal["auto", "copy", "dali", "soundfile"]
BACKENDS: tuple[Backend, ...] = ("auto", "copy", "dali", "soundfile")


def integer(name: str, value: int, *, low: int | None = None) -> int:
    """A plain int of any kind of integer, so that equal settings give equal orders and states.

    Raises:
        RequestError: it is none, or below ``low``.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise RequestError(f"{name} is {value!r}; it must be an integer.") from None
    if low is not None and number < low:
        raise RequestError(f"{name} is {number}; it must be at least {low}.")
    return number


def ranks_here(world_size: int) -> int:
    """How many ranks share this machine: torchrun says so in LOCAL_WORLD_SIZE; without it, all of them."""
    text = os.environ.get("LOCAL_WORLD_SIZE", str(world_size))
    if not text.isdecimal() or int(text) < 1:
        raise RequestError(f"LOCAL_WORLD_SIZE is {text!r}; it must be the number of ranks on this machine.")
    return int(text)


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Refuse words that mean nothing."""
    if value not in allowed:
        raise RequestError(f"{name} is {value!r}; it may be {', '.join(allowed)}.")


def check_weights(dataset: Dataset, *, balanced: bool, weights: Sequence[float] | Array | None, shuffle: bool
                   ) -> Array | None:  # fmt: skip
    """One weight a clip, or None for equal ones."""
    if not balanced and weights is None:
        return None
    if not shuffle:
        raise RequestError("balanced and weights choose what is drawn in training: they need shuffle.")
    if weights is None:
        return balanced_weights(dataset.table, len(dataset.class_names))
    if balanced:
        raise RequestError("balanced and weights exclude each other; give one of them.")
    try:
        values = np.asarray(weights, np.float64)
    except (TypeError, ValueError) as error:
        raise RequestError(f"weights must be numbers, one a clip ({error}).") from None
    if values.shape != (len(dataset),):
        raise RequestError(f"weights has the shape {values.shape}; it must be one weight a clip, ({len(dataset)},).")
    if not np.isfinite(values).all() or (values < 0).any() or not values.any():
        raise RequestError("weights must be finite and not negative, and not all of them zero.")
    return values


def check_device(device: torch.device | str) -> torch.device:
    """The device with its number: which GPU is current belongs to a thread, and batches are made in another."""
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise RequestError(f"device {device!r}: no such device; it may be cpu, cuda or cuda:N.") from error
    if device.type not in ("cpu", "cuda"):
        raise RequestError(f"device {device}: it may be cpu, cuda or cuda:N.")
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count()
    asked: int | None = device.index
    number = torch.cuda.current_device() if asked is None and count else asked or 0
    if number >= count:
        raise RequestError(f"device {device}: torch can use {count} GPUs on this machine; tonearm doctor says why.")
    return torch.device("cuda", number)


def choose_backend(backend: Backend, dataset: Dataset) -> Backend:
    """The backend that "auto" stands for, or the one that was asked for if it fits."""
    codec = dataset.header.codec
    has_dali = find_spec("nvidia") is not None and find_spec("nvidia.dali") is not None
    if backend not in BACKENDS:
        raise RequestError(f"unknown backend {backend!r}; there are {', '.join(BACKENDS)}.")
    if backend == "copy" and codec != "pcm16":
        raise RequestError(f"backend copy is for codec pcm16, but {dataset.root} is {codec}; use dali or soundfile.")
    if backend == "dali" and not has_dali:
        raise RequestError("backend dali: NVIDIA DALI is not installed. pip install 'tonearm[cuda13]' (or cuda12).")
    if backend != "auto":
        return backend
    if codec == "pcm16":
        return "copy"
    return "dali" if has_dali else "soundfile"
