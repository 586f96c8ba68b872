"""Peer: torch's DataLoader over WAV files read with soundfile, as most training code does it.

Set up as its documentation advises: persistent workers, each reading a clip as float32 at once; default prefetching;
pinned memory and an asynchronous copy when the device is a GPU. The protocol is described in ``peers/__init__.py``.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy
import soundfile
import torch
from torch.utils.data import DataLoader, Dataset


class Clips(Dataset):
    """WAV files as (1, num_samples) float32 tensors, cut or padded with zeros at the end."""

    def __init__(self, paths, num_samples):
        self.paths = paths
        self.num_samples = num_samples

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        samples, _ = soundfile.read(self.paths[index], frames=self.num_samples, dtype="float32")
        waveform = torch.from_numpy(samples)
        if len(samples) < self.num_samples:
            waveform = torch.nn.functional.pad(waveform, (0, self.num_samples - len(samples)))
        return waveform.unsqueeze(0)


def one_pass(loader, device):
    """Fetch every batch once; (clips, seconds)."""
    start = time.perf_counter()
    num_clips = 0
    for batch in loader:
        num_clips += len(batch.to(device, non_blocking=True))
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return num_clips, time.perf_counter() - start


def main():
    """Serve passes until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", required=True, help="a text file with the path of one mono WAV a line")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--num-samples", type=int, required=True, help="samples of every clip")
    parser.add_argument("--workers", type=int, required=True, help="at least 1")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    # The answers get standard output for themselves; whatever a library prints goes to standard error.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**message):
        print(json.dumps(message), file=answers, flush=True)

    device = torch.device(arguments.device)
    loader = DataLoader(
        Clips(Path(arguments.paths).read_text().splitlines(), arguments.num_samples),
        batch_size=arguments.batch_size,
        num_workers=arguments.workers,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
    packages = {"torch": torch, "numpy": numpy, "soundfile": soundfile}
    answer(event="ready", versions={name: package.__version__ for name, package in packages.items()})
    for line in sys.stdin:
        message = json.loads(line)
        if message["command"] == "quit":
            break
        if message["command"] == "check":
            numpy.save(message["path"], next(iter(loader)).numpy())
            answer(event="checked")
        if message["command"] == "pass":
            num_clips, seconds = one_pass(loader, device)
            answer(event="pass", num_clips=num_clips, seconds=seconds)


if __name__ == "__main__":
    main()
