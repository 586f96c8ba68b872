"""The shards of a dataset as memory maps: checked when first touched, and as many mapped at once as the system allows.

What is known of a shard (where its audio lies, the CRCs, which blocks were checked) stays; its map may be closed to
open another's, and costs a few system calls to make again. So a dataset may have far more shards than a process may
open files.
"""

import mmap
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from isal import isal_zlib

from tonearm.dataio.columns import Array
from tonearm.dataio.index import Index, check_size
from tonearm.dataio.shards import CRC_BLOCK, read_shard
from tonearm.errors import ShardError

Verify = Literal["first", "always", "never"]
_MAX_MAPPED = 1024
_SHARE_OF_OPEN_FILES = 4  # a map holds a file descriptor: a dataset takes a quarter of what the process may have


@dataclass(frozen=True)
class _KnownShard:
    path: Path
    num_bytes: int
    audio_offset: int
    audio_nbytes: int
    crc32: Array
    checked: Array  # bool, one a block; threads may check one twice, which is harmless


@dataclass(frozen=True)
class _Map:
    memory: mmap.mmap
    audio: Array  # uint8


class MappedShards:
    """The audio of all shards as bytes. Threads may share one; a forked or unpickled one opens its files anew."""

    def __init__(self, root: Path, index: Index) -> None:
        self.root, self.index = root, index
        self._start()

    def view(self, number: int, start: int, stop: int, *, verify: Verify) -> Array:
        """Bytes [start, stop) of a shard's /audio, a read-only uint8 view.

        Args:
            number: of the shard.
            start, stop: within /audio, checked when the index was read.
            verify: check the CRC of each block touched if it is the "first" time in this process, "always" or "never".

        Raises:
            ShardError: the shard is missing or not the one that was packed, or a block does not match its CRC.
        """
        known, mapped = self._open(number)
        if verify != "never":
            first, last = start // CRC_BLOCK, -(-stop // CRC_BLOCK)
            if verify == "always" or not known.checked[first:last].all():
                self._check(known, mapped, first, last)
        return mapped.audio[start:stop]

    def _check(self, known: _KnownShard, mapped: _Map, first: int, last: int) -> None:
        """Compare blocks with their CRCs; those that nobody has touched yet are asked for at once, not page by page."""
        if hasattr(mmap, "MADV_WILLNEED") and not known.checked[first:last].any():
            start = known.audio_offset + first * CRC_BLOCK
            page = start - start % mmap.PAGESIZE
            end = min(known.audio_offset + last * CRC_BLOCK, known.num_bytes)
            mapped.memory.madvise(mmap.MADV_WILLNEED, page, end - page)
        for block in range(first, last):
            data = mapped.audio[block * CRC_BLOCK : (block + 1) * CRC_BLOCK]
            if isal_zlib.crc32(data.data) != known.crc32[block]:
                raise ShardError(
                    "its bytes do not match their CRC-32, so the file was damaged after packing. "
                    f"`tonearm verify {self.root}` lists all damage; delete the shard and pack again."
                )
            known.checked[block] = True

    def _open(self, number: int) -> tuple[_KnownShard, _Map]:
        if self._process != os.getpid():
            self._start()
        with self._lock:
            known = self._known.get(number)
            if known is None:
                known = self._known[number] = self._read(number)
            mapped = self._maps.get(number)
            if mapped is None:
                mapped = self._maps[number] = _map(known)
                if len(self._maps) > self._max_mapped:
                    self._maps.popitem(last=False)  # views of it that are still in use keep it alive
            else:
                self._maps.move_to_end(number)
            return known, mapped

    def _read(self, number: int) -> _KnownShard:
        entry = self.index.shards[number]
        shard = read_shard(check_size(self.root, entry))
        self.index.check_shard(shard, number)
        return _KnownShard(
            shard.path,
            entry.num_bytes,
            shard.audio_offset,
            shard.audio_nbytes,
            shard.crc32,
            np.zeros(len(shard.crc32), np.bool_),
        )

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._known: dict[int, _KnownShard] = {}
        self._maps: OrderedDict[int, _Map] = OrderedDict()
        self._max_mapped = _max_mapped()

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedShards, (self.root, self.index)


def _map(known: _KnownShard) -> _Map:
    try:
        with known.path.open("rb") as file:
            # a file that became shorter since it was read would end the process when its missing pages are touched
            size = os.fstat(file.fileno()).st_size
            if size != known.num_bytes:
                raise ShardError(f"{known.path}: {size} bytes, but {known.num_bytes} were packed. Pack it again.")
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except ShardError:
        raise
    except OSError as error:
        raise ShardError(f"{known.path}: cannot be opened ({error.strerror}).") from error
    return _Map(memory, np.frombuffer(memory, np.uint8, count=known.audio_nbytes, offset=known.audio_offset))


def _max_mapped() -> int:
    try:
        import resource
    except ImportError:  # no such limit on this system
        return _MAX_MAPPED
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_MAPPED if limit == resource.RLIM_INFINITY else max(1, min(_MAX_MAPPED, limit // _SHARE_OF_OPEN_FILES))
