"""ClipLoader: order, decoding and prefetch, put together to yield AudioBatch."""

import queue
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch

from tonearm.batch import AudioBatch
from tonearm.dataio.columns import Array
from tonearm.dataio.dataset import Dataset, Verify
from tonearm.dataio.decode_pcm16 import Pcm16Decoder
from tonearm.dataio.decode_soundfile import SoundfileDecoder
from tonearm.dataio.excerpts import Decoder, Excerpts
from tonearm.dataio.order import crop_starts, epoch_order
from tonearm.dataio.workers import available_cores
from tonearm.errors import RequestError

Backend = Literal["auto", "copy", "dali", "soundfile"]
BACKENDS: tuple[Backend, ...] = ("auto", "copy", "dali", "soundfile")
_PREFETCH = 2  # batches ready while one is used; more only costs memory, since decoding is steady


class ClipLoader:
    """Batches of equally long excerpts of a dataset, decoded ahead by threads.

    With ``shuffle`` the loader trains: each epoch is a new permutation and each excerpt a random crop, both a function
    of (seed, epoch), and a last batch that is not full is left out. Without it the loader evaluates: the clips in their
    order, each once and from its beginning. Clips shorter than the excerpt are padded with zeros at their end.

    Each pass over the loader is an epoch, counted in ``epoch``; set it to repeat one or to resume.

    Args:
        dataset: the clips, for example ``open_dataset(path).where(fold=[1, 2, 3])``.
        batch_size: clips a batch.
        duration_seconds: length of an excerpt; by default that of the longest clip.
        device: where the batches lie.
        shuffle: see above.
        seed: what order and crops depend on.
        backend: "auto" copies pcm16 and decodes the rest with DALI, or with soundfile where DALI is not installed;
            "copy", "dali" and "soundfile" force one.
        num_threads: decoding threads; by default one a core, on a GPU one less.
        verify: check the CRC of each 64-KiB block when it is "first" touched, "always" or "never".

    Yields:
        AudioBatch: waveform (batch, channel, time) float32 on ``device``; ``clip_index`` are rows of ``dataset``.

    Raises:
        RequestError: an empty dataset, a batch larger than it in training, a backend that does not fit or is missing.
        ShardError: while iterating, for a clip that is damaged.

    Example:
        >>> loader = ClipLoader(dataset, batch_size=32, duration_seconds=4.0, shuffle=True)  # doctest: +SKIP
        >>> for batch in loader:  # doctest: +SKIP
        ...     batch.waveform.shape
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int = 32,
        duration_seconds: float | None = None,
        device: torch.device | str = "cpu",
        shuffle: bool = False,
        seed: int = 0,
        backend: Backend = "auto",
        num_threads: int | None = None,
        verify: Verify = "first",
    ) -> None:
        if len(dataset) == 0:
            raise RequestError(f"{dataset.root}: no clips to load; the fold or split that was asked for is empty.")
        if batch_size < 1:
            raise RequestError(f"batch_size is {batch_size}; it must be at least 1.")
        if shuffle and batch_size > len(dataset):
            raise RequestError(
                f"batch_size is {batch_size}, but there are only {len(dataset)} clips to train on, so no batch is "
                "full. Choose a smaller one."
            )
        if num_threads is not None and num_threads < 1:
            raise RequestError(f"num_threads is {num_threads}; it must be at least 1.")
        if duration_seconds is not None and not duration_seconds * dataset.sample_rate >= 1:
            raise RequestError(f"duration_seconds is {duration_seconds}; it must be at least one sample.")
        self.dataset = dataset
        self.batch_size = batch_size
        self.num_samples = (
            int(dataset.table.num_frames.max())
            if duration_seconds is None
            else round(duration_seconds * dataset.sample_rate)
        )
        self.device = _check_device(device)
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        cores = available_cores()
        threads = num_threads or (max(1, cores - 1) if self.device.type == "cuda" else cores)
        self.backend = _choose_backend(backend, dataset)
        self._decoder = self._make_decoder(threads, verify)
        self._one_batch_at_a_time = threading.Lock()  # decoders keep buffers; two iterators may live at once
        self._targets = torch.from_numpy(dataset.table.targets(np.arange(len(dataset)), len(dataset.class_names)))

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (0 if self.shuffle or rest == 0 else 1)

    def __iter__(self) -> Iterator[AudioBatch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        order, starts, counts = self._plan(epoch)
        batches = range(len(self))

        def produce() -> Iterator[AudioBatch]:
            for number in batches:
                part = slice(number * self.batch_size, (number + 1) * self.batch_size)
                yield self._load(Excerpts(order[part], starts[part], counts[part], self.num_samples))

        return _prefetch(produce(), self.device)

    def _make_decoder(self, num_threads: int, verify: Verify) -> Decoder:
        if self.backend == "copy":
            return Pcm16Decoder(self.dataset, device=self.device, num_threads=num_threads, verify=verify)
        if self.backend == "soundfile":
            return SoundfileDecoder(self.dataset, device=self.device, verify=verify)
        from tonearm.dataio.decode_dali import DaliDecoder

        return DaliDecoder(
            self.dataset,
            batch_size=self.batch_size,
            num_samples=self.num_samples,
            device=self.device,
            num_threads=num_threads,
            verify=verify,
        )

    def _plan(self, epoch: int) -> tuple[Array, Array, Array]:
        """The rows, first frames and valid frames of an epoch, in order."""
        frames = self.dataset.table.num_frames
        if self.shuffle:
            order = epoch_order(len(self.dataset), seed=self.seed, epoch=epoch)
            starts = crop_starts(frames[order], self.num_samples, seed=self.seed, epoch=epoch)
        else:
            order = np.arange(len(self.dataset))
            starts = np.zeros(len(order), np.int64)
        return order, starts, np.minimum(frames[order] - starts, self.num_samples)

    def _load(self, excerpts: Excerpts) -> AudioBatch:
        rows = torch.from_numpy(excerpts.rows)
        with self._one_batch_at_a_time:
            waveform = self._decoder(excerpts)
        lengths, targets = torch.from_numpy(excerpts.counts), self._targets[rows]
        if self.device.type == "cuda":  # from pinned memory, or these small copies would wait for the large one
            lengths, targets = lengths.pin_memory(), targets.pin_memory()
        return AudioBatch(
            waveform=waveform,
            lengths=lengths.to(self.device, non_blocking=True),
            targets=targets.to(self.device, non_blocking=True),
            clip_index=rows,
        )


def _check_device(device: torch.device | str) -> torch.device:
    """The device with its number: which GPU is current belongs to a thread, and batches are made in another."""
    device = torch.device(device)
    if device.type != "cuda":
        return device
    count = torch.cuda.device_count()
    asked: int | None = device.index
    number = torch.cuda.current_device() if asked is None and count else asked or 0
    if number >= count:
        raise RequestError(f"device {device}: torch can use {count} GPUs on this machine; tonearm doctor says why.")
    return torch.device("cuda", number)


def _choose_backend(backend: Backend, dataset: Dataset) -> Backend:
    codec = dataset.header.codec
    has_dali = find_spec("nvidia") is not None and find_spec("nvidia.dali") is not None
    if backend not in BACKENDS:
        raise RequestError(f"unknown backend {backend!r}; there are {', '.join(BACKENDS)}.")
    if backend == "copy" and codec != "pcm16":
        raise RequestError(f"backend copy is for codec pcm16, but {dataset.root} is {codec}; use dali or soundfile.")
    if backend == "dali" and not has_dali:
        raise RequestError("backend dali: NVIDIA DALI is not installed. pip install 'tonearm[cuda13]' (or cuda12).")
    if backend != "auto":
        return backend
    if codec == "pcm16":
        return "copy"
    return "dali" if has_dali else "soundfile"


def _prefetch(batches: Iterator[AudioBatch], device: torch.device) -> Iterator[AudioBatch]:
    """Run ``batches`` in a thread, a few ahead; an error there is raised here, and leaving early stops the thread.

    On a GPU the thread works on a stream of its own, so that copies overlap with compute; the consumer's stream waits
    for each batch's event before it may read it.
    """
    ready: queue.Queue[AudioBatch | BaseException | None] = queue.Queue(_PREFETCH)
    events: queue.Queue[torch.cuda.Event] = queue.Queue()
    stop = threading.Event()

    def put(item: AudioBatch | BaseException | None) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            stream = torch.cuda.Stream(device) if device.type == "cuda" else None
            with torch.cuda.stream(stream):
                for batch in batches:
                    if stream is not None:
                        events.put(stream.record_event())
                    if not put(batch):
                        return
            put(None)
        except BaseException as error:  # handed to the consumer, whose loop it must end
            put(error)

    thread = threading.Thread(target=work, name="tonearm-loader", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            if device.type == "cuda":
                stream = torch.cuda.current_stream(device)
                stream.wait_event(events.get())
                for tensor in (item.waveform, item.lengths, item.targets):
                    tensor.record_stream(stream)  # its memory is not reused before this stream is through with it
            yield item
            del item
    finally:
        stop.set()
        thread.join()
