"""What every peer shares: the arguments, the line of commands, and the timed pass. See ``peers/__init__.py``.

A batch is (clips' places in the listing, waveforms). Waveforms come as (batch, time) or (batch, 1, time), float32 or
int16; int16 is converted on the device it is delivered to, inside the timed pass.
"""

import argparse
import gc
import hashlib
import json
import os
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path

import numpy
import torch

FULL_SCALE = 32768
SAVED_BATCHES = 2


class Peer:
    """A way of loading. Subclasses say how; one object serves one process.

    Attributes:
        arguments: of the command line: paths, folder, batch_size, num_samples, device.
        packages: distributions whose version is told.
    """

    packages = ()

    def __init__(self, arguments):
        self.arguments = arguments
        self.batches = None

    def prepare(self):
        """Bring the clips into the peer's format where they are not yet; the files that a pass reads."""
        return list(self.arguments.paths)

    def open(self, settings, num_clips):
        """An object that yields the batches of the first ``num_clips`` clips each time it is iterated."""
        raise NotImplementedError

    def close(self):
        """Give up what ``open`` returned: workers, files and maps."""
        self.batches = None
        gc.collect()  # loaders and their iterators may refer to each other


def serve(peer_class):
    """Read the command line and answer commands until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--paths", required=True, help="a text file with the path of one mono 16-bit clip a line")
    parser.add_argument("--folder", type=Path, required=True, help="where the peer's own format may lie")
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--num-samples", type=int, required=True, help="samples of every clip")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    arguments.paths = Path(arguments.paths).read_text().splitlines()
    arguments.device = torch.device(arguments.device)

    # The answers get standard output for themselves; whatever a library prints goes to standard error.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**message):
        print(json.dumps(message), file=answers, flush=True)

    peer = peer_class(arguments)
    answer(event="ready", versions={name: metadata.version(name) for name in peer.packages})
    for line in sys.stdin:
        message = json.loads(line)
        command = message["command"]
        if command == "quit":
            break
        if command == "prepare":
            answer(event="prepared", files=peer.prepare())
        elif command == "open":
            peer.close()
            peer.batches = peer.open(message["settings"], message["num_clips"] or len(arguments.paths))
            answer(event="opened")
        elif command == "close":
            peer.close()
            answer(event="closed")
        elif command == "check":
            check(peer.batches, Path(message["folder"]))
            answer(event="checked")
        elif command == "pass":
            num_clips, seconds = one_pass(peer.batches, arguments.device)
            answer(event="pass", num_clips=num_clips, seconds=seconds)
        else:
            raise ValueError(f"unknown command {command!r}")
    peer.close()


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


def check(batches, folder):
    """Leave in ``folder`` what a pass delivers: the first batches, and a hash of every clip."""
    numbers, digests = [], []
    for place, (clips, waveform) in enumerate(batches):
        delivered = deliver(waveform, torch.device("cpu")).reshape(len(clips), 1, -1).numpy()
        if place < SAVED_BATCHES:
            numpy.save(folder / f"{place}.npy", delivered)
        numbers.append([int(number) for number in clips])
        digests += [hashlib.sha256(numpy.ascontiguousarray(clip)).hexdigest() for clip in delivered]
    (folder / "clips.json").write_text(json.dumps({"numbers": numbers, "sha256": digests}))


def make_once(folder, make):
    """Call ``make(partial folder)`` unless ``folder`` is there; an interrupted one never passes for whole."""
    if not folder.exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        make(partial)
        partial.rename(folder)
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())
