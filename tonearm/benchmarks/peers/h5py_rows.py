"""Peer: one (clips, time) int16 dataset in one HDF5 file, read by rows in DataLoader workers, as PANNs lays it out.

Each worker opens the file itself, upon its first clip, since an open HDF5 file must not be forked. Settings:
``workers``; ``read``: "row" (row by row, collated) or "batch" (the rows of a batch, which lie side by side, as one
slice); ``samples``, what they hand over: "float32", or "int16" that is converted where it arrives.
"""

import h5py
import numpy
import soundfile
import torch
from loading import FULL_SCALE, LoadingPeer, make_once
from protocol import serve
from torch.utils.data import DataLoader, Dataset


class Rows(Dataset):
    """Rows of the file as (row, (1, time) tensor)."""

    def __init__(self, path, num_rows, samples):
        self.path = path
        self.num_rows = num_rows
        self.samples = samples
        self.waveform = None

    def __len__(self):
        return self.num_rows

    def __getitem__(self, index):
        return index, self.read(index).unsqueeze(0)

    def read(self, places):
        """What stands at an index or a slice."""
        if self.waveform is None:
            self.waveform = h5py.File(self.path, "r")["waveform"]
        samples = torch.from_numpy(self.waveform[places])
        return samples.to(torch.float32).mul_(1 / FULL_SCALE) if self.samples == "float32" else samples


class Slices(Rows):
    """Whole batches of the file, read at once; the DataLoader asks for them because there is ``__getitems__``."""

    def __getitems__(self, indices):
        """A batch of consecutive rows."""
        return torch.tensor(indices), self.read(slice(indices[0], indices[-1] + 1)).unsqueeze(1)


def as_it_is(batch):
    """A batch that needs no collating."""
    return batch


class H5pyRows(LoadingPeer):
    """One file for all clips."""

    packages = ("h5py", "torch")

    def prepare(self):
        """Write the rows, cut or padded with zeros at the end."""

        def make(folder):
            shape = (len(self.arguments.paths), self.arguments.num_samples)
            with h5py.File(folder / "waveform.h5", "w") as file:
                rows = file.create_dataset("waveform", shape, numpy.int16)
                for place, path in enumerate(self.arguments.paths):
                    samples, _ = soundfile.read(path, frames=shape[1], dtype="int16")
                    rows[place, : len(samples)] = samples

        return make_once(self.arguments.folder / "h5py-rows", make)

    def load(self, settings, num_clips):
        """A DataLoader whose workers stay from pass to pass."""
        whole = settings["read"] == "batch"
        kind = Slices if whole else Rows
        return DataLoader(
            kind(self.arguments.folder / "h5py-rows" / "waveform.h5", num_clips, settings["samples"]),
            batch_size=self.arguments.batch_size,
            collate_fn=as_it_is if whole else None,
            num_workers=settings["workers"],
            persistent_workers=True,
            pin_memory=self.arguments.device.type == "cuda",
        )


if __name__ == "__main__":
    serve(H5pyRows)
