"""Peer: LitData, optimised chunks read by its StreamingDataLoader.

WAV clips are stored as int16 tensors, which its documentation prefers to bytes that are still to be decoded; FLAC clips
as their bytes, decoded with soundfile in the workers. Chunks have the default 64 MB; local chunks are mapped in place,
as it does by itself. Settings: ``workers``; ``samples``, what they hand over: "float32", or "int16" that is converted
where it arrives.
"""

import io
import multiprocessing
from pathlib import Path

import litdata
import soundfile
import torch
from loading import FULL_SCALE, LoadingPeer, make_once
from protocol import serve
from torch.utils.data import _utils as data_utils


class Sample:
    """A clip as it is stored: a dictionary of its place in the listing and its samples or bytes."""

    def __init__(self, num_samples):
        self.num_samples = num_samples

    def __call__(self, clip):
        """Read a clip."""
        place, path = clip
        if path.endswith(".flac"):
            return {"place": place, "bytes": Path(path).read_bytes()}
        samples, _ = soundfile.read(path, frames=self.num_samples, dtype="int16", fill_value=0)
        return {"place": place, "samples": torch.from_numpy(samples)}


class Clips(litdata.StreamingDataset):
    """Chunks as (place, (1, num_samples) tensor)."""

    def __init__(self, folder, num_samples, samples, **more):
        super().__init__(str(folder), shuffle=False, drop_last=False, **more)
        self.num_samples = num_samples
        self.samples = samples

    def __getitem__(self, index):
        stored = super().__getitem__(index)
        if "bytes" in stored:
            decoded, _ = soundfile.read(
                io.BytesIO(stored["bytes"]), frames=self.num_samples, dtype=self.samples, fill_value=0
            )
            return stored["place"], torch.from_numpy(decoded).unsqueeze(0)
        waveform = stored["samples"].unsqueeze(0)
        if self.samples == "float32":
            waveform = waveform.to(torch.float32).mul_(1 / FULL_SCALE)
        return stored["place"], waveform


class LitDataChunks(LoadingPeer):
    """Chunks of one folder."""

    packages = ("litdata", "torch", "soundfile")

    def prepare(self):
        """Optimise the clips, in their order."""

        def make(folder):
            method = multiprocessing.get_start_method()
            litdata.optimize(
                Sample(self.arguments.num_samples),
                list(enumerate(self.arguments.paths)),
                str(folder),
                chunk_bytes="64MB",
                num_workers=1,
                keep_data_ordered=True,
                reorder_files=False,
                verbose=False,
            )
            # optimize leaves "spawn" behind, with which each of the DataLoader's workers would import torch again.
            multiprocessing.set_start_method(method, force=True)

        self.chunks = self.arguments.folder / f"litdata-{Path(self.arguments.paths[0]).suffix[1:]}"
        return make_once(self.chunks, make)

    def load(self, settings, num_clips):
        """A StreamingDataLoader whose workers stay from pass to pass."""
        dataset = Clips(
            self.chunks,
            self.arguments.num_samples,
            settings["samples"],
            subsample=num_clips / len(self.arguments.paths),
        )
        return litdata.StreamingDataLoader(
            dataset,
            batch_size=self.arguments.batch_size,
            num_workers=settings["workers"],
            persistent_workers=True,
            pin_memory=self.arguments.device.type == "cuda",
        )

    def close(self):
        """End the workers without waiting for them: they do not end when asked to, and torch gives each 5 s."""
        interval = data_utils.MP_STATUS_CHECK_INTERVAL
        data_utils.MP_STATUS_CHECK_INTERVAL = 0.1
        super().close()
        data_utils.MP_STATUS_CHECK_INTERVAL = interval


if __name__ == "__main__":
    serve(LitDataChunks)
