"""What a worker has to know of a shard: kept apart from HDF5, which takes long to import."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, Any]

CRC_BLOCK = 65_536  # bytes of /audio that share a checksum
ALIGNMENT = 64  # bytes; where a clip may begin in /audio


@dataclass(frozen=True)
class DatasetHeader:
    """What all shards of a dataset have in common."""

    name: str
    class_names: tuple[str, ...]
    codec: str
    sample_rate: int
    num_channels: int
    num_shards: int
    manifest_sha256: str
    pack_sha256: str  # of the manifest, the settings, the library versions and what the files' headers said
    versions: dict[str, str]


def shard_name(number: int) -> str:
    """The file name of a shard."""
    return f"shard-{number:05d}.h5"
