"""The copy ceiling: what is left of loading when there is no file, no order and no check, only the bytes to convert.

Whoever hands out float32 batches made from int16 samples has at least this to do.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FULL_SCALE = 32768


@dataclass
class Buffer:
    """Memory that is filled again and again; on a GPU it is pinned, and ``sent`` says when its last copy has ended."""

    samples: Tensor
    sent: torch.cuda.Event | None = None


class CopyCeiling:
    """Turns int16 clips that lie in memory into batches, as fast as plain threads can.

    Each thread fills whole batches; the buffers are used again, because fresh memory costs a page fault every 4 KiB. So
    a batch is valid only until the next one is asked for. On a GPU the threads gather int16 in pinned memory, and the
    device copies and converts. Only the thread that fills a buffer again waits for its copy; the consumer never does.

    Args:
        clips: (time,) int16 each, of equal length.
        batch_size: clips a batch; the last may be smaller.
        device: where the batches lie.
        num_threads: how many copy.
    """

    def __init__(
        self, clips: Sequence[NDArray[np.int16]], *, batch_size: int, device: torch.device, num_threads: int
    ) -> None:
        self._parts = [clips[start : start + batch_size] for start in range(0, len(clips), batch_size)]
        self._device = device
        self._gpu = device.type == "cuda"
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="copy-ceiling")
        # One for each thread, and one that the consumer holds.
        self._buffers = [
            Buffer(
                torch.zeros(
                    (batch_size, 1, len(clips[0])),
                    dtype=torch.int16 if self._gpu else torch.float32,
                    pin_memory=self._gpu,
                )
            )
            for _ in range(num_threads + 1)
        ]

    def __iter__(self) -> Iterator[Tensor]:
        filling: deque[tuple[Buffer, Future[Tensor]]] = deque()
        for number, part in enumerate(self._parts):
            buffer = self._buffers[number % len(self._buffers)]
            filling.append((buffer, self._threads.submit(self._fill, buffer, part)))
            if len(filling) == len(self._buffers):
                yield self._deliver(*filling.popleft())
        while filling:
            yield self._deliver(*filling.popleft())

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _fill(self, buffer: Buffer, part: Sequence[NDArray[np.int16]]) -> Tensor:
        if buffer.sent is not None:
            buffer.sent.synchronize()
        batch = buffer.samples[: len(part)]
        for row, clip in zip(batch.numpy()[:, 0], part, strict=True):
            np.copyto(row, clip)
            if not self._gpu:
                # A second pass over what the cache still holds; converting in one is slower in NumPy and in torch.
                np.multiply(row, np.float32(1 / FULL_SCALE), out=row)
        return batch

    def _deliver(self, buffer: Buffer, filled: Future[Tensor]) -> Tensor:
        batch = filled.result()
        if not self._gpu:
            return batch
        moved = batch.to(self._device, non_blocking=True)
        buffer.sent = torch.cuda.current_stream(self._device).record_event()
        return moved.to(torch.float32).mul_(1 / FULL_SCALE)
