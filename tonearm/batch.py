"""AudioBatch: what the loader yields and everything downstream takes."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class AudioBatch:
    """A batch of equally long, labelled excerpts.

    Attributes:
        waveform: (batch, channel, time) float32 in [-1, 1]; zero beyond a clip's length.
        lengths: (batch,) int64, valid samples of each clip, on the waveform's device.
        targets: (batch, class) float32: one-hot, multi-hot or mixed, on the waveform's device.
        clip_index: (batch,) int64 on the CPU: each clip's row in the dataset it came from.
    """

    waveform: Tensor
    lengths: Tensor
    targets: Tensor
    clip_index: Tensor

    def __len__(self) -> int:
        """The number of clips."""
        return self.waveform.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> "AudioBatch":
        """The same batch with waveform, lengths and targets on ``device``."""
        return replace(
            self,
            waveform=self.waveform.to(device, non_blocking=non_blocking),
            lengths=self.lengths.to(device, non_blocking=non_blocking),
            targets=self.targets.to(device, non_blocking=non_blocking),
        )

    def __repr__(self) -> str:
        shape = ", ".join(map(str, self.waveform.shape))
        return (
            f"AudioBatch(waveform=({shape}) {self.waveform.dtype} on {self.waveform.device}, "
            f"lengths={tuple(self.lengths.shape)}, targets={tuple(self.targets.shape)})"
        )
