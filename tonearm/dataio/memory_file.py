"""A file in memory with a hole in it: HDF5 writes what surrounds /audio here, while the audio goes to the disk."""

_PAGE = 4096


class MemoryFile:
    """As much of a binary file as HDF5 asks for; pages that were never written take no memory and read as zeros."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self._place = 0
        self._size = 0

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place, counted from the beginning, from here (1) or from the end (2)."""
        self._place = place + (0, self._place, self._size)[whence]
        return self._place

    def tell(self) -> int:
        """The place."""
        return self._place

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write at the place."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            page, start = divmod(self._place + done, _PAGE)
            count = min(_PAGE - start, len(view) - done)
            self._pages.setdefault(page, bytearray(_PAGE))[start : start + count] = view[done : done + count]
            done += count
        self._place += done
        self._size = max(self._size, self._place)
        return done

    def readinto(self, data: bytearray | memoryview) -> int:
        """Fill ``data`` from the place on."""
        view = memoryview(data).cast("B")
        view[:] = self.read_at(self._place, len(view))
        self._place += len(view)
        return len(view)

    def read_at(self, place: int, count: int) -> bytes:
        """Bytes from a place on."""
        found = bytearray()
        while len(found) < count:
            page, start = divmod(place + len(found), _PAGE)
            part = min(_PAGE - start, count - len(found))
            found += self._pages.get(page, bytes(_PAGE))[start : start + part]
        return bytes(found)

    def read_from(self, place: int) -> bytes:
        """All bytes from a place on."""
        return self.read_at(place, self._size - place)

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        self._size = self._place if size is None else size
        return self._size

    def flush(self) -> None:
        """Nothing to do."""
