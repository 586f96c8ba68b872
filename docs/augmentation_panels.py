"""What is to be seen on the pictures of docs/augmentations.md: a sound, and what an effect makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from docs.augmentation_examples import Example
from docs.augmentation_sounds import SAMPLE_RATE, banks, log_mel, sound
from tonearm.gpu_augment import Augmentation, Augmented, PairEffect, from_dict


@dataclass(frozen=True)
class Panel:
    """What is drawn below one title: a waveform (time,), or a map (mel, time)."""

    title: str
    data: NDArray[np.float32]


def panels(effect: type[Augmentation], example: Example, description: Sequence[Any]) -> list[Panel]:
    """The sound before, and what came out."""
    on_maps = effect.__module__.endswith(".specgram")
    own = sound(example.sound)
    batch = own.expand(example.num_clips, 1, -1)
    if issubclass(effect, PairEffect):
        return _pair(make(description[0], example.seed), own, sound("swells"))
    batch = log_mel(batch) if on_maps else batch
    lengths = torch.full((example.num_clips,), batch.shape[-1])
    shown = [Panel("before", _array(batch[0, 0]))]
    titles = list(example.variants or ["after"])
    for title, one in zip(titles, description, strict=True):
        after = make(one, example.seed)(batch, lengths)
        assert isinstance(after, Augmented) and after.lengths is not None  # lengths came in
        for number, (clip, length) in enumerate(zip(after.waveform, after.lengths.tolist(), strict=True), start=1):
            numbered = f", clip {number}" if example.num_clips > 1 else ""
            shown.append(Panel(title + numbered, _array(clip[0, ..., :length])))
    return shown


def make(description: Any, seed: int) -> Augmentation:
    """The effect, with a generator of its own that begins at the seed."""
    effect = from_dict(description, banks=banks(), sample_rate=SAMPLE_RATE)
    effect.generator.manual_seed(seed)
    return effect


def _pair(effect: Augmentation, clip: Tensor, partner: Tensor) -> list[Panel]:
    mixed = effect(torch.stack([clip, partner])[:, None], None, torch.eye(2))
    assert isinstance(mixed, Augmented) and mixed.targets is not None  # targets came in
    own, theirs = mixed.targets[0].tolist()
    title = f"mix: {own:.2f} clip, {theirs:.2f} partner"
    together = (("clip", clip), ("partner", partner), (title, mixed.waveform[0, 0]))
    return [Panel(name, _array(waveform)) for name, waveform in together]


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().numpy()
    return array
