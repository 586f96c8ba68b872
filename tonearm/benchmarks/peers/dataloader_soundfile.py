"""Peer: torch's DataLoader over WAV or FLAC files read with soundfile, as most training code does it.

Set up as its documentation advises: persistent workers, each reading and collating whole batches; default prefetching;
pinned memory and an asynchronous copy when the device is a GPU. Settings: ``workers``; ``samples``, what the workers
hand over: "float32", or "int16" that is converted where it arrives, half the bytes between the processes.
"""

import soundfile
import torch
from loading import LoadingPeer
from protocol import serve
from torch.utils.data import DataLoader, Dataset


class Clips(Dataset):
    """Audio files as (place in the listing, (1, num_samples) tensor), cut or padded with zeros at the end."""

    def __init__(self, paths, num_samples, samples):
        self.paths = paths
        self.num_samples = num_samples
        self.samples = samples

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        samples, _ = soundfile.read(path, frames=self.num_samples, dtype=self.samples, fill_value=0)
        return index, torch.from_numpy(samples).unsqueeze(0)


class DataLoaderSoundfile(LoadingPeer):
    """The files as they are."""

    packages = ("torch", "soundfile")

    def load(self, settings, num_clips):
        """A DataLoader whose workers stay from pass to pass."""
        return DataLoader(
            Clips(self.arguments.paths[:num_clips], self.arguments.num_samples, settings["samples"]),
            batch_size=self.arguments.batch_size,
            num_workers=settings["workers"],
            persistent_workers=True,
            pin_memory=self.arguments.device.type == "cuda",
        )


if __name__ == "__main__":
    serve(DataLoaderSoundfile)
