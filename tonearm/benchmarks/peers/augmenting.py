"""What the peers that augment share: the clips, and the timed pass of one effect over them, again and again.

An effect takes nothing and returns the batch as it made it, on the device. The setting ``effect`` names it; whatever
else it is opened with is for the script. What was opened stays, so that effects can take turns.
"""

import math
import time

import numpy
import torch
from effect_settings import CLIPS_FILE, SPECGRAM_FILE
from protocol import Peer


class AugmentingPeer(Peer):
    """A library of effects. Subclasses say how each is made.

    Attributes:
        arguments: folder, device, sample_rate, threads, pass_seconds.
        waveform: (batch, 1, time) float32 on the device.
        specgram: the same clips as (batch, 1, mel, time) float32 on the device.
    """

    def __init__(self, arguments):
        super().__init__(arguments)
        torch.set_num_threads(arguments.threads)
        torch.manual_seed(0)
        self.waveform = self._load(CLIPS_FILE)
        self.specgram = self._load(SPECGRAM_FILE)
        self._opened = {}
        self._current = None

    @staticmethod
    def add_arguments(parser):
        """What the clips are, and how long a pass is to last."""
        parser.add_argument("--sample-rate", type=int, required=True)
        parser.add_argument("--threads", type=int, required=True, help="of torch's operators on the CPU")
        parser.add_argument("--pass-seconds", type=float, required=True, help="a pass repeats an effect for this long")

    def effect(self, name, settings):
        """The function that augments the batch once."""
        raise NotImplementedError

    def open(self, settings, num_clips):
        """Take the effect that these settings make; one that is new is warmed up, and its calls a pass are counted."""
        key = tuple(sorted(settings.items()))
        if key not in self._opened:
            with torch.inference_mode():
                effect = self.effect(settings["effect"], settings)
            self._opened[key] = effect, 1
            self._current = key
            self.run_pass()
            _, seconds = self.run_pass()
            self._opened[key] = effect, max(1, math.ceil(self.arguments.pass_seconds / seconds))
        self._current = key

    def check(self, folder):
        """Leave what one call makes, as ``0.npy``."""
        effect, _ = self._opened[self._current]
        with torch.inference_mode():
            numpy.save(folder / "0.npy", effect().cpu().numpy())
        for name, batch in ((CLIPS_FILE, self.waveform), (SPECGRAM_FILE, self.specgram)):
            if not torch.equal(batch, self._load(name)):
                raise ValueError(f"{self._current}: the effect has changed the batch that it was given")

    def run_pass(self):
        """Augment the batch as often as a pass takes."""
        effect, calls = self._opened[self._current]
        with torch.inference_mode():
            self._synchronize()
            start = time.perf_counter()
            for _ in range(calls):
                effect()
            self._synchronize()
            return calls * len(self.waveform), time.perf_counter() - start

    def _load(self, name):
        return torch.from_numpy(numpy.load(self.arguments.folder / name)).to(self.arguments.device)

    def _synchronize(self):
        if self.arguments.device.type == "cuda":
            torch.cuda.synchronize(self.arguments.device)
