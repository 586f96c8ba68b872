"""Whether the disk has room for what is to be packed, and what to say when it has not."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tonearm.dataio.planned import PlannedClip
from tonearm.dataio.recording import most_frames
from tonearm.dataio.shards import DatasetHeader
from tonearm.errors import RunError

_FLAC_SHARE = 0.5  # of 16-bit samples: what recordings come to; noise takes more, speech with pauses less
_SHARD_BYTES = 32 << 10  # metadata of a shard beside its clips and class names
_CLIP_BYTES = 400  # columns of a clip, in its shard and twice in the index, without its texts


def bytes_needed(clips: Sequence[PlannedClip], header: DatasetHeader) -> int:
    """What a shard of these clips takes on the disk, with its part of the index.

    For pcm16 and source the files' headers tell it, as far as a file of that size can hold what its header says: one
    that lies is rejected later, and must not cost the others their pack. For flac it is half of pcm16, an estimate:
    what a recording compresses to is known once it is compressed, and asking for more would refuse packs that fit.
    """
    believed = [replace(item, num_frames=min(item.num_frames, most_frames(item.header))) for item in clips]
    sizes = [item.packed_bytes(header.codec, header.sample_rate, header.num_channels) for item in believed]
    audio = sum(sizes) * (_FLAC_SHARE if header.codec == "flac" else 1)
    texts = max((len(item.clip.clip_id) + len(item.clip.group) for item in clips), default=0)
    names = 4 * max(map(len, header.class_names)) * len(header.class_names)
    return int(audio) + _SHARD_BYTES + names + (_CLIP_BYTES + 3 * texts) * len(clips)


def check_free_space(out: Path, needed: int, codec: str) -> None:
    """Refuse to begin what cannot end.

    Args:
        out: the folder.
        needed: bytes that are to be written.
        codec: the dataset's.

    Raises:
        RunError: less is free.
    """
    free = shutil.disk_usage(out).free
    if needed > free:
        smaller = "" if codec == "flac" else ", or pack with --codec flac, which takes about half of pcm16"
        raise RunError(
            f"{out}: {_megabytes(needed)} are needed here{' or so' if codec == 'flac' else ''}, but {_megabytes(free)} "
            f"are free on this disk. Make room, give a folder on another disk{smaller}. Nothing was written."
        )


def write_error(path: Path, error: OSError, needed: int) -> RunError:
    """What to say when a file cannot be written.

    Args:
        path: the file.
        error: what the system said.
        needed: the file's size.
    """
    return RunError(
        f"{path}: cannot be written ({error.strerror or error}); {room_left(path.parent)}, this file needs "
        f"{_megabytes(needed)}. Make room and run the same command again; it goes on from there."
    )


def room_left(folder: Path) -> str:
    """What a message says of the room on a folder's disk."""
    try:
        return f"the disk has {_megabytes(shutil.disk_usage(folder).free)} free"
    except OSError:
        return "its folder is gone or cannot be looked at"


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"
