"""The ceiling of FLAC: DALI decoding the clips' bytes from memory, without a file, a CRC or a loader."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FULL_SCALE = 32768
SCALE = np.float32(1 / FULL_SCALE)
BUFFERS = 3  # of a lane: one that the consumer holds, one that waits for it, one that is filled


class DaliCeiling:
    """Decodes FLAC bytes that lie in memory into float32 batches, as DALI alone does it.

    The bytes are all at hand, DALI takes them ahead by itself and decodes to int16; what it hands over is converted
    into a buffer that is used again, so a batch is valid only until the next one is asked for. A CPU converts clip by
    clip, as the loader does: the second pass over a clip finds it in the cache. For a GPU, DALI pads and carries the
    batch over. Batches go round over ``lanes``, pipelines that each have their share of the threads and one more that
    converts.

    Args:
        payloads: uint8 each, one FLAC stream a clip.
        num_samples: of the longest clip.
        batch_size: clips a batch; the last may be smaller.
        device: where the batches lie.
        lanes: pipelines.
        num_threads: of DALI, in all of them together.
        depth: batches that a pipeline works ahead.
    """

    def __init__(
        self,
        payloads: Sequence[NDArray[np.uint8]],
        *,
        num_samples: int,
        batch_size: int,
        device: torch.device,
        lanes: int,
        num_threads: int,
        depth: int,
    ) -> None:
        parts = [list(payloads[start : start + batch_size]) for start in range(0, len(payloads), batch_size)]
        self._number = len(parts)
        lanes = min(lanes, len(parts))
        self._lanes = [
            Lane(
                parts[lane::lanes],
                num_samples=num_samples,
                batch_size=batch_size,
                device=device,
                num_threads=len(range(lane, max(num_threads, lanes), lanes)),
                depth=depth,
            )
            for lane in range(lanes)
        ]

    def __iter__(self) -> Iterator[Tensor]:
        pending: deque[Future[Tensor]] = deque()
        for _, lane in zip(range(self._number), cycle(self._lanes), strict=False):
            pending.append(lane.thread.submit(lane.next_batch))
            if len(pending) > len(self._lanes):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
        for lane in self._lanes:
            lane.rewind()

    def close(self) -> None:
        """End the threads."""
        for lane in self._lanes:
            lane.thread.shutdown()


class Lane:
    """A pipeline over its batches, and a thread that runs it and converts what comes."""

    def __init__(
        self,
        parts: list[list[NDArray[np.uint8]]],
        *,
        num_samples: int,
        batch_size: int,
        device: torch.device,
        num_threads: int,
        depth: int,
    ) -> None:
        from nvidia.dali import Pipeline, fn, types

        gpu = device.type == "cuda"
        self._pipeline: Any = Pipeline(
            batch_size,
            num_threads,
            (device.index or 0) if gpu else None,
            prefetch_queue_depth=depth,
            exec_pipelined=True,
            exec_async=True,
            exec_dynamic=True,  # named as in the loader's own pipeline
        )
        with self._pipeline:
            clips = fn.external_source(source=parts, batch=True, cycle="raise", dtype=types.UINT8, ndim=1, no_copy=True)
            audio, _ = fn.decoders.audio(clips, dtype=types.INT16)
            self._pipeline.set_outputs(fn.pad(audio, axes=[0], shape=[num_samples]).gpu() if gpu else audio)
        self._pipeline.build()
        self._gpu = gpu
        self._buffers = cycle([torch.zeros((batch_size, 1, num_samples), device=device) for _ in range(BUFFERS)])
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="dali-ceiling")

    def next_batch(self) -> Tensor:
        """The next batch of the pass, in a buffer."""
        (output,) = self._pipeline.run()
        batch: Tensor = next(self._buffers)[: len(output)]
        if self._gpu:
            decoded = torch.utils.dlpack.from_dlpack(output.as_tensor())
            batch[:, 0].copy_(decoded[:, :, 0]).mul_(1 / FULL_SCALE)
            # DALI takes its buffer back and knows nothing of torch's streams.
            torch.cuda.current_stream(batch.device).synchronize()
            return batch
        for place, row in enumerate(batch.numpy()[:, 0]):
            clip = np.asarray(output.at(place))[:, 0]
            valid = row[: len(clip)]
            np.copyto(valid, clip)
            np.multiply(valid, SCALE, out=valid)
            row[len(clip) :] = 0
        return batch

    def rewind(self) -> None:
        """Begin the next pass: DALI asks that the end of the last one was seen."""
        try:
            self._pipeline.run()
        except StopIteration:
            self._pipeline.reset()
