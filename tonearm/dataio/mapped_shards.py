"""The shards of a dataset as memory maps: checked when first touched, and as many mapped at once as the system allows.

What is known of a shard (where its audio lies, the CRCs, which blocks were checked) stays; its map may be closed to
open another's, and costs a few system calls to make again. So a dataset may have far more shards than a process may
open files.
"""

import errno
import mmap
import os
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from isal import isal_zlib

from tonearm.dataio.columns import Array
from tonearm.dataio.index import Index, check_size
from tonearm.dataio.shards import CRC_BLOCK, MADE_ANEW, check_seal, read_crc32
from tonearm.errors import RunError, ShardError

Verify = Literal["first", "always", "never"]
_MAX_MAPPED = 1024
_SHARE_OF_OPEN_FILES = 4  # a map holds a file descriptor: a dataset takes a quarter of what the process may have
_LACKING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # the machine's trouble, not the shard's


@dataclass(frozen=True)
class _KnownShard:
    path: Path
    num_bytes: int
    audio_offset: int
    audio_nbytes: int
    crc32: Array
    checked: bytearray  # 0 or 1, one a block; threads may check one twice, which is harmless


@dataclass(frozen=True)
class _Map:
    memory: mmap.mmap
    audio: Array  # uint8


class MappedShards:
    """The audio of all shards as bytes. Threads may share one; a forked or unpickled one opens its files anew."""

    def __init__(self, root: Path, index: Index) -> None:
        self.root, self.index = root, index
        self._start()
        _living.add(self)

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
            if verify == "always" or known.checked.find(0, first, last) >= 0:
                self._check(known, mapped, first, last)
        return mapped.audio[start:stop]

    def _check(self, known: _KnownShard, mapped: _Map, first: int, last: int) -> None:
        """Compare blocks with their CRCs; those that nobody has touched yet are asked for at once, not page by page."""
        if hasattr(mmap, "MADV_WILLNEED") and known.checked.find(1, first, last) < 0:
            start = known.audio_offset + first * CRC_BLOCK
            page = start - start % mmap.PAGESIZE
            end = min(known.audio_offset + last * CRC_BLOCK, known.num_bytes)
            mapped.memory.madvise(mmap.MADV_WILLNEED, page, end - page)
        for block in range(first, last):
            data = mapped.audio[block * CRC_BLOCK : (block + 1) * CRC_BLOCK]
            if isal_zlib.crc32(data.data) != known.crc32[block]:
                raise ShardError(
                    "its bytes do not match their CRC-32, so the file was damaged after packing. "
                    f"`tonearm verify {self.root}` lists all damage. {MADE_ANEW}"
                )
            known.checked[block] = 1

    def _open(self, number: int) -> tuple[_KnownShard, _Map]:
        with self._lock:
            known = self._known.get(number)
            mapped = self._maps.get(number)
            if known is None or mapped is None:
                try:
                    known = self._known.setdefault(number, known or self._read(number))
                    mapped = self._maps[number] = _map(known)
                except ShardError:
                    raise
                except OSError as error:
                    path = self.root / self.index.shards[number].file
                    if error.errno in _LACKING:
                        raise RunError(
                            f"{path}: cannot be opened ({error.strerror}). Close other files or raise the limit "
                            "(ulimit -n), or use fewer processes."
                        ) from error
                    raise ShardError(f"{path}: cannot be read ({error.strerror}).") from error
                if len(self._maps) > self._max_mapped:
                    self._maps.popitem(last=False)  # views of it that are still in use keep it alive
            else:
                self._maps.move_to_end(number)
            return known, mapped

    def _read(self, number: int) -> _KnownShard:
        """Open a shard by its seal, which must be the one that the index knows: HDF5 need not parse it."""
        entry = self.index.shards[number]
        path = check_size(self.root, entry)
        sealed = check_seal(path)
        if sealed[:2] != (entry.audio_offset, entry.audio_nbytes) or sealed.metadata_sha256 != entry.metadata_sha256:
            raise ShardError(f"{path}: not the shard that the index describes. Delete it. {MADE_ANEW}")
        crc32 = read_crc32(path, sealed)
        return _KnownShard(path, entry.num_bytes, *sealed[:2], crc32, bytearray(len(crc32)))

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, _KnownShard] = {}
        self._maps: OrderedDict[int, _Map] = OrderedDict()
        self._max_mapped = _max_mapped()

    def __reduce__(self) -> tuple[Any, ...]:
        return MappedShards, (self.root, self.index)


def _map(known: _KnownShard) -> _Map:
    with known.path.open("rb") as file:
        # a file that became shorter since it was read would end the process when its missing pages are touched
        size = os.fstat(file.fileno()).st_size
        if size != known.num_bytes:
            raise ShardError(f"{known.path}: {size} bytes, but {known.num_bytes} were packed. {MADE_ANEW}")
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _Map(memory, np.frombuffer(memory, np.uint8, count=known.audio_nbytes, offset=known.audio_offset))


def _max_mapped() -> int:
    try:
        import resource
    except ImportError:  # no such limit on this system
        return _MAX_MAPPED
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX_MAPPED if limit == resource.RLIM_INFINITY else max(1, min(_MAX_MAPPED, limit // _SHARE_OF_OPEN_FILES))


_living: "weakref.WeakSet[MappedShards]" = weakref.WeakSet()


def _start_after_fork() -> None:
    """A child begins anew: the lock may be held by a thread that only the parent has."""
    for shards in list(_living):
        shards._start()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_after_fork)
