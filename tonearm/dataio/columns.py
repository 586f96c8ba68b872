"""ClipTable: one column a fact for every clip, as NumPy arrays in memory and as plain HDF5 datasets on disk.

``/clips`` in a shard and in the index has these datasets, n clips long unless said otherwise::

    offset        int64    where the clip begins in /audio, in elements; a multiple of 64 bytes
    size          int64    how many elements of /audio it takes
    num_frames    int64    samples in each channel once decoded
    sample_rate   int32    Hz
    num_channels  int32
    clip_id       string   fixed length, UTF-8
    group         string   fixed length, UTF-8; "" for a recording of its own
    split         string   "train", "val", "test" or ""
    subset        string   fixed length, UTF-8; how this part of the dataset was collected, or ""
    fold          int32    -1 for none
    peak          float32  largest magnitude, 1 is full scale
    rms           float32  root mean square over all channels
    num_clipped   int64    samples that lay beyond full scale and were set to it when packed
    label_indptr  int64    n + 1 long; labels of clip i are label_indices[label_indptr[i]:label_indptr[i + 1]]
    label_indices int32    positions in the class names
    shard         int32    in the index only: which shard holds the clip
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import h5py
import numpy as np

from tonearm.dataio.shard_layout import ALIGNMENT as ALIGNMENT
from tonearm.dataio.shard_layout import Array as Array
from tonearm.errors import ShardError

# codec -> dtype of /audio
CODECS: dict[str, np.dtype[Any]] = {"pcm16": np.dtype("<i2"), "flac": np.dtype("u1"), "source": np.dtype("u1")}

_DTYPES = {
    "offset": "<i8", "size": "<i8", "num_frames": "<i8", "sample_rate": "<i4", "num_channels": "<i4", "clip_id": "S",
    "group": "S", "split": "S", "subset": "S", "fold": "<i4", "peak": "<f4", "rms": "<f4", "num_clipped": "<i8",
    "label_indptr": "<i8", "label_indices": "<i4", "shard": "<i4",
}  # fmt: skip


@dataclass(frozen=True)
class ClipTable:
    """The columns of the module's docstring; strings are arrays of bytes (UTF-8)."""

    offset: Array
    size: Array
    num_frames: Array
    sample_rate: Array
    num_channels: Array
    clip_id: Array
    group: Array
    split: Array
    subset: Array
    fold: Array
    peak: Array
    rms: Array
    num_clipped: Array
    label_indptr: Array
    label_indices: Array
    shard: Array

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.offset)

    def take(self, rows: Array) -> "ClipTable":
        """A copy with the clips ``rows``, in that order."""
        counts, indices = self._labels(rows)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        plain = {name: getattr(self, name)[rows] for name in _DTYPES if not name.startswith("label_")}
        return ClipTable(**plain, label_indptr=indptr, label_indices=indices)

    def targets(self, rows: Array, num_classes: int) -> Array:
        """(len(rows), num_classes) float32, 1 at each label of a clip."""
        counts, indices = self._labels(rows)
        targets = np.zeros((len(rows), num_classes), np.float32)
        targets[np.repeat(np.arange(len(rows)), counts), indices] = 1.0
        return targets

    def _labels(self, rows: Array) -> tuple[Array, Array]:
        """How many labels each of ``rows`` has, and those labels one after the other."""
        first = self.label_indptr[rows]
        counts = self.label_indptr[rows + 1] - first
        ends = np.cumsum(counts)
        # position of each label = its clip's first label + how far into the clip it is
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
        return counts, self.label_indices[np.repeat(first, counts) + within]


def concatenate(tables: Sequence[ClipTable]) -> ClipTable:
    """One table of all clips, in order."""
    starts = np.cumsum([0] + [len(table.label_indices) for table in tables])
    indptr = [table.label_indptr[1:] + start for table, start in zip(tables, starts, strict=False)]
    joined = {f.name: np.concatenate([getattr(t, f.name) for t in tables]) for f in fields(ClipTable)}
    joined["label_indptr"] = np.concatenate([[0], *indptr]).astype(np.int64)
    return ClipTable(**joined)


def encode_strings(texts: Sequence[str]) -> Array:
    """Text as a fixed-length array of UTF-8 bytes, at least one byte wide because HDF5 knows no empty strings."""
    encoded = [text.encode() for text in texts]
    return np.array(encoded, dtype=f"S{max([1, *map(len, encoded)])}")


def write_columns(group: h5py.Group, table: ClipTable, *, with_shard: bool) -> None:
    """Write the table into ``group`` as plain datasets without timestamps."""
    for name, dtype in _DTYPES.items():
        if name == "shard" and not with_shard:
            continue
        values = getattr(table, name)
        kind = h5py.string_dtype("utf-8", values.dtype.itemsize) if dtype == "S" else np.dtype(dtype)
        group.create_dataset(name, data=values.astype(kind), track_times=False)


def read_columns(group: h5py.Group, *, where: str, shard: int | None, max_bytes: int) -> ClipTable:
    """Read the table from ``group``.

    Args:
        group: /clips.
        where: the file, for the error.
        shard: the number to fill in for a single shard, None to read the column.
        max_bytes: size of the file, which no column can exceed: nothing is compressed.

    Raises:
        ShardError: a column is missing, has another type or another length.
    """
    columns: dict[str, Array] = {}
    for name, dtype in _DTYPES.items():
        if name == "shard" and shard is not None:
            columns[name] = np.full(len(columns["offset"]), shard, np.int32)
            continue
        item = group.get(name)
        if not isinstance(item, h5py.Dataset):
            raise ShardError(f"{where}: /clips/{name} is missing. The file is damaged or not tonearm's.")
        fits = item.dtype.kind == "S" if dtype == "S" else item.dtype == np.dtype(dtype)
        if not fits or item.ndim != 1:
            raise ShardError(f"{where}: /clips/{name} is {item.dtype} with {item.ndim} axes, expected 1-D {dtype}.")
        if item.size * item.dtype.itemsize > max_bytes:
            raise ShardError(f"{where}: /clips/{name} claims more bytes than the file has. The file is damaged.")
        columns[name] = item[:]
    table = ClipTable(**columns)
    for name, values in columns.items():
        expected = len(table) + 1 if name == "label_indptr" else len(table)
        if name != "label_indices" and len(values) != expected:
            raise ShardError(f"{where}: /clips/{name} has {len(values)} entries, expected {expected}.")
    return table


def check_columns(table: ClipTable, *, where: str, codec: str, sample_rate: int, num_channels: int, num_classes: int,
                  audio_sizes: Array) -> None:  # fmt: skip
    """Check every value against the file it describes, before any of it is used as an address.

    Args:
        table: the columns.
        where: the file, for the error.
        codec, sample_rate, num_channels, num_classes: of the dataset.
        audio_sizes: elements of /audio in each shard.

    Raises:
        ShardError: names the first clip that does not fit, and what does not.
    """
    if len(table) and (table.shard.min() < 0 or table.shard.max() >= len(audio_sizes)):
        raise ShardError(f"{where}: a clip names a shard that does not exist.")
    limit = audio_sizes[table.shard]
    unit = ALIGNMENT // CODECS[codec].itemsize
    rules: list[tuple[str, Array]] = [
        ("offset is negative or not on a 64-byte boundary", (table.offset < 0) | (table.offset % unit != 0)),
        ("size is not positive", table.size <= 0),
        ("audio ends beyond the shard's", (table.offset > limit) | (table.size > limit - table.offset)),
        ("num_frames is not positive", table.num_frames <= 0),
        (f"sample_rate is not {sample_rate}", table.sample_rate != sample_rate),
        (f"num_channels is not {num_channels}", table.num_channels != num_channels),
        ("num_clipped is negative", table.num_clipped < 0),
        ("peak or rms is not a finite level", ~np.isfinite(table.peak) | ~np.isfinite(table.rms)),
    ]
    if codec == "pcm16":
        # divide, do not multiply: num_frames may be anything and must not overflow
        frames, rest = np.divmod(table.size, num_channels)
        rules.append(("size is not num_frames x num_channels", (frames != table.num_frames) | (rest != 0)))
    for what, broken in rules:
        if broken.any():
            row = int(np.argmax(broken))
            raise ShardError(f"{where}, clip {row} ({table.clip_id[row].decode(errors='replace')!r}): {what}.")
    indptr = table.label_indptr
    if indptr[0] != 0 or indptr[-1] != len(table.label_indices) or (np.diff(indptr) < 1).any():
        raise ShardError(f"{where}: /clips/label_indptr does not cut /clips/label_indices into one part a clip.")
    labels = table.label_indices
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        raise ShardError(f"{where}: /clips/label_indices must lie in 0 to {num_classes - 1}.")
