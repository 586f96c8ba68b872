"""Dataset: a packed dataset, opened by its index; shards are mapped when first touched."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tonearm.dataio.columns import CODECS, Array, ClipTable
from tonearm.dataio.index import read_index
from tonearm.dataio.mapped_shards import MappedShards, Verify
from tonearm.dataio.shards import DatasetHeader
from tonearm.errors import RequestError, ShardError

_INT16 = np.dtype("<i2")


class DamagedClipError(ShardError):
    """A clip that cannot be read; ``row`` is its place in the dataset that was asked."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row

    def __reduce__(self) -> tuple[Any, ...]:
        return DamagedClipError, (str(self), self.row)


@dataclass(frozen=True)
class Dataset:
    """Clips of a packed dataset, or a part of them.

    Made by :func:`open_dataset`; ``where`` gives a part. Pickles without its audio: another process opens the files
    anew.

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
    _shards: MappedShards = field(repr=False)

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.table)

    def __repr__(self) -> str:
        rate, channels = self.sample_rate, self.num_channels
        return (
            f"Dataset({str(self.root)!r}: {self.header.name}, {len(self)} clips, {len(self.class_names)} classes, "
            f"{self.header.codec} at {rate} Hz, {channels} channel{'s' * (channels > 1)})"
        )

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

    @property
    def subsets(self) -> list[str]:
        """The subsets there are."""
        return sorted({subset.decode(errors="replace") for subset in set(self.table.subset.tolist())} - {""})

    @cached_property
    def selection_sha256(self) -> str:
        """Of the content and of which clips were selected, in which order: equal for parts that are equal."""
        digest = hashlib.sha256(self.sha256.encode())
        digest.update(self.table.shard.tobytes())
        digest.update(self.table.offset.tobytes())
        return digest.hexdigest()

    def where(
        self,
        *,
        fold: int | Iterable[int] | None = None,
        split: str | Iterable[str] | None = None,
        subset: str | Iterable[str] | None = None,
    ) -> "Dataset":
        """The clips whose fold, split and subset are among those named, in the same order; only columns are copied.

        Raises:
            RequestError: a fold, split or subset that the dataset does not have.
        """
        keep = np.ones(len(self), np.bool_)
        if fold is not None:
            wanted = [int(fold)] if isinstance(fold, int | np.integer) else list(fold)
            _check_known("fold", wanted, self.folds, self.root)
            keep &= np.isin(self.table.fold, wanted)
        for what, asked, known, column in (
            ("split", split, self.splits, self.table.split),
            ("subset", subset, self.subsets, self.table.subset),
        ):
            if asked is not None:
                names = [asked] if isinstance(asked, str) else list(asked)
                _check_known(what, names, known, self.root)
                keep &= np.isin(column, [name.encode() for name in names])
        return self.rows(np.flatnonzero(keep))

    def rows(self, rows: Array | Sequence[int]) -> "Dataset":
        """The clips ``rows``, in that order."""
        return replace(self, table=self.table.take(np.asarray(rows, np.int64)))

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
            DamagedClipError: the shard is not the one that was packed, or the bytes do not match their CRC.
        """
        itemsize = CODECS[self.header.codec].itemsize
        start = int(self.table.offset[row]) * itemsize
        return self._bytes(row, start, start + int(self.table.size[row]) * itemsize, verify)

    def pcm(self, row: int, start: int, num_frames: int, *, verify: Verify = "first") -> Array:
        """An excerpt of a pcm16 clip: a read-only int16 view (num_frames, channels); only its own bytes are touched.

        Raises:
            DamagedClipError: as for :meth:`payload`.
            RequestError: the excerpt is not within the clip.
        """
        frames = int(self.table.num_frames[row])
        if not 0 <= start <= start + num_frames <= frames:
            raise RequestError(
                f"{self.where_is(row)}: frames {start} to {start + num_frames} were asked for; it has {frames}."
            )
        width = 2 * self.num_channels
        first = int(self.table.offset[row]) * 2 + start * width
        return self._bytes(row, first, first + num_frames * width, verify).view(_INT16).reshape(-1, self.num_channels)

    def _bytes(self, row: int, start: int, stop: int, verify: Verify) -> Array:
        try:
            return self._shards.view(int(self.table.shard[row]), start, stop, verify=verify)
        except ShardError as error:
            file = self._shards.index.shards[int(self.table.shard[row])].file
            why = str(error).removeprefix(f"{self.root / file}: ")
            raise DamagedClipError(f"{self.where_is(row)}: {why}", row) from error


def open_dataset(path: str | Path) -> Dataset:
    """Open a folder that :func:`tonearm.dataio.pack_dataset` wrote; only the index is read.

    Raises:
        RequestError: not a packed dataset.
        ShardError: a damaged index, or one of another format version.
    """
    root = Path(path)
    index, table = read_index(root)
    return Dataset(root, index.header(), table, index.sha256(), MappedShards(root, index))


def _check_known(what: str, wanted: list[Any], known: list[Any], root: Path) -> None:
    unknown = [value for value in wanted if value not in known]
    if unknown:
        has = f"it has {', '.join(map(str, known))}" if known else f"its clips have no {what}"
        kinds = " Folds are numbers." if what == "fold" and not isinstance(unknown[0], int | np.integer) else ""
        raise RequestError(f"{root}: no {what} {unknown[0]!r}; {has}.{kinds}")
