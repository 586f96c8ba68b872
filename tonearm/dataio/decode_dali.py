"""Decoding with NVIDIA DALI: the only module that imports it.

Bytes enter by ``external_source`` as views of the mapped shards and are decoded by DALI's threads; the excerpts are cut
from its output while they are copied into the batch. DALI works on the CPU alone: its audio decoder does, and int16 is
carried to a GPU by the same pinned ring as pcm16. DALI does not say which clip of a batch was bad, so when it fails the
culprit is found clip by clip with soundfile.
"""

import os
from typing import Any

import numpy as np
from nvidia.dali import Pipeline, fn, types
from torch import Tensor

from tonearm.dataio.columns import Array
from tonearm.dataio.dataset import DamagedClipError, Dataset
from tonearm.dataio.decode_copy import BatchFiller
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.excerpts import Excerpts
from tonearm.dataio.mapped_shards import Verify
from tonearm.dataio.shards import MADE_ANEW
from tonearm.errors import RunError

_built_in: int | None = None  # the process that has pipelines; after a fork DALI hangs


class DaliDecoder:
    """Decodes batches of up to ``batch_size`` clips of any codec with ``num_threads`` threads."""

    def __init__(
        self, dataset: Dataset, filler: BatchFiller, *, batch_size: int, num_threads: int, verify: Verify
    ) -> None:
        self._dataset, self._filler, self._verify = dataset, filler, verify
        self._batch_size, self._num_threads = batch_size, num_threads
        self._pipeline: Pipeline | None = None

    def __call__(self, excerpts: Excerpts) -> Tensor:
        """Decode a batch; see :class:`tonearm.dataio.excerpts.Decoder`."""
        rows = np.unique(excerpts.rows).tolist()
        clips = dict(zip(rows, self._decode(rows), strict=True))
        return self._filler.fill(excerpts, lambda row, start, count: clips[row][start : start + count])

    def _decode(self, rows: list[int]) -> list[Array]:
        """Whole clips, (frames, channels) int16 or float32 each."""
        frames, channels = self._dataset.table.num_frames, self._dataset.num_channels
        if self._dataset.header.codec == "pcm16":  # nothing to decode: DALI hands on what it is given
            sources = [self._dataset.pcm(row, 0, int(frames[row]), verify=self._verify) for row in rows]
        else:
            sources = [self._dataset.payload(row, verify=self._verify) for row in rows]
        self._pipeline = self._pipeline or self._build()
        try:
            # The views must live until run() returns; with a queue of depth 1 the pipeline keeps none after that.
            self._pipeline.feed_input("clips", sources)
            (output,) = self._pipeline.run()
        except RuntimeError as error:
            self._pipeline = None  # a pipeline that failed is not used again
            for row in rows:
                decode_clip(self._dataset, row, verify=self._verify)
            for row, source in zip(rows, sources, strict=True):
                self._decode_alone(row, source)
            raise RunError(f"DALI failed on a batch whose clips it decodes one by one: {error}") from error
        clips = [np.asarray(output.at(place)) for place in range(len(rows))]
        for row, clip in zip(rows, clips, strict=True):
            if clip.shape != (frames[row], channels):
                raise DamagedClipError(
                    f"{self._dataset.where_is(row)}: decodes to the shape {clip.shape}, but ({frames[row]}, "
                    f"{channels}) was packed. Delete the shard. {MADE_ANEW}",
                    row,
                )
        return clips

    def _decode_alone(self, row: int, source: Array) -> None:
        """Decode a clip that soundfile takes with a pipeline of its own."""
        pipeline = self._build()
        try:
            pipeline.feed_input("clips", [source])
            pipeline.run()
        except RuntimeError as error:
            raise DamagedClipError(
                f"{self._dataset.where_is(row)}: soundfile decodes it, DALI does not ({str(error).splitlines()[0]}). "
                "Load with backend='soundfile', or pack it again with codec flac or pcm16.",
                row,
            ) from error

    def _build(self) -> Any:
        global _built_in
        if _built_in not in (None, os.getpid()):
            raise RunError(
                "DALI was used in this process before it was forked, and does not survive that. Start processes by "
                "spawn, or load with backend='soundfile' in those that are forked."
            )
        _built_in = os.getpid()
        codec = self._dataset.header.codec
        # The executor is named because with the static one a tensor handed out would be overwritten by a later batch.
        pipeline = Pipeline(
            self._batch_size,
            self._num_threads,
            device_id=None,
            prefetch_queue_depth=1,
            exec_pipelined=True,
            exec_async=True,
            exec_dynamic=True,
        )
        with pipeline:
            if codec == "pcm16":
                audio = fn.external_source(name="clips", dtype=types.INT16, ndim=2, no_copy=True)
            else:
                data = fn.external_source(name="clips", dtype=types.UINT8, ndim=1, no_copy=True)
                # 16-bit FLAC is exact as int16; files of any depth are decoded to float
                audio, _ = fn.decoders.audio(data, dtype=types.INT16 if codec == "flac" else types.FLOAT)
            pipeline.set_outputs(audio)
        pipeline.build()
        return pipeline
