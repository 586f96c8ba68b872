"""Augmentation of whole batches where they lie, on a GPU or a CPU: per clip, without a sync, and replayable.

    >>> import torch
    >>> from tonearm.gpu_augment import Chain, Noise, Reverb, TimeShiftStretch
    >>> augment = Chain([TimeShiftStretch(p=0.5), Noise(p=0.3), Reverb(p=0.2, sample_rate=44_100)])
    >>> augment(torch.rand(8, 1, 44_100)).shape
    torch.Size([8, 1, 44100])

It is an ``nn.Module``: ``eval()`` makes it the identity, ``state_dict()`` carries its random generator. Whether a clip
is touched (``p``) and how is drawn for each clip by itself, on the host, before any kernel runs; so only the clips that
are touched are computed (on a GPU up to an eighth of the batch more, see ``sample``), and nothing waits for the device.

What was drawn can be kept and done again, to the same batch or another of its size::

    params = augment.sample(batch_size, num_samples, device="cuda")
    waveform = augment.apply(waveform, params)

With clips of different lengths give ``augment(waveform, lengths, targets)``; what lies beyond a clip's length stays as
it is. On spectrograms there are :class:`TimeMasking`, :class:`FrequencyMasking`, :class:`SpecAugment` and
:class:`DropBlock`; they take lengths along, but do not read them: masks and means are of the whole map. Each effect is
also a plain function with explicit parameters in :mod:`~tonearm.gpu_augment.functional`, and once more, slow and
obvious, in :mod:`~tonearm.gpu_augment.reference`. To write one of your own, begin at :class:`ClipEffect`.

This package imports torch, numpy and tonearm's own errors and batch, nothing else: lift it into any trainer.
"""

from tonearm.gpu_augment.bank import SoundBank
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.compose import Chain, OneOf, SomeOf
from tonearm.gpu_augment.core import Augmentation, Augmented
from tonearm.gpu_augment.pair_effect import PairEffect
from tonearm.gpu_augment.params import Params
from tonearm.gpu_augment.serialize import from_dict, to_dict
from tonearm.gpu_augment.transforms.crop import Crop
from tonearm.gpu_augment.transforms.filters import BandPass, HighPass, LowPass
from tonearm.gpu_augment.transforms.level import Clip, Gain, MuLaw, Polarity, Quantize, SegmentGain
from tonearm.gpu_augment.transforms.mix import BetweenClassMixup, CutMix, Mixup
from tonearm.gpu_augment.transforms.noise import BackgroundNoise, GaussianNoise, Noise, SineHum
from tonearm.gpu_augment.transforms.room import BankReverb, ImageSourceReverb, Reverb
from tonearm.gpu_augment.transforms.specgram import DropBlock, FrequencyMasking, SpecAugment, TimeMasking
from tonearm.gpu_augment.transforms.spectral import FrequencyShift, PhaseNoise, PitchShift, TimeStretch
from tonearm.gpu_augment.transforms.time import Reverse, Shift, Speed, TimeShiftStretch

__all__ = [
    "Augmentation",
    "Augmented",
    "BackgroundNoise",
    "BandPass",
    "BankReverb",
    "BetweenClassMixup",
    "Chain",
    "Clip",
    "ClipEffect",
    "Crop",
    "CutMix",
    "DropBlock",
    "FrequencyMasking",
    "FrequencyShift",
    "Gain",
    "GaussianNoise",
    "HighPass",
    "ImageSourceReverb",
    "LowPass",
    "Mixup",
    "MuLaw",
    "Noise",
    "OneOf",
    "PairEffect",
    "Params",
    "PhaseNoise",
    "PitchShift",
    "Polarity",
    "Quantize",
    "Reverb",
    "Reverse",
    "SegmentGain",
    "Shift",
    "SineHum",
    "SomeOf",
    "SoundBank",
    "SpecAugment",
    "Speed",
    "TimeMasking",
    "TimeShiftStretch",
    "TimeStretch",
    "from_dict",
    "to_dict",
]
