"""The larger half of packing a shard: its clips decoded, judged, encoded and written. Runs in a worker."""

from collections.abc import Callable
from pathlib import Path

from tonearm.dataio.audio_stream import AudioStream
from tonearm.dataio.encode import ClipEncoder
from tonearm.dataio.planned import Reject, ShardTask, WrittenAudio
from tonearm.errors import AudioError


def write_audio(task: ShardTask, path: Path, begin: int, count: Callable[[int], None]) -> WrittenAudio:
    """Write the content of a shard's /audio.

    Args:
        task: the shard.
        path: the file to make.
        begin: where /audio begins in it.
        count: called after each clip with what it counts for.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    clips, rejects = [], []
    encoder = ClipEncoder(task.root, task.header)
    with path.open("wb", buffering=0) as file:
        stream = AudioStream(file, begin)
        for item in task.clips:
            try:
                encoded = encoder.encode(item, stream.room)
            except AudioError as error:
                rejects.append(Reject(item.clip.clip_id, item.clip.path, str(error)))
            else:
                clips.append((item.clip, encoded, stream.add(encoded.num_bytes)))
            count(task.packed_bytes(item))
        num_bytes, crc32 = stream.finish()
    return WrittenAudio(clips, num_bytes, crc32, rejects)
