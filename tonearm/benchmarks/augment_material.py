"""What augmentation is measured on: clips, a room's response and a background sound, made up and written once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from tonearm.benchmarks.peers.effect_settings import BACKGROUND_FILE, CLIPS_FILE, RIR_FILE, SPECGRAM_FILE
from tonearm.config import FeaturesConfig
from tonearm.models.features import LogMel
from tonearm.seeding import numpy_generator
from tonearm.synthetic import GESTURES, synthesize

RT60_SECONDS = 0.6
RIR_SECONDS = 1.0
BACKGROUND_CLIPS = 2  # the background's length, in clips


@dataclass(frozen=True)
class Material:
    """A batch and what effects add to it.

    Attributes:
        sample_rate: in Hz.
        waveform: (batch, 1, time) float32.
        specgram: (batch, 1, mel, time), the log-mel of the same clips.
        targets: (batch, batch): each clip is a class of its own, so that what was mixed can be read off.
        rir: (time,) float32, an impulse response of a second, on the CPU.
        background: (time,) float32, a sound twice as long as a clip, on the CPU.
    """

    sample_rate: int
    waveform: Tensor
    specgram: Tensor
    targets: Tensor
    rir: Tensor
    background: Tensor

    def batch(self, kind: str) -> Tensor:
        """The waveform or the specgram, by its name."""
        return self.waveform if kind == "waveform" else self.specgram


def make_material(
    *, batch_size: int, sample_rate: int, duration_seconds: float, features: FeaturesConfig, device: torch.device
) -> Material:
    """The sounds of tonearm.synthetic, class after class, and a response of decaying noise."""
    waveform = _sounds("clip", batch_size, sample_rate, duration_seconds).unsqueeze(1).to(device)
    background = _sounds("background", BACKGROUND_CLIPS, sample_rate, duration_seconds).flatten()
    return Material(
        sample_rate=sample_rate,
        waveform=waveform,
        specgram=LogMel(features, sample_rate=sample_rate).to(device)(waveform),
        targets=torch.eye(batch_size, device=device),
        rir=_response(sample_rate),
        background=background,
    )


def write_material(material: Material, folder: Path) -> None:
    """Leave it as files that need nothing of tonearm to be read."""
    np.save(folder / CLIPS_FILE, material.waveform.cpu().numpy(), allow_pickle=False)
    np.save(folder / SPECGRAM_FILE, material.specgram.cpu().numpy(), allow_pickle=False)
    for name, sound in ((RIR_FILE, material.rir), (BACKGROUND_FILE, material.background)):
        soundfile.write(folder / name, sound.numpy(), material.sample_rate, subtype="FLOAT")


def _sounds(use: str, count: int, sample_rate: int, duration_seconds: float) -> Tensor:
    labels = list(GESTURES)
    sounds = [
        synthesize(
            labels[number % len(labels)],
            sample_rate=sample_rate,
            duration_seconds=duration_seconds,
            generator=numpy_generator("bench augment", use, number),
        )
        for number in range(count)
    ]
    return torch.from_numpy(np.stack(sounds))


def _response(sample_rate: int) -> Tensor:
    """(time,): a direct sound, then noise that falls by 60 dB in RT60; its energy is 1."""
    time = np.arange(round(RIR_SECONDS * sample_rate)) / sample_rate
    noise = numpy_generator("bench augment", "rir").standard_normal(len(time))
    tail = noise * 10 ** (-3 * time / RT60_SECONDS)
    tail[0] = np.linalg.norm(tail)
    return torch.from_numpy((tail / np.linalg.norm(tail)).astype(np.float32))
