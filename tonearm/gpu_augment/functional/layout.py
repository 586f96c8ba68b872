"""The tensors that effects take: what they must look like, and which of their samples are valid."""

import torch
from torch import Tensor

from tonearm.errors import ShapeError


def check_waveform(waveform: Tensor) -> None:
    """Refuse anything but a floating-point (batch, channel, time).

    Raises:
        ShapeError: saying what came and how to mend it.
    """
    _check(waveform, "waveform", ("batch", "channel", "time"))


def check_specgram(specgram: Tensor) -> None:
    """Refuse anything but a floating-point (batch, channel, mel, time).

    Raises:
        ShapeError: saying what came and how to mend it.
    """
    _check(specgram, "specgram", ("batch", "channel", "mel", "time"))


def _check(tensor: Tensor, name: str, axes: tuple[str, ...]) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise ShapeError(f"{name}: got a {type(tensor).__name__}, must be a torch.Tensor ({', '.join(axes)}).")
    if tensor.dim() == len(axes) and tensor.is_floating_point():
        return
    advice = ""
    if tensor.dim() < len(axes):
        advice = " Add the missing axes with unsqueeze."
    elif not tensor.is_floating_point():
        advice = " Convert it first: samples of int16, for one, with .float() / 32768."
    raise ShapeError(
        f"{name}: got {tuple(tensor.shape)} {tensor.dtype}, must be ({', '.join(axes)}) floating point.{advice}"
    )


def valid_samples(lengths: Tensor, num_samples: int) -> Tensor:
    """(batch, 1, num_samples) bool: True where a clip still has samples, False in its padding."""
    return torch.arange(num_samples, device=lengths.device) < lengths[:, None, None]


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor itself, or its float32 copy where it is fp16 or bf16, in which sums and positions go wrong."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
