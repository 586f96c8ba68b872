"""Running a loader's batches ahead of their consumer: in threads, in order, and gone when the consumer leaves."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

import torch

from tonearm.batch import AudioBatch
from tonearm.dataio.excerpts import Decoder
from tonearm.errors import RunError

Place = TypeVar("Place")
_READY = 1  # batches beyond those being made; more only costs memory, since decoding is steady


@dataclass(frozen=True)
class Lane:
    """What makes one batch at a time: a decoder, and on a GPU a stream of its own, so that copies overlap compute."""

    decoder: Decoder
    stream: torch.cuda.Stream | None


class Lanes:
    """Makes batches in a few lanes at once and hands them out in order.

    Several iterations may share the lanes; each batch takes the next one that is free.
    """

    def __init__(self, lanes: list[Lane]) -> None:
        self.process = os.getpid()
        self._number = len(lanes)
        self._idle = SimpleQueue[Lane]()
        for lane in lanes:
            self._idle.put(lane)

    def run(self, places: Iterator[Place], make: Callable[[Place, Decoder], AudioBatch]) -> Iterator[AudioBatch]:
        """Yield ``make(place, decoder)`` for every place, in order; leaving early waits for what is being made.

        An error is raised where the batch would have come. On a GPU the consumer's stream waits for a batch's copy.
        """
        threads = ThreadPoolExecutor(self._number, thread_name_prefix="tonearm-loader")
        pending: deque[Future[tuple[AudioBatch, torch.cuda.Event | None]]] = deque()
        try:
            for place in places:
                pending.append(threads.submit(self._make, place, make))
                if len(pending) > self._number + _READY:
                    yield _hand_over(*pending.popleft().result())
                if os.getpid() != self.process:
                    raise RunError("this iteration began in another process; begin a new one after a fork.")
            while pending:
                yield _hand_over(*pending.popleft().result())
                if os.getpid() != self.process:
                    raise RunError("this iteration began in another process; begin a new one after a fork.")
        finally:
            threads.shutdown(wait=True, cancel_futures=True)

    def _make(
        self, place: Place, make: Callable[[Place, Decoder], AudioBatch]
    ) -> tuple[AudioBatch, torch.cuda.Event | None]:
        lane = self._idle.get()
        try:
            with torch.cuda.stream(lane.stream):
                return make(place, lane.decoder), None if lane.stream is None else lane.stream.record_event()
        finally:
            self._idle.put(lane)


def _hand_over(batch: AudioBatch, made: torch.cuda.Event | None) -> AudioBatch:
    """Let the consumer's stream wait for the batch, and its memory live until that stream is through with it."""
    if made is not None:
        stream = torch.cuda.current_stream(batch.waveform.device)
        stream.wait_event(made)
        for tensor in (batch.waveform, batch.lengths, batch.targets):
            tensor.record_stream(stream)
    return batch
