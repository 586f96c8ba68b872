"""How far a pack is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class PackProgress:
    """How far a pack is.

    Bytes are those of the audio as 16-bit samples at the dataset's rate; for codec source, those of the files. What an
    earlier run had finished counts as done from the first call on: a speed is (bytes now - bytes then) / seconds since.

    Attributes:
        clips_done, clips_total: clips, rejected ones included.
        bytes_done, bytes_total: bytes of them.
    """

    clips_done: int
    clips_total: int
    bytes_done: int
    bytes_total: int


Progress = Callable[[PackProgress], None]
