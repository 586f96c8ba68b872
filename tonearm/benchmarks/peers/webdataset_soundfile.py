"""Peer: WebDataset, tar files of WAV or FLAC, decoded with soundfile in DataLoader workers.

Set up as its documentation advises: batches are made inside the workers, the DataLoader makes none of its own, and
there are several shards for each worker. Settings: ``workers``; ``samples``, what they hand over: "float32", or "int16"
that is converted where it arrives.
"""

import io
import tarfile
from pathlib import Path

import numpy
import soundfile
import torch
import webdataset
from loading import LoadingPeer, make_once
from protocol import serve

BATCHES_A_SHARD = 2


class Decode:
    """A sample of the tar file to (place in the listing, (1, num_samples) array)."""

    def __init__(self, num_samples, samples):
        self.num_samples = num_samples
        self.samples = samples

    def __call__(self, sample):
        """Decode a sample."""
        (encoded,) = (value for key, value in sample.items() if not key.startswith("__"))
        file = io.BytesIO(encoded)
        samples, _ = soundfile.read(file, frames=self.num_samples, dtype=self.samples, fill_value=0)
        return int(sample["__key__"]), samples[None]


def collate(samples):
    """A batch of tensors."""
    numbers, waveforms = zip(*samples, strict=True)
    return torch.tensor(numbers), torch.from_numpy(numpy.stack(waveforms))


class WebDatasetSoundfile(LoadingPeer):
    """Shards of two batches each."""

    packages = ("webdataset", "torch", "soundfile")

    def prepare(self):
        """Write the tar files; a clip's name is its place in the listing."""
        suffix = Path(self.arguments.paths[0]).suffix
        size = BATCHES_A_SHARD * self.arguments.batch_size

        def make(folder):
            for start in range(0, len(self.arguments.paths), size):
                with tarfile.open(folder / f"{start // size:06d}.tar", "w") as shard:
                    for place, path in enumerate(self.arguments.paths[start : start + size], start):
                        shard.add(path, f"{place:06d}{suffix}")

        self.shards = make_once(self.arguments.folder / f"webdataset-{suffix[1:]}-{size}-a-shard", make)
        return self.shards

    def load(self, settings, num_clips):
        """A WebLoader whose workers stay from pass to pass."""
        size = BATCHES_A_SHARD * self.arguments.batch_size
        dataset = (
            webdataset.WebDataset(self.shards[: -(-num_clips // size)], shardshuffle=False, empty_check=False)
            .map(Decode(self.arguments.num_samples, settings["samples"]))
            .batched(self.arguments.batch_size, collation_fn=collate)
        )
        return webdataset.WebLoader(
            dataset,
            batch_size=None,
            num_workers=settings["workers"],
            persistent_workers=True,
            pin_memory=self.arguments.device.type == "cuda",
        )


if __name__ == "__main__":
    serve(WebDatasetSoundfile)
