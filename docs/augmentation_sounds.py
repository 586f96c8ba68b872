"""The made-up sounds that the pictures of docs/augmentations.md are of; equal each time they are made."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tonearm.config import FeaturesConfig
from tonearm.gpu_augment import SoundBank
from tonearm.gpu_augment.functional import synthetic_rir
from tonearm.models.features import LogMel
from tonearm.seeding import numpy_generator
from tonearm.synthetic import synthesize

SAMPLE_RATE = 16_000
DURATION_SECONDS = 2.0
PEAK = 0.5
MEL_HOP_LENGTH = 160


def _gesture(label: str) -> Callable[[], NDArray[np.float64]]:
    def make() -> NDArray[np.float64]:
        generator = numpy_generator("docs", label, 0)
        clip = synthesize(label, sample_rate=SAMPLE_RATE, duration_seconds=DURATION_SECONDS, generator=generator)
        return clip.astype(np.float64)

    return make


def _time() -> NDArray[np.float64]:
    return np.arange(round(DURATION_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE


def _tone_steps() -> NDArray[np.float64]:
    """Four notes of six harmonics each, struck and fading."""
    time = _time()
    position = time % 0.5
    f0_hz = np.array([400.0, 500.0, 600.0, 800.0])[(time / 0.5).astype(int)]
    harmonics = np.arange(1, 7)[:, None]
    notes: NDArray[np.float64] = (np.sin(2 * np.pi * harmonics * f0_hz * position) / harmonics).sum(axis=0)
    return notes * np.exp(-4 * position) * np.minimum(1, position / 0.005)


def _hiss() -> NDArray[np.float64]:
    """White noise in four bursts."""
    bursts = np.sin(2 * np.pi * _time()) ** 2
    return bursts * numpy_generator("docs", "hiss").standard_normal(len(bursts))


def _fading_tone() -> NDArray[np.float64]:
    """220 Hz and its third harmonic, fading away."""
    time = _time()
    return np.exp(-1.5 * time) * (np.sin(2 * np.pi * 220 * time) + 0.3 * np.sin(2 * np.pi * 660 * time))


SOUNDS: dict[str, Callable[[], NDArray[np.float64]]] = {
    "knocks": _gesture("double_knocks"),
    "decays": _gesture("decays"),
    "vibrato": _gesture("vibrato"),
    "swells": _gesture("swells"),
    "tone steps": _tone_steps,
    "hiss": _hiss,
    "fading tone": _fading_tone,
}


def sound(name: str) -> Tensor:
    """(time,) float32 with a peak of 0.5."""
    samples = SOUNDS[name]()
    return torch.from_numpy((samples * (PEAK / np.abs(samples).max())).astype(np.float32))


def log_mel(waveform: Tensor) -> Tensor:
    """(batch, channel, 64 mel bins, time) in dB, of (batch, channel, time)."""
    config = FeaturesConfig(n_fft=1024, win_length=512, hop_length=MEL_HOP_LENGTH, n_mels=64)
    specgram: Tensor = LogMel(config, sample_rate=SAMPLE_RATE)(waveform)
    return specgram


def banks() -> dict[str, SoundBank]:
    """What stands for recorded sounds and rooms."""
    street = [sound("vibrato"), sound("swells")]
    keys = torch.tensor([[1, 2], [3, 4]], dtype=torch.int32)
    decays = torch.tensor([0.5, 0.9])
    rooms = synthetic_rir(
        keys, rt60_seconds=decays, drr_db=torch.zeros(2), sample_rate=SAMPLE_RATE, num_samples=SAMPLE_RATE
    )
    return {
        "street": SoundBank(street, sample_rate=SAMPLE_RATE, name="street"),
        "rooms": SoundBank(rooms, sample_rate=SAMPLE_RATE, name="rooms"),
    }
