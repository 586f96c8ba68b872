"""Dataset: a packed dataset, opened by its index; shards are mapped when first touched."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from isal import isal_zlib

from tonearm.dataio.columns import CODECS, Array, ClipTable
from tonearm.dataio.index import Index, check_size, index_sha256, read_index
from tonearm.dataio.shards import CRC_BLOCK, DatasetHeader, map_audio, read_shard
from tonearm.errors import RequestError, ShardError

Verify = Literal["first", "always", "never"]
_MAX_MAPPED = 512  # a mapped shard holds a file descriptor, of which a process commonly may have 1024


class _MappedShard:
    """The /audio of one shard as bytes, with the CRC of each block checked when it is first touched."""

    def __init__(self, root: Path, index: Index, number: int) -> None:
        shard = read_shard(check_size(root, index.shards[number]))
        index.check_shard(shard, number)
        self.path = shard.path
        self.audio = map_audio(shard.path, shard.audio_offset, shard.audio_nbytes)
        self._crc32 = shard.crc32
        self.checked = np.zeros(len(shard.crc32), np.bool_)

    def intact(self, start: int, stop: int, *, again: bool) -> bool:
        """Whether the blocks that hold bytes [start, stop) match their CRCs."""
        for block in range(start // CRC_BLOCK, -(-stop // CRC_BLOCK)):
            if self.checked[block] and not again:
                continue
            if isal_zlib.crc32(self.audio[block * CRC_BLOCK : (block + 1) * CRC_BLOCK].data) != self._crc32[block]:
                return False
            self.checked[block] = True
        return True


@dataclass
class _ShardCache:
    """Mapped shards by number, shared by all views of a dataset; a pickled one reopens them where it arrives."""

    root: Path
    index: Index
    _open: OrderedDict[int, _MappedShard] = field(default_factory=OrderedDict)
    _checked: dict[int, Array] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __getitem__(self, number: int) -> _MappedShard:
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
            else:
                shard = self._open[number] = _MappedShard(self.root, self.index, number)
                shard.checked = self._checked.setdefault(number, shard.checked)
                if len(self._open) > _MAX_MAPPED:
                    self._open.popitem(last=False)  # views of it that are still in use keep its map alive
            return self._open[number]

    def __reduce__(self) -> tuple[Any, ...]:
        return _ShardCache, (self.root, self.index)


@dataclass(frozen=True)
class Dataset:
    """Clips of a packed dataset, or a part of them.

    Made by :func:`open_dataset`; ``where`` gives a part. Pickles as a path, so it can be handed to another process.

    Attributes:
        root: the folder.
        header: name, class names, codec, rate and channels.
        table: the columns, one row a clip.
        sha256: of the index, which holds the hashes of all shards: equal for equal content, whatever was selected.
    """

    root: Path
    header: DatasetHeader
    table: ClipTable
    sha256: str
    _shards: _ShardCache = field(repr=False)

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.table)

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class."""
        return self.header.class_names

    @property
    def sample_rate(self) -> int:
        """Hz, the same for every clip."""
        return self.header.sample_rate

    @property
    def num_channels(self) -> int:
        """Channels, the same for every clip."""
        return self.header.num_channels

    @property
    def folds(self) -> list[int]:
        """The folds there are, ascending; empty if the dataset has none."""
        return sorted({int(fold) for fold in self.table.fold} - {-1})

    @property
    def splits(self) -> list[str]:
        """The splits there are."""
        return sorted({split.decode(errors="replace") for split in set(self.table.split.tolist())} - {""})

    def where(self, *, fold: int | Iterable[int] | None = None, split: str | Iterable[str] | None = None) -> "Dataset":
        """The clips whose fold and split are among those named, in the same order; nothing is copied but columns.

        Raises:
            RequestError: a fold or split that the dataset does not have.
        """
        keep = np.ones(len(self), np.bool_)
        if fold is not None:
            wanted = [int(fold)] if isinstance(fold, int | np.integer) else list(fold)
            _check_known("fold", wanted, self.folds, self.root)
            keep &= np.isin(self.table.fold, wanted)
        if split is not None:
            names = [split] if isinstance(split, str) else list(split)
            _check_known("split", names, self.splits, self.root)
            keep &= np.isin(self.table.split, [name.encode() for name in names])
        return self.rows(np.flatnonzero(keep))

    def rows(self, rows: Array) -> "Dataset":
        """The clips ``rows``, in that order."""
        return replace(self, table=self.table.take(rows))

    def clip_id(self, row: int) -> str:
        """The id of a clip."""
        return bytes(self.table.clip_id[row]).decode(errors="replace")

    def where_is(self, row: int) -> str:
        """Shard and clip, for an error."""
        file = self._shards.index.shards[int(self.table.shard[row])].file
        return f"{self.root / file}, clip {self.clip_id(row)!r}"

    def payload(self, row: int, *, verify: Verify = "first") -> Array:
        """The bytes of an encoded clip: a read-only uint8 view of the mapped shard.

        Raises:
            ShardError: the shard is not the one that was packed, or the bytes do not match their CRC.
        """
        itemsize = CODECS[self.header.codec].itemsize
        start = int(self.table.offset[row]) * itemsize
        return self._bytes(row, start, start + int(self.table.size[row]) * itemsize, verify)

    def pcm(self, row: int, start: int, num_frames: int, *, verify: Verify = "first") -> Array:
        """An excerpt of a pcm16 clip: a read-only int16 view (num_frames, channels); only its own bytes are touched.

        Raises:
            ShardError: as for :meth:`payload`.
        """
        width = 2 * self.num_channels
        first = int(self.table.offset[row]) * 2 + start * width
        return self._bytes(row, first, first + num_frames * width, verify).view("<i2").reshape(-1, self.num_channels)

    def _bytes(self, row: int, start: int, stop: int, verify: Verify) -> Array:
        shard = self._shards[int(self.table.shard[row])]
        if verify != "never" and not shard.intact(start, stop, again=verify == "always"):
            raise ShardError(
                f"{self.where_is(row)}: its bytes do not match their CRC-32, so the file was damaged after packing. "
                f"`tonearm verify {self.root}` lists all damage; delete the shard and pack again."
            )
        return shard.audio[start:stop]


def open_dataset(path: str | Path) -> Dataset:
    """Open a folder that :func:`tonearm.dataio.pack_dataset` wrote; only the index is read.

    Raises:
        RequestError: not a packed dataset.
        ShardError: a damaged index, or one of another format version.
    """
    root = Path(path)
    index, table = read_index(root)
    return Dataset(root, index.header(), table, index_sha256(root), _ShardCache(root, index))


def _check_known(what: str, wanted: list[Any], known: list[Any], root: Path) -> None:
    unknown = [value for value in wanted if value not in known]
    if unknown:
        has = f"it has {', '.join(map(str, known))}" if known else f"its clips have no {what}"
        raise RequestError(f"{root}: no {what} {unknown[0]!r}; {has}.")
