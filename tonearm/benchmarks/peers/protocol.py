"""What every peer shares: the line of commands. See ``peers/__init__.py``."""

import argparse
import json
import os
import sys
from importlib import metadata
from pathlib import Path

import torch


class Peer:
    """A way of doing something. Subclasses say how; one object serves one process.

    Attributes:
        arguments: of the command line.
        packages: distributions whose version is told.
    """

    packages = ()

    def __init__(self, arguments):
        self.arguments = arguments

    @staticmethod
    def add_arguments(parser):
        """Add what the command line says besides ``--folder`` and ``--device``."""

    def prepare(self):
        """Bring the clips into the peer's format where they are not yet; the files that a pass reads."""
        return []

    def open(self, settings, num_clips):
        """Have the next passes run with these settings."""
        raise NotImplementedError

    def close(self):
        """Give up what ``open`` made: workers, files and maps."""

    def check(self, folder):
        """Leave in ``folder`` what a pass makes."""
        raise NotImplementedError

    def run_pass(self):
        """One pass; (clips, seconds)."""
        raise NotImplementedError


def serve(peer_class):
    """Read the command line and answer commands until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="where the peer's own format may lie")
    parser.add_argument("--device", type=torch.device, default="cpu")
    peer_class.add_arguments(parser)
    arguments = parser.parse_args()

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
            peer.open(message["settings"], message["num_clips"])
            answer(event="opened")
        elif command == "close":
            peer.close()
            answer(event="closed")
        elif command == "check":
            peer.check(Path(message["folder"]))
            answer(event="checked")
        elif command == "pass":
            num_clips, seconds = peer.run_pass()
            answer(event="pass", num_clips=num_clips, seconds=seconds)
        else:
            raise ValueError(f"unknown command {command!r}")
    peer.close()
