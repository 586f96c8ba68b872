"""From samples to a batch: threads copy int16 views into it and scale them.

For pcm16 that is all there is to do, so the copy goes around DALI; DALI's decoded clips become batches this way too.

On a CPU a thread converts one clip at a time, so that the second pass over it (the scaling) finds it in the cache. On a
GPU the clips are gathered in pinned int16 memory, half the bytes of float32, copied asynchronously and scaled there.
``tonearm bench loader`` shows this beside DALI on the same shards.
"""

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import torch
from torch import Tensor

from tonearm.dataio.columns import Array
from tonearm.dataio.excerpts import FULL_SCALE, Excerpts

_SCALE = np.float32(1 / FULL_SCALE)
_SPARE_BUFFERS = 4  # kept for the batches in the making and the one that the consumer looks at
_PINNED_BUFFERS = 3  # one being filled, one on its way, one in reserve

ClipView = Callable[[int, int, int], Array]  # (row, first frame, frames) to (frames, channels), int16 or float32


class BatchFiller:
    """Copies excerpts into a batch on ``device`` with ``num_threads`` threads; int16 is scaled, float32 is not.

    Args:
        num_channels: of every clip.
        device: where the batch lies.
        num_threads: how many copy; 1 is the calling thread alone.
        pool: where batches on the CPU come from.
    """

    def __init__(self, *, num_channels: int, device: torch.device, num_threads: int, pool: "BufferPool") -> None:
        self._num_channels, self._device, self._pool = num_channels, device, pool
        self._num_threads = num_threads
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix="tonearm-copy") if num_threads > 1 else None
        self._pinned: list[tuple[Tensor, torch.cuda.Event]] = []
        self._turn = 0

    def fill(self, excerpts: Excerpts, view: ClipView) -> Tensor:
        """A batch of the excerpts that ``view`` hands out; see :class:`tonearm.dataio.excerpts.Decoder`."""
        if self._device.type == "cuda":
            return self._to_gpu(excerpts, view)
        batch = self._pool.take((len(excerpts.rows), self._num_channels, excerpts.num_samples))

        def convert(place: int, clip: Array) -> None:
            count = len(clip)
            out = batch[place]
            valid = out[:, :count]
            np.copyto(valid, clip.T)
            if clip.dtype == np.int16:
                np.multiply(valid, _SCALE, out=valid)
            if count < excerpts.num_samples:
                out[:, count:] = 0

        self._each_clip(excerpts, view, convert)
        return torch.from_numpy(batch)

    def _to_gpu(self, excerpts: Excerpts, view: ClipView) -> Tensor:
        """Fill pinned memory, start its copy on the current stream, and scale on the device."""
        first = view(int(excerpts.rows[0]), int(excerpts.starts[0]), int(excerpts.counts[0]))
        shape = (len(excerpts.rows), excerpts.num_samples, self._num_channels)
        pinned, copied = self._next_pinned(shape, torch.from_numpy(np.empty(0, first.dtype)).dtype)
        copied.synchronize()  # a wait of the host for a copy three batches ago, not for the device's compute
        batch = pinned.numpy()

        def gather(place: int, clip: Array) -> None:
            batch[place, : len(clip)] = clip
            batch[place, len(clip) :] = 0

        self._each_clip(excerpts, view, gather)
        moved = pinned.to(self._device, non_blocking=True)
        copied.record()
        return to_waveform(moved)

    def _next_pinned(self, shape: tuple[int, int, int], dtype: torch.dtype) -> tuple[Tensor, torch.cuda.Event]:
        self._turn = (self._turn + 1) % _PINNED_BUFFERS
        if len(self._pinned) <= self._turn:
            self._pinned.extend(
                (torch.empty(shape, dtype=dtype, pin_memory=True), torch.cuda.Event())
                for _ in range(self._turn + 1 - len(self._pinned))
            )
        buffer, event = self._pinned[self._turn]
        if buffer.shape[1:] != shape[1:] or len(buffer) < shape[0]:
            event.synchronize()
            buffer = torch.empty(shape, dtype=dtype, pin_memory=True)
            self._pinned[self._turn] = (buffer, event)
        return buffer[: shape[0]], event

    def _each_clip(self, excerpts: Excerpts, view: ClipView, work: Callable[[int, Array], None]) -> None:
        """Do ``work`` for every clip; each thread takes the next one, in one task a thread instead of one a clip."""
        places = enumerate(zip(excerpts.rows.tolist(), excerpts.starts.tolist(), excerpts.counts.tolist(), strict=True))

        def take_turns() -> None:
            for place, (row, start, count) in places:  # threads share the iterator, whose next() is atomic
                work(place, view(row, start, count))

        if self._threads is None:
            take_turns()
            return
        tasks = [self._threads.submit(take_turns) for _ in range(self._num_threads)]
        wait(tasks)  # a batch that fails is made again: nobody may still write into this one's buffer
        for task in tasks:
            task.result()


class CopyDecoder:
    """Batches of excerpts that need no decoding: of mapped pcm16 shards, or of a dataset held in memory."""

    def __init__(self, view: ClipView, filler: BatchFiller) -> None:
        self._view, self._filler = view, filler

    def __call__(self, excerpts: Excerpts) -> Tensor:
        """Decode a batch; see :class:`tonearm.dataio.excerpts.Decoder`."""
        return self._filler.fill(excerpts, self._view)


def to_waveform(batch: Tensor) -> Tensor:
    """(batch, time, channel) int16 or float32 to (batch, channel, time) float32 in [-1, 1], on the batch's device."""
    waveform = batch.to(torch.float32)
    if batch.dtype == torch.int16:
        waveform.mul_(1 / FULL_SCALE)
    return waveform.transpose(1, 2).contiguous()


class BufferPool:
    """Float32 arrays that are handed out again once nobody else holds them; threads may share one.

    Fresh memory costs a page fault every 4 KiB, which takes as long as the conversion itself. A tensor made from an
    array, and every view of that tensor, keeps a reference to the array: while one lives, the array stays taken. Of
    those that came back only a few are kept, however many batches the consumer once held.
    """

    def __init__(self) -> None:
        self._arrays: list[Array] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> Array:
        """An array of ``shape`` with undefined contents; a shorter batch gets the beginning of a longer one's."""
        with self._lock:
            free, taken = [], []
            for place in range(len(self._arrays)):  # enumerate would hold a reference of its own
                array = self._arrays[place]
                fits = array.shape[1:] == shape[1:] and len(array) >= shape[0]
                if sys.getrefcount(array) > _UNUSED:
                    taken.append(place)
                elif fits:
                    free.append(place)
                del array  # or the last one would seem to be in use
            chosen = self._arrays[free[0]] if free else np.empty(shape, np.float32)
            spare = [self._arrays[place] for place in free[1 : 1 + _SPARE_BUFFERS]]
            self._arrays = [*(self._arrays[place] for place in taken), *spare, chosen]
            return chosen[: shape[0]]


def _references_when_unused() -> int:
    """What ``getrefcount`` says of an array in a list and in a variable that nobody else holds, on this interpreter."""
    arrays = [np.empty(0, np.float32)]
    array = arrays[0]
    return sys.getrefcount(array)


_UNUSED = _references_when_unused()
