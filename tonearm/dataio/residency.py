"""Datasets that stay decoded in memory, on the host or on the device, and batches gathered from there.

Samples stay as small as they are exact: int16 for the codecs pcm16 and flac, float32 for ``source``, whose files may
hold more than 16 bits.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from tonearm.dataio.columns import Array
from tonearm.dataio.dataset import DamagedClipError, Dataset
from tonearm.dataio.decode_copy import to_waveform
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.excerpts import FULL_SCALE, Excerpts
from tonearm.dataio.mapped_shards import Verify
from tonearm.errors import RequestError

Residency = Literal["auto", "stream", "memory", "device"]
RESIDENCIES: tuple[Residency, ...] = ("auto", "stream", "memory", "device")
_SHARE = 4  # "auto" takes at most a quarter of a memory: the rest is for the model and for others


@dataclass(frozen=True)
class ResidentClips:
    """All clips of a dataset, decoded, one after the other.

    Attributes:
        samples: (frames of all clips, channels) int16 or float32.
        offsets: (clips,) first frame of each.
        damaged: why, for each row that could not be read.
    """

    samples: Array
    offsets: Array
    damaged: dict[int, str]  # not the errors, whose tracebacks would hold on to batches

    def view(self, row: int, start: int, num_frames: int) -> Array:
        """(num_frames, channels) of a clip, without a copy.

        Raises:
            DamagedClipError: the clip could not be read when the dataset was loaded.
        """
        if row in self.damaged:
            raise DamagedClipError(self.damaged[row], row)
        first = int(self.offsets[row]) + start
        return self.samples[first : first + num_frames]


def load_resident(dataset: Dataset, *, num_threads: int, verify: Verify) -> ResidentClips:
    """Decode a dataset into memory; clips that cannot be read are kept with their error."""
    frames = dataset.table.num_frames
    offsets = np.cumsum(frames) - frames
    samples = np.empty((int(frames.sum()), dataset.num_channels), _dtype(dataset))
    damaged: dict[int, str] = {}

    def load(row: int) -> None:
        try:
            if dataset.header.codec == "pcm16":
                clip = dataset.pcm(row, 0, int(frames[row]), verify=verify)
            else:
                clip = decode_clip(dataset, row, verify=verify)
                if samples.dtype == np.int16:
                    clip = clip * np.float32(FULL_SCALE)  # exact: it was divided by this power of two
        except DamagedClipError as error:
            damaged[row] = str(error)
        else:
            np.copyto(samples[offsets[row] : offsets[row] + len(clip)], clip, casting="unsafe")

    rows = iter(range(len(dataset)))

    def take_turns() -> None:
        for row in rows:  # threads share the iterator
            load(row)

    with ThreadPoolExecutor(num_threads, thread_name_prefix="tonearm-load") as threads:
        for task in [threads.submit(take_turns) for _ in range(num_threads)]:
            task.result()
    return ResidentClips(samples, offsets, damaged)


class DeviceDecoder:
    """Gathers batches from clips that lie on the device."""

    def __init__(self, clips: ResidentClips, *, device: torch.device) -> None:
        self._offsets, self._damaged = clips.offsets, clips.damaged
        self._samples = torch.from_numpy(clips.samples).to(device)

    def __call__(self, excerpts: Excerpts) -> Tensor:
        """Gather a batch; see :class:`tonearm.dataio.excerpts.Decoder`."""
        for row in excerpts.rows.tolist():
            if row in self._damaged:
                raise DamagedClipError(self._damaged[row], row)
        device = self._samples.device
        places = torch.from_numpy(np.stack([self._offsets[excerpts.rows] + excerpts.starts, excerpts.counts]))
        if device.type == "cuda":
            places = places.pin_memory()
        first, counts = places.to(device, non_blocking=True)
        time = torch.arange(excerpts.num_samples, device=device)
        valid = time < counts[:, None]
        index = torch.where(valid, first[:, None] + time, 0)
        batch = self._samples[index] * valid[:, :, None]  # (batch, time, channel)
        return to_waveform(batch)


def choose_residency(residency: Residency, dataset: Dataset, device: torch.device, *, local_ranks: int,
                     memory_bytes: Callable[[torch.device], int | None]) -> Residency:  # fmt: skip
    """What "auto" stands for: the device or memory if the decoded clips fit a quarter of it, else stream.

    On a CPU, pcm16 streams: its mapped shards lie in the page cache, decoded as they are.

    Args:
        residency: what was asked for.
        dataset: the clips.
        device: where batches go.
        local_ranks: processes on this machine that each would hold the dataset.
        memory_bytes: tells how much memory a device has, None if it cannot.

    Raises:
        RequestError: no such residency.
    """
    if residency not in RESIDENCIES:
        raise RequestError(f"unknown residency {residency!r}; there are {', '.join(RESIDENCIES)}.")
    if residency != "auto":
        return "memory" if residency == "device" and device.type == "cpu" else residency
    needed = resident_bytes(dataset) * _SHARE
    if device.type == "cuda" and needed <= (memory_bytes(device) or 0):
        return "device"
    if device.type == "cpu" and dataset.header.codec == "pcm16":
        return "stream"
    return "memory" if needed * local_ranks <= (memory_bytes(torch.device("cpu")) or 0) else "stream"


def resident_bytes(dataset: Dataset) -> int:
    """What a dataset takes once decoded."""
    return int(dataset.table.num_frames.sum()) * dataset.num_channels * _dtype(dataset).itemsize


def memory_bytes(device: torch.device) -> int | None:
    """The memory of a GPU, or of this machine as far as this process may use it; None if the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    limits = []
    # a container's limit: control groups, version 2 and 1
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(int(Path(file).read_text()))
        except (OSError, ValueError):
            continue
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    except (OSError, ValueError):
        pass
    return min(limits, default=None)


def _dtype(dataset: Dataset) -> np.dtype[np.int16] | np.dtype[np.float32]:
    return np.dtype(np.float32) if dataset.header.codec == "source" else np.dtype(np.int16)
