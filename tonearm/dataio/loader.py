"""ClipLoader: order, decoding and prefetch, put together to yield AudioBatch."""

import hashlib
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from tonearm.batch import AudioBatch
from tonearm.dataio import order
from tonearm.dataio.columns import Array
from tonearm.dataio.dataset import DamagedClipError, Dataset
from tonearm.dataio.decode_copy import BatchFiller, BufferPool, CopyDecoder
from tonearm.dataio.decode_soundfile import SoundfileDecoder
from tonearm.dataio.excerpts import Decoder, Excerpts
from tonearm.dataio.loader_settings import (
    Backend,
    check_choice,
    check_device,
    check_weights,
    choose_backend,
    integer,
    ranks_here,
)
from tonearm.dataio.loader_state import LoaderState
from tonearm.dataio.mapped_shards import Verify
from tonearm.dataio.prefetch import Lane, Lanes
from tonearm.dataio.residency import (
    DeviceDecoder,
    Residency,
    ResidentClips,
    choose_residency,
    load_resident,
    memory_bytes,
)
from tonearm.dataio.workers import available_cores
from tonearm.errors import RequestError, ShardError

Shuffle = Literal["global", "window"]
_LANES = 2  # batches in the making at a time: while one waits for its slowest clip, threads work on the next

_log = logging.getLogger(__name__)


class ClipLoader:
    """Batches of equally long excerpts of a dataset, decoded ahead by threads.

    With ``shuffle`` the loader trains: each epoch is a new order and each excerpt a random crop, both a function of
    (seed, epoch), and a last batch that is not full is left out, so that all ranks take equal steps. Without it the
    loader evaluates: the clips in their order, each once and from its beginning. Clips shorter than the excerpt are
    padded with zeros at their end.

    Each pass over the loader is an epoch, counted in ``epoch``; set it to repeat one. ``state_dict()`` tells the
    position that was consumed, in the middle of an epoch too, and ``load_state_dict`` goes on from there.

    A loader can be pickled and used after a fork: threads, files and pipelines are made anew in the other process.

    Args:
        dataset: the clips, for example ``open_dataset(path).where(fold=[1, 2, 3])``.
        batch_size: clips a batch, on this rank.
        duration_seconds: length of an excerpt; by default that of the longest clip.
        device: where the batches lie.
        shuffle: see above. True or "global" shuffles all clips; "window" shuffles shards, and then the clips within
            ``window_shards`` shards at a time, for data that is larger than memory.
        seed: what order and crops depend on.
        balanced: draw every class equally often in training, see :func:`tonearm.dataio.order.balanced_weights`.
        weights: (len(dataset),) how often to draw each clip in training, see
            :func:`tonearm.dataio.order.weighted_order`.
        window_shards: shards that are read at a time with shuffle="window".
        rank: which part of each global batch to load, of ``world_size`` parts.
        world_size: number of processes that share the dataset.
        backend: "auto" copies pcm16 and decodes the rest with DALI, or with soundfile where DALI is not installed;
            "copy", "dali" and "soundfile" force one.
        residency: "stream" reads the shards; "memory" keeps the decoded clips in memory, "device" on the device, from
            the first pass on; "auto" does so when they fit a quarter of it and that saves decoding or copying.
        num_threads: decoding threads; by default one a core, on a GPU one less.
        verify: check the CRC of each 64-KiB block when it is "first" touched, "always" or "never".
        on_corrupt: a clip that cannot be read: "raise", or "skip" it: in training another one takes its place, in
            evaluation its batch is smaller. ``damaged`` names them. A clip is then checked whole before any of it is
            used, so that the batches depend on nothing but the data, the seed and the epoch.

    Yields:
        AudioBatch: waveform (batch, channel, time) float32 on ``device``; ``clip_index`` are rows of ``dataset``.

    Raises:
        RequestError: an empty dataset, a batch larger than it in training, settings that do not fit or are missing.
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
        shuffle: bool | Shuffle = False,
        seed: int = 0,
        balanced: bool = False,
        weights: Sequence[float] | Array | None = None,
        window_shards: int = 8,
        rank: int = 0,
        world_size: int = 1,
        backend: Backend = "auto",
        residency: Residency = "auto",
        num_threads: int | None = None,
        verify: Verify = "first",
        on_corrupt: Literal["raise", "skip"] = "raise",
    ) -> None:
        if not isinstance(dataset, Dataset):
            raise RequestError(f"dataset is {dataset!r}; it must be what tonearm.dataio.open_dataset(folder) returns.")
        if len(dataset) == 0:
            raise RequestError(f"{dataset.root}: no clips to load; the fold or split that was asked for is empty.")
        batch_size, world_size = integer("batch_size", batch_size, low=1), integer("world_size", world_size, low=1)
        rank = integer("rank", rank)
        if not 0 <= rank < world_size:
            raise RequestError(f"rank is {rank}; with world_size {world_size} it may be 0 to {world_size - 1}.")
        if not isinstance(shuffle, bool) and shuffle not in ("global", "window"):
            raise RequestError(f"shuffle is {shuffle!r}; it may be False, True, 'global' or 'window'.")
        if shuffle and batch_size * world_size > len(dataset):
            ranks = f" on each of {world_size} ranks" if world_size > 1 else ""
            raise RequestError(
                f"batch_size is {batch_size}{ranks}, but there are only {len(dataset)} clips to train on, so no batch "
                "is full. Choose a smaller one."
            )
        if duration_seconds is not None and not (
            isinstance(duration_seconds, int | float | np.number)
            and 1 <= duration_seconds * dataset.sample_rate < math.inf
        ):
            raise RequestError(f"duration_seconds is {duration_seconds!r}; it must be at least one sample.")
        check_choice("verify", verify, ("first", "always", "never"))
        check_choice("on_corrupt", on_corrupt, ("raise", "skip"))
        self.dataset = dataset
        self.batch_size = batch_size
        self.num_samples = (
            int(dataset.table.num_frames.max())
            if duration_seconds is None
            else round(duration_seconds * dataset.sample_rate)
        )
        self.device = check_device(device)
        self.shuffle: Literal[False, "global", "window"] = "global" if shuffle is True else shuffle
        self.seed = integer("seed", seed)
        self._epoch = 0
        self.rank, self.world_size = rank, world_size
        self.backend = choose_backend(backend, dataset)
        local_ranks = ranks_here(world_size)
        self.residency = choose_residency(
            residency, dataset, self.device, local_ranks=local_ranks, memory_bytes=memory_bytes
        )
        self.on_corrupt = on_corrupt
        self.damaged: dict[int, str] = {}  # rows that could not be read, and why
        self._damaged_shards: set[int] = set()  # that a warning has named
        self._weights = check_weights(dataset, balanced=balanced, weights=weights, shuffle=bool(shuffle))
        self._weights_sha256 = "none" if self._weights is None else hashlib.sha256(self._weights.tobytes()).hexdigest()
        self._window_shards = integer("window_shards", window_shards, low=1)
        self._verify = verify
        cores = max(1, available_cores() // local_ranks)
        if num_threads is None:
            num_threads = max(1, cores - 1) if self.device.type == "cuda" else cores
        self._num_threads = integer("num_threads", num_threads, low=1)
        self._consumed = (0, 0)  # epoch, batches of it
        self._first_batch = 0  # of the next pass, when it takes up an epoch in its middle
        self._resident: ResidentClips | None = None
        self._lanes: Lanes | None = None

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size * self.world_size)
        return full if self.shuffle else full + (rest > self.rank * self.batch_size)

    @property
    def epoch(self) -> int:
        """Which pass the next one is. Setting it begins that epoch, unless its middle was just loaded as a state."""
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        epoch = integer("epoch", epoch, low=0)
        if not (self._first_batch and epoch == self._consumed[0]):
            self._first_batch = 0
            self._consumed = (epoch, 0)
        self._epoch = epoch

    def __iter__(self) -> Iterator[AudioBatch]:
        epoch, self._epoch = self._epoch, self._epoch + 1
        first, self._first_batch = self._first_batch, 0
        return self._batches(epoch, first)

    def state_dict(self) -> dict[str, Any]:
        """How far the batches were consumed (not prefetched), and what the position depends on; plain values."""
        epoch, batches = self._consumed
        return self._state(epoch, batches).model_dump()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken: the next pass yields the batches that were left of that epoch.

        Raises:
            RequestError: the state is of another dataset, seed, batch size, world size or sampling, so that its
                position means nothing here.
        """
        found = LoaderState.read(state)
        found.refuse_if_other(self._state(found.epoch, found.batches))
        if found.batches > len(self):
            raise RequestError(f"the loader's state has {found.batches} batches behind it; an epoch has {len(self)}.")
        self._epoch, self._first_batch = found.epoch, found.batches
        self._consumed = (found.epoch, found.batches)

    def _state(self, epoch: int, batches: int) -> LoaderState:
        return LoaderState(
            epoch=epoch,
            batches=batches,
            dataset=self.dataset.selection_sha256,
            seed=self.seed,
            batch_size=self.batch_size,
            world_size=self.world_size,
            num_samples=self.num_samples,
            shuffle=str(self.shuffle or "none") + (f" {self._window_shards}" if self.shuffle == "window" else ""),
            weights=self._weights_sha256,
        )

    def _batches(self, epoch: int, first: int) -> Iterator[AudioBatch]:
        if self._lanes is None or self._lanes.process != os.getpid():
            self._lanes = self._make_lanes()
        rows, draws = self._plan(epoch)
        self._consumed = (epoch, first)

        def make(step: int, decoder: Decoder) -> AudioBatch:
            return self._load(rows, draws, step, decoder)

        for consumed, batch in enumerate(self._lanes.run(iter(range(first, len(self))), make), first + 1):
            self._consumed = (epoch, consumed)
            if len(batch):  # else all of its clips are damaged
                yield batch
            del batch  # its memory can be used again once the consumer has let go of it
        self._consumed = (epoch + 1, 0)
        if len(self.damaged) == len(self.dataset):  # or the mean over nothing would be taken for a result
            raise self._all_damaged()

    def _plan(self, epoch: int) -> tuple[Array, Array | None]:
        """The row at each position of an epoch, and in training a draw for its crop."""
        count = len(self.dataset)
        if not self.shuffle:
            return np.arange(count), None
        if self._weights is None:
            rows = order.epoch_order(count, seed=self.seed, epoch=epoch)
        else:
            rows = order.weighted_order(self._weights, seed=self.seed, epoch=epoch)
        if self.shuffle == "window":
            rows = order.window_order(
                rows,
                self.dataset.table.shard[rows],
                window_shards=self._window_shards,
                seed=self.seed,
                epoch=epoch,
            )
        return rows, order.crop_draws(count, seed=self.seed, epoch=epoch)

    def _load(self, rows: Array, draws: Array | None, step: int, decoder: Decoder) -> AudioBatch:
        """One batch; a clip that turns out to be damaged is raised, or replaced and the batch decoded again."""
        part = order.batch_part(step, len(rows), batch_size=self.batch_size, rank=self.rank, world_size=self.world_size)
        while True:
            excerpts = self._excerpts(rows, draws, part)
            if not len(excerpts.rows):
                shape = (0, self.dataset.num_channels, self.num_samples)
                return self._batch(excerpts, torch.zeros(shape, device=self.device))
            try:
                return self._batch(excerpts, decoder(excerpts))
            except DamagedClipError as error:
                if self.on_corrupt == "raise":
                    raise
                self._note_damage(error)

    def _note_damage(self, error: DamagedClipError) -> None:
        """Remember it, and warn once a shard: where a whole one is damaged, each of its clips would say the same."""
        shard = int(self.dataset.table.shard[error.row])
        if shard not in self._damaged_shards:
            self._damaged_shards.add(shard)
            _log.warning("left out, and whatever else of this shard is damaged: %s", error)
        self.damaged[error.row] = str(error)

    def _excerpts(self, rows: Array, draws: Array | None, part: slice) -> Excerpts:
        """What stands at the positions ``part``, with damaged clips replaced in training and left out in evaluation."""
        chosen = rows[part]
        if self.damaged:
            if draws is None:
                chosen = chosen[[row not in self.damaged for row in chosen.tolist()]]
            else:
                places = range(part.start, part.stop)
                chosen = np.array([self._next_intact(rows, place) for place in places], np.int64)
        frames = self.dataset.table.num_frames[chosen]
        if draws is None:
            starts = np.zeros(len(chosen), np.int64)
        else:
            starts = order.crop_starts(draws[part], frames, self.num_samples)
        return Excerpts(chosen, starts, np.minimum(frames - starts, self.num_samples), self.num_samples)

    def _next_intact(self, rows: Array, place: int) -> int:
        """The clip at a position or, if that is damaged, the next one of the epoch that is not."""
        for step in range(len(rows)):
            row = int(rows[(place + step) % len(rows)])
            if row not in self.damaged:
                return row
        raise self._all_damaged()

    def _all_damaged(self) -> ShardError:
        first = next(iter(self.damaged.values()))
        return ShardError(f"{self.dataset.root}: every clip of this epoch is damaged; the first: {first}")

    def _batch(self, excerpts: Excerpts, waveform: torch.Tensor) -> AudioBatch:
        rows = torch.from_numpy(excerpts.rows)
        lengths = torch.from_numpy(excerpts.counts)
        targets = torch.from_numpy(self.dataset.table.targets(excerpts.rows, len(self.dataset.class_names)))
        if self.device.type == "cuda":  # from pinned memory, or these small copies would wait for the large one
            lengths, targets = lengths.pin_memory(), targets.pin_memory()
        return AudioBatch(
            waveform=waveform,
            lengths=lengths.to(self.device, non_blocking=True),
            targets=targets.to(self.device, non_blocking=True),
            clip_index=rows,
        )

    def _make_lanes(self) -> Lanes:
        """Decoders for a few batches at a time, which share the threads out among them."""
        number = min(_LANES, self._num_threads)
        threads = [len(range(lane, self._num_threads, number)) for lane in range(number)]
        make = self._decoder_factory()
        gpu = self.device.type == "cuda"
        return Lanes([Lane(make(count), torch.cuda.Stream(self.device) if gpu else None) for count in threads])

    def _decoder_factory(self) -> Callable[[int], Decoder]:
        """What makes a decoder with so many threads."""
        dataset, device = self.dataset, self.device
        if self.residency == "device":
            on_device = DeviceDecoder(self._load_resident(), device=device)
            return lambda _: on_device
        if self.residency == "memory":
            self._resident = self._resident or self._load_resident()
        if self.backend == "soundfile" and self._resident is None:
            return lambda _: SoundfileDecoder(dataset, device=device, verify=self._verify)
        pool = BufferPool()

        def filler(threads: int) -> BatchFiller:
            return BatchFiller(num_channels=dataset.num_channels, device=device, num_threads=threads, pool=pool)

        if self._resident is not None or self.backend == "copy":
            stream = _stream if self.on_corrupt == "raise" else _stream_of_whole_clips
            view = partial(stream, dataset, self._verify) if self._resident is None else self._resident.view
            return lambda threads: CopyDecoder(view, filler(threads))
        from tonearm.dataio.decode_dali import DaliDecoder

        return lambda threads: DaliDecoder(
            dataset, filler(threads), batch_size=self.batch_size, num_threads=threads, verify=self._verify
        )

    def _load_resident(self) -> ResidentClips:
        return load_resident(self.dataset, num_threads=self._num_threads, verify=self._verify)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_lanes": None, "_resident": None}


def _stream(dataset: Dataset, verify: Verify, row: int, start: int, num_frames: int) -> Array:
    """An excerpt of a mapped shard; no method of the loader, which would keep itself alive by it."""
    return dataset.pcm(row, start, num_frames, verify=verify)


def _stream_of_whole_clips(dataset: Dataset, verify: Verify, row: int, start: int, num_frames: int) -> Array:
    """The same after a look at all of the clip: whether it is damaged must not depend on which part is asked for."""
    return dataset.pcm(row, 0, int(dataset.table.num_frames[row]), verify=verify)[start : start + num_frames]
