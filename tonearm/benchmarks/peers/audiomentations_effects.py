"""Peer: audiomentations, clip by clip on the CPU, as it must; on a GPU the batch is copied there at the end.

Settings: ``workers``, in how many processes; 1 is this one. Workers inherit the clips and leave what they make in
memory that all share, so nothing but the clips' numbers goes through a pipe.
"""

import multiprocessing
import os
import random

import audiomentations
import numpy
import torch
from augmenting import AugmentingPeer
from effect_settings import (
    BACKGROUND_FILE,
    MAX_RATE,
    MAX_SEMITONES,
    MAX_SNR_DB,
    MIN_RATE,
    MIN_SNR_DB,
    RIR_FILE,
)
from protocol import serve

SNR = {"min_snr_db": MIN_SNR_DB, "max_snr_db": MAX_SNR_DB}
TASKS_A_WORKER = 4  # few messages, and no worker waits long for another


class Shared:
    """What a worker inherits: the transform, the clips, and where to leave what it makes of them."""

    def __init__(self, transform, clips, sample_rate):
        self.transform = transform
        self.clips = clips
        self.sample_rate = sample_rate
        self.made = torch.zeros_like(clips).share_memory_()

    def augment(self, number):
        """One clip."""
        self.made[number, 0].numpy()[:] = self.transform(self.clips[number, 0].numpy(), self.sample_rate)


def seed(number):
    """Seed what audiomentations draws from."""
    random.seed(number)
    numpy.random.seed(number)  # noqa: NPY002


def inherit(shared):
    """Begin as a worker, with draws of one's own."""
    global inherited  # a pool hands its functions no other state
    inherited = shared
    seed(os.getpid())


def augment_inherited(number):
    """One clip, in a worker."""
    inherited.augment(number)


class AudiomentationsEffects(AugmentingPeer):
    """Its transforms."""

    packages = ("audiomentations", "numpy")

    def __init__(self, arguments):
        super().__init__(arguments)
        seed(0)
        self._pools = []

    def effect(self, name, settings):
        """A transform that is always on, over the clips in turn or in a pool."""
        shared = Shared(self._transform(name), self.waveform.cpu(), self.arguments.sample_rate)
        numbers, workers = range(len(shared.clips)), settings["workers"]
        pool = None
        if workers > 1:
            pool = multiprocessing.get_context("fork").Pool(workers, inherit, (shared,))
            self._pools.append(pool)

        def augment():
            if pool is None:
                for number in numbers:
                    shared.augment(number)
            else:
                pool.map(augment_inherited, numbers, max(1, len(numbers) // (TASKS_A_WORKER * workers)))
            return shared.made.to(self.arguments.device)

        return augment

    def close(self):
        """End the workers."""
        for pool in self._pools:
            pool.terminate()
            pool.join()

    def _transform(self, name):
        if name == "white_noise":
            return audiomentations.AddGaussianSNR(**SNR, p=1.0)
        if name == "pink_noise":
            return audiomentations.AddColorNoise(**SNR, min_f_decay=-3.01, max_f_decay=-3.01, p=1.0)
        if name == "reverb":
            return audiomentations.ApplyImpulseResponse(self.arguments.folder / RIR_FILE, p=1.0)
        if name == "background_noise":
            return audiomentations.AddBackgroundNoise(self.arguments.folder / BACKGROUND_FILE, **SNR, p=1.0)
        if name == "time_stretch":
            return audiomentations.TimeStretch(MIN_RATE, MAX_RATE, p=1.0)
        return audiomentations.PitchShift(-MAX_SEMITONES, MAX_SEMITONES, p=1.0)


if __name__ == "__main__":
    serve(AudiomentationsEffects)
