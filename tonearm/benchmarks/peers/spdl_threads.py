"""Peer: SPDL, its pipeline of threads over WAV or FLAC files.

Set up as its documentation advises: the pipeline's stages run concurrently in one thread pool, in the order of the
input. Settings: ``threads``; ``decoder``: "load_audio" (FFmpeg, any format) or "load_wav" (reads the header and views
the samples); ``stage``, what a task is: "clip" (decode clips concurrently, then gather batches) or "batch" (each task
decodes a whole batch into its tensor). FFmpeg is told the format and probes next to nothing: left to itself it reads
ahead to guess what a WAV may hold.

spdl-io brings no FFmpeg, and pip installs none but the one inside PyAV, under names of its own: the process starts
itself again with links to those where the loader looks.
"""

import importlib.util
import os
import sys
from pathlib import Path

import numpy
import spdl.io
import torch
from loading import FULL_SCALE, LoadingPeer
from protocol import serve
from spdl.pipeline import PipelineBuilder


def find_ffmpeg(folder):
    """Start this process again with PyAV's FFmpeg on the path of libraries, unless it is there."""
    found = importlib.util.find_spec("av")
    if "TONEARM_PEER_FFMPEG" in os.environ or found is None:
        return
    libraries = Path(found.origin).parent.parent / "av.libs"
    folder.mkdir(parents=True, exist_ok=True)
    for library in [*libraries.glob("libav*.so.*"), *libraries.glob("libsw*.so.*")]:
        name, _, version = library.name.partition(".so.")
        link = folder / f"{name.partition('-')[0]}.so.{version.partition('.')[0]}"
        link.unlink(missing_ok=True)
        link.symlink_to(library)
    path = [str(folder), str(libraries), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    os.environ.update(LD_LIBRARY_PATH=":".join(path), TONEARM_PEER_FFMPEG="1")
    os.execv(sys.executable, [sys.executable, *sys.argv])  # noqa: S606 - our own words


def load_audio(path):
    """(frames, channels) int16, decoded by FFmpeg without a filter graph."""
    config = spdl.io.demux_config(format=Path(path).suffix[1:], format_options={"probesize": "32"})
    return spdl.io.to_numpy(spdl.io.load_audio(path, demux_config=config, filter_desc=None))


def load_wav(path):
    """(frames, channels) int16, a view of the file's bytes."""
    return spdl.io.to_numpy(spdl.io.load_wav(Path(path).read_bytes()))


DECODERS = {"load_audio": load_audio, "load_wav": load_wav}


class Batches:
    """A pipeline for each pass, as SPDL's own DataLoader builds one."""

    def __init__(self, arguments, settings, num_clips):
        self.arguments = arguments
        self.settings = settings
        self.paths = arguments.paths[:num_clips]
        self.decode = DECODERS[settings["decoder"]]

    def __iter__(self):
        threads = self.settings["threads"]
        builder = PipelineBuilder().add_source(enumerate(self.paths))
        if self.settings["stage"] == "clip":
            builder = builder.pipe(self._decode_clip, concurrency=threads, output_order="input")
            builder = builder.aggregate(self.arguments.batch_size)
            builder = builder.pipe(self._gather, concurrency=threads, output_order="input")
        else:
            builder = builder.aggregate(self.arguments.batch_size)
            builder = builder.pipe(self._decode_batch, concurrency=threads, output_order="input")
        pipeline = builder.add_sink(3).build(num_threads=threads, max_failures=0)
        with pipeline.auto_stop():
            yield from pipeline.get_iterator()

    def _decode_clip(self, clip):
        place, path = clip
        return place, self.decode(path)

    def _gather(self, clips):
        batch = self._empty(len(clips))
        for row, (_, samples) in zip(batch.numpy()[:, 0], clips, strict=True):
            fill(row, samples)
        return torch.tensor([place for place, _ in clips]), batch

    def _decode_batch(self, clips):
        batch = self._empty(len(clips))
        for row, (_, path) in zip(batch.numpy()[:, 0], clips, strict=True):
            fill(row, self.decode(path))
        return torch.tensor([place for place, _ in clips]), batch

    def _empty(self, num_clips):
        pinned = self.arguments.device.type == "cuda"
        return torch.empty((num_clips, 1, self.arguments.num_samples), pin_memory=pinned)


def fill(row, samples):
    """Convert int16 samples into a row of the batch, cut or padded with zeros at the end."""
    samples = samples.reshape(-1)[: len(row)]
    numpy.multiply(samples, numpy.float32(1 / FULL_SCALE), out=row[: len(samples)])
    row[len(samples) :] = 0


class SpdlThreads(LoadingPeer):
    """The files as they are."""

    packages = ("spdl-io", "av", "torch")

    def load(self, settings, num_clips):
        """Batches from a pipeline that is built anew for each pass."""
        return Batches(self.arguments, settings, num_clips)


if __name__ == "__main__":
    find_ffmpeg(Path(sys.argv[sys.argv.index("--folder") + 1]) / "ffmpeg")
    serve(SpdlThreads)
