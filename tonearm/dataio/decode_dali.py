"""Decoding with NVIDIA DALI: the only module that imports it.

Bytes enter by ``external_source`` as views of the mapped shards, are decoded by DALI's threads, cut and padded to the
batch's length, and leave as one tensor without a copy. On a GPU, DALI carries the batch over. DALI does not say which
clip of a batch was bad, so when it fails the culprit is found clip by clip with soundfile.
"""

from typing import Any

import numpy as np
import torch
from nvidia.dali import Pipeline, fn, types
from torch import Tensor

from tonearm.dataio.dataset import Dataset
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.excerpts import FULL_SCALE, Excerpts
from tonearm.dataio.mapped_shards import Verify
from tonearm.errors import RunError


class DaliDecoder:
    """Decodes batches of up to ``batch_size`` clips of any codec with ``num_threads`` threads onto ``device``."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        num_samples: int,
        device: torch.device,
        num_threads: int,
        verify: Verify,
    ) -> None:
        self._dataset, self._verify = dataset, verify
        self._settings = (batch_size, num_threads, device)
        self._num_samples = num_samples
        self._pipeline: Pipeline | None = None

    def __call__(self, excerpts: Excerpts) -> Tensor:
        """Decode a batch; see :class:`tonearm.dataio.excerpts.Decoder`."""
        if self._pipeline is None:
            self._pipeline = self._build()
        # The views must live until run() returns; with a queue of depth 1 the pipeline keeps none of them after that.
        starts = excerpts.starts.astype(np.int32)[:, None]
        rows = excerpts.rows.tolist()
        if self._dataset.header.codec == "pcm16":  # the excerpt itself is at hand, there is nothing to cut
            places = zip(rows, excerpts.starts.tolist(), excerpts.counts.tolist(), strict=True)
            clips = [self._dataset.pcm(row, start, count, verify=self._verify) for row, start, count in places]
            starts[:] = 0
        else:
            clips = [self._dataset.payload(row, verify=self._verify) for row in rows]
        try:
            self._pipeline.feed_input("clips", clips)
            self._pipeline.feed_input("starts", starts)
            (output,) = self._pipeline.run()
            batch = torch.utils.dlpack.from_dlpack(output.as_tensor())
        except RuntimeError as error:
            self._pipeline = None  # a pipeline that failed is not used again
            for row in rows:
                decode_clip(self._dataset, row, verify=self._verify)
            raise RunError(f"DALI failed on a batch whose clips soundfile decodes: {error}") from error
        gpu = batch.device.type == "cuda"
        waveform = batch.to(torch.float32, copy=gpu)
        if batch.dtype == torch.int16:
            waveform.mul_(1 / FULL_SCALE)
        if gpu:
            # DALI takes its buffer back as soon as ``batch`` is gone, and knows nothing of torch's streams: wait until
            # the copy is through. This holds up the loader's thread alone.
            torch.cuda.current_stream(batch.device).synchronize()
        return waveform.transpose(1, 2).contiguous()

    def _build(self) -> Any:
        batch_size, num_threads, device = self._settings
        gpu = device.type == "cuda"
        device_id = (device.index or 0) if gpu else None
        codec = self._dataset.header.codec
        # The executor is named because with the static one a tensor handed out would be overwritten by a later batch.
        pipeline = Pipeline(
            batch_size,
            num_threads,
            device_id,
            prefetch_queue_depth=1,
            exec_pipelined=True,
            exec_async=True,
            exec_dynamic=True,
        )
        with pipeline:
            raw = types.INT16 if codec == "pcm16" else types.UINT8
            audio = fn.external_source(name="clips", dtype=raw, ndim=2 if codec == "pcm16" else 1, no_copy=True)
            starts = fn.external_source(name="starts", dtype=types.INT32, ndim=1)
            if codec != "pcm16":
                # 16-bit FLAC is exact as int16; files of any depth are decoded to float
                audio, _ = fn.decoders.audio(audio, dtype=types.INT16 if codec == "flac" else types.FLOAT)
            audio = fn.slice(
                audio, start=starts, shape=[self._num_samples], axes=[0], out_of_bounds_policy="pad", fill_values=0
            )
            pipeline.set_outputs(audio.gpu() if gpu else audio)
        pipeline.build()
        return pipeline
