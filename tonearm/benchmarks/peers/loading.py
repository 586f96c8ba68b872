"""What the peers that load clips share: the listing, and the timed pass over its batches.

A batch is (clips' places in the listing, waveforms). Waveforms come as (batch, time) or (batch, 1, time), float32 or
int16; int16 is converted on the device it is delivered to, inside the timed pass.
"""

import gc
import hashlib
import json
import shutil
import time
from pathlib import Path

import numpy
import torch
from protocol import Peer

FULL_SCALE = 32768
SAVED_BATCHES = 2


class LoadingPeer(Peer):
    """A way of loading. Subclasses say how the batches come about.

    Attributes:
        arguments: paths, folder, batch_size, num_samples, device.
        batches: what ``load`` returned last.
    """

    def __init__(self, arguments):
        super().__init__(arguments)
        arguments.paths = arguments.paths.read_text().splitlines()
        self.batches = None

    @staticmethod
    def add_arguments(parser):
        """The clips, and how they are asked for."""
        parser.add_argument(
            "--paths", type=Path, required=True, help="a text file, the path of a mono 16-bit clip a line"
        )
        parser.add_argument("--batch-size", type=int, required=True)
        parser.add_argument("--num-samples", type=int, required=True, help="samples of every clip")

    def prepare(self):
        """The files themselves."""
        return list(self.arguments.paths)

    def load(self, settings, num_clips):
        """An object that yields the batches of the first ``num_clips`` clips each time it is iterated."""
        raise NotImplementedError

    def open(self, settings, num_clips):
        """Close what was open, and load with other settings."""
        self.close()
        self.batches = self.load(settings, num_clips or len(self.arguments.paths))

    def close(self):
        """Give up what ``load`` returned."""
        self.batches = None
        gc.collect()  # loaders and their iterators may refer to each other

    def check(self, folder):
        """Leave in ``folder`` what a pass delivers: the first batches, and a hash of every clip."""
        numbers, digests = [], []
        for place, (clips, waveform) in enumerate(self.batches):
            delivered = deliver(waveform, torch.device("cpu")).reshape(len(clips), 1, -1).numpy()
            if place < SAVED_BATCHES:
                numpy.save(folder / f"{place}.npy", delivered)
            numbers.append([int(number) for number in clips])
            digests += [hashlib.sha256(numpy.ascontiguousarray(clip)).hexdigest() for clip in delivered]
        (folder / "clips.json").write_text(json.dumps({"numbers": numbers, "sha256": digests}))

    def run_pass(self):
        """Fetch every batch once."""
        return one_pass(self.batches, self.arguments.device)


def one_pass(batches, device):
    """Fetch every batch once; (clips, seconds)."""
    start = time.perf_counter()
    num_clips = 0
    for numbers, waveform in batches:
        deliver(waveform, device)
        num_clips += len(numbers)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return num_clips, time.perf_counter() - start


def deliver(waveform, device):
    """The batch on the device, float32."""
    waveform = waveform.to(device, non_blocking=True)
    if waveform.dtype == torch.int16:
        waveform = waveform.to(torch.float32).mul_(1 / FULL_SCALE)
    return waveform


def make_once(folder, make):
    """Call ``make(partial folder)`` unless ``folder`` is there; an interrupted one never passes for whole."""
    if not folder.exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())
