"""Precision and memory format of a run: autocast, its gradient scaler, and channels_last."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from tonearm.config import TrainConfig
from tonearm.errors import RequestError

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Precision:
    """What the network computes in.

    Attributes:
        name: "fp32", "fp16" or "bf16".
        channels_last: whether spectrograms and convolutions lie as (batch, mel, time, channel) in memory.
        device: where.
    """

    name: str
    channels_last: bool
    device: torch.device

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """The context that forward passes run in; a no-op for fp32."""
        with torch.autocast(self.device.type, dtype=_DTYPES[self.name], enabled=self.name != "fp32"):
            yield

    def scaler(self) -> torch.amp.GradScaler:
        """Loss scaling for fp16, whose small gradients would vanish; disabled otherwise."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "fp16")

    def lay_out(self, specgram: Tensor) -> Tensor:
        """A 4-D tensor in the memory format of the run."""
        return specgram.contiguous(memory_format=self.memory_format)

    @property
    def memory_format(self) -> torch.memory_format:
        """Torch's name of it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        return f"{self.name} {'channels_last' if self.channels_last else 'contiguous'}"


def resolve_precision(config: TrainConfig, device: torch.device) -> Precision:
    """The precision that a configuration asks for; ``auto`` is fp16 on a GPU and fp32 on a CPU.

    Raises:
        RequestError: one the device does not have: fp16 on a CPU, or bf16 on a GPU without bf16 hardware.
    """
    name = config.precision
    if name == "auto":
        name = "fp16" if device.type == "cuda" else "fp32"
    if name == "fp16" and device.type == "cpu":
        raise RequestError("train.precision fp16 needs a GPU; on a CPU it may be fp32 or bf16.")
    if name == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        card = torch.cuda.get_device_name(device)
        raise RequestError(f"train.precision bf16: {card} has no bf16 hardware; it may be fp16 or fp32.")
    return Precision(name, config.channels_last, device)
