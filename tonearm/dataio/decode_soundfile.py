"""The slow, obvious decoder: one clip after the other, with soundfile. The reference of the fast ones."""

import numpy as np
import torch
from torch import Tensor

from tonearm.dataio.audio_file import decode_bytes
from tonearm.dataio.columns import Array
from tonearm.dataio.dataset import DamagedClipError, Dataset
from tonearm.dataio.excerpts import FULL_SCALE, Excerpts
from tonearm.dataio.mapped_shards import Verify
from tonearm.dataio.shards import MADE_ANEW
from tonearm.errors import AudioError


def decode_clip(dataset: Dataset, row: int, *, verify: Verify = "first") -> Array:
    """A whole clip as float32 (frames, channels).

    Raises:
        DamagedClipError: the clip does not decode to the length and channels that its columns give.
    """
    frames = int(dataset.table.num_frames[row])
    if dataset.header.codec == "pcm16":
        return dataset.pcm(row, 0, frames, verify=verify).astype(np.float32) / FULL_SCALE
    try:
        samples = decode_bytes(dataset.payload(row, verify=verify).tobytes(), num_frames=frames)
    except AudioError as error:
        message = f"{dataset.where_is(row)}: {error}. Delete the shard. {MADE_ANEW}"
        raise DamagedClipError(message, row) from error
    if samples.shape != (frames, dataset.num_channels):
        raise DamagedClipError(
            f"{dataset.where_is(row)}: decodes to {samples.shape[0]} frames of {samples.shape[1]} channels, but "
            f"{frames} of {dataset.num_channels} were packed. Delete the shard. {MADE_ANEW}",
            row,
        )
    return samples


class SoundfileDecoder:
    """Decodes on the CPU with soundfile, and copies the batch to the device."""

    def __init__(self, dataset: Dataset, *, device: torch.device, verify: Verify) -> None:
        self._dataset, self._device, self._verify = dataset, device, verify

    def __call__(self, excerpts: Excerpts) -> Tensor:
        """Decode a batch; see :class:`tonearm.dataio.excerpts.Decoder`."""
        waveform = np.zeros((len(excerpts.rows), self._dataset.num_channels, excerpts.num_samples), np.float32)
        for place, (row, start, count) in enumerate(zip(excerpts.rows, excerpts.starts, excerpts.counts, strict=True)):
            samples = decode_clip(self._dataset, int(row), verify=self._verify)
            waveform[place, :, :count] = samples[start : start + count].T
        return torch.from_numpy(waveform).to(self._device)
