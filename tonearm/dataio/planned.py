"""What is to be packed, as it is handed to a worker, and what comes back."""

from dataclasses import dataclass
from pathlib import Path

from tonearm.dataio.audio_file import Probe
from tonearm.dataio.manifest import Clip
from tonearm.dataio.shard_layout import Array, DatasetHeader, shard_name


@dataclass(frozen=True)
class Reject:
    """A clip that was left out, and why."""

    clip_id: str
    path: str
    reason: str


@dataclass(frozen=True)
class PlannedClip:
    """A clip that is to be packed.

    Attributes:
        clip: its row of the manifest.
        header: what its file's header says.
        num_frames: how many frames of the file it takes, as far as the header tells.
    """

    clip: Clip
    header: Probe
    num_frames: int

    def pcm_bytes(self, sample_rate: int, num_channels: int) -> int:
        """Its size as 16-bit samples at a rate."""
        rate = self.header.sample_rate  # soxr rounds the length half up
        return 2 * num_channels * ((2 * self.num_frames * sample_rate + rate) // (2 * rate))

    def packed_bytes(self, codec: str, sample_rate: int, num_channels: int) -> int:
        """What it counts for when shards are cut: its size in the shard, for flac before compression."""
        return self.header.num_bytes if codec == "source" else self.pcm_bytes(sample_rate, num_channels)


@dataclass(frozen=True)
class ShardTask:
    """Everything a worker needs to pack one shard.

    Attributes:
        root: the folder that the clips' paths are relative to.
        out: the folder of the shards.
        header: the dataset's.
        number: the shard's place in the dataset.
        clips: what it is to hold.
    """

    root: Path
    out: Path
    header: DatasetHeader
    number: int
    clips: tuple[PlannedClip, ...]

    @property
    def path(self) -> Path:
        """The file to write."""
        return self.out / shard_name(self.number)

    def packed_bytes(self, item: PlannedClip) -> int:
        """What a clip counts for."""
        return item.packed_bytes(self.header.codec, self.header.sample_rate, self.header.num_channels)


@dataclass(frozen=True)
class EncodedClip:
    """What is known of a clip once it is encoded.

    Attributes:
        num_bytes: its size in the shard.
        num_frames: samples in each channel.
        peak, rms: levels, 1 is full scale.
        num_clipped: samples that lay beyond full scale and were set to it.
    """

    num_bytes: int
    num_frames: int
    peak: float
    rms: float
    num_clipped: int


@dataclass(frozen=True)
class WrittenAudio:
    """The audio of a shard, once it is in the file.

    Attributes:
        clips: the clips it holds, each with the byte of /audio at which it begins.
        num_bytes: size of /audio.
        crc32: of each block of it.
        rejects: what was left out.
    """

    clips: list[tuple[Clip, EncodedClip, int]]
    num_bytes: int
    crc32: Array
    rejects: list[Reject]
