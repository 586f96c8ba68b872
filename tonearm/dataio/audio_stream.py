"""Encoded clips into a file, one behind the other, with a checksum for each block of what was written."""

from io import FileIO

import numpy as np
from isal import isal_zlib

from tonearm.dataio.shard_layout import ALIGNMENT, CRC_BLOCK, Array

_BUFFER_BYTES = 1 << 20  # smaller writes cost the system more time a byte, more bytes do not fit the cache of a core


class AudioStream:
    """Writes the content of /audio.

    Args:
        file: the file, unbuffered.
        begin: where /audio begins in it.
    """

    def __init__(self, file: FileIO, begin: int) -> None:
        self._file = file
        self._buffer = np.empty(_BUFFER_BYTES, np.uint8)
        self._filled = 0  # bytes of the buffer that are taken
        self._written = 0  # bytes of /audio that are in the file
        self._crcs: list[int] = []
        file.seek(begin)

    def room(self, num_bytes: int) -> Array:
        """Where the next clip's bytes are to be put; what was put there before and not added is forgotten."""
        wanted = self._filled + num_bytes + ALIGNMENT
        if wanted > len(self._buffer):
            self._flush(self._filled // CRC_BLOCK * CRC_BLOCK)
            wanted = self._filled + num_bytes + ALIGNMENT
        if wanted > len(self._buffer):
            larger = np.empty(wanted, np.uint8)
            larger[: self._filled] = self._buffer[: self._filled]
            self._buffer = larger
        return self._buffer[self._filled : self._filled + num_bytes]

    def add(self, num_bytes: int) -> int:
        """Take the first bytes in the room that was given last as a clip; returns where in /audio it begins."""
        place = self._written + self._filled
        end = self._filled + num_bytes
        self._filled = -(-end // ALIGNMENT) * ALIGNMENT
        self._buffer[end : self._filled] = 0
        return place

    def finish(self) -> tuple[int, Array]:
        """Write what is left; returns the size of /audio and the CRC-32 of its blocks."""
        if self._written + self._filled == 0:  # HDF5 keeps no place for an /audio of nothing
            self._buffer[:ALIGNMENT] = 0
            self._filled = ALIGNMENT
        self._flush(self._filled)
        return self._written, np.array(self._crcs, np.uint32)

    def _flush(self, count: int) -> None:
        """Write the first bytes of the buffer, and move the others to its front."""
        data = self._buffer[:count]
        self._crcs += [isal_zlib.crc32(data[start : start + CRC_BLOCK].data) for start in range(0, count, CRC_BLOCK)]
        view = data.data
        while view:
            view = view[self._file.write(view) :]
        self._written += count
        self._filled -= count
        self._buffer[: self._filled] = self._buffer[count : count + self._filled]
