import math

import numpy as np
import pytest
import torch

from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment.functional.counter import gaussian
from tonearm.gpu_augment.functional.phase_noise import phase_noise
from tonearm.gpu_augment.functional.phase_vocoder import count_frames
from tonearm.gpu_augment.reference import spectral as reference

FLOAT32_ROUNDING = 5e-6
KEYS = torch.tensor([[1, 2], [3, 4], [5, 6]], dtype=torch.int32)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_it_agrees_with_the_reference():
    clips, deviation, lengths = noise(3, 2, 300), [0.1, 0.5, 2.0], [300, 200, 1]
    noisy = phase_noise(
        clips, keys=KEYS, deviation=torch.tensor(deviation), n_fft=64, hop_length=16, lengths=torch.tensor(lengths)
    )
    shape = (2, count_frames(300, n_fft=64, hop_length=16), 33)
    numbers = gaussian(KEYS, math.prod(shape)).double().numpy()
    for clip in range(3):
        expected = reference.phase_noise(
            clips[clip].double().numpy(),
            deviation[clip] * numbers[clip].reshape(shape),
            n_fft=64,
            hop_length=16,
            length=lengths[clip],
        )
        np.testing.assert_allclose(noisy[clip], expected, rtol=0, atol=FLOAT32_ROUNDING)


def test_no_noise_gives_the_clip_back():
    clips = noise(3, 1, 5000)
    torch.testing.assert_close(
        phase_noise(clips, keys=KEYS, deviation=torch.zeros(3)), clips, rtol=0, atol=FLOAT32_ROUNDING
    )


def test_what_is_left_of_a_tone_is_what_the_docstring_says():
    tone = torch.sin(0.3 * torch.arange(200_000.0)).expand(3, 1, -1)
    deviation = torch.tensor([0.2, 0.5, 1.0])
    noisy = phase_noise(tone, keys=KEYS, deviation=deviation)
    kept = (noisy * tone).sum((1, 2)) / tone.square().sum((1, 2))
    torch.testing.assert_close(kept, torch.exp(-deviation.square() / 2), rtol=0, atol=0.03)
    level_db = 20 * (noisy.std((1, 2)) / tone.std((1, 2))).log10()
    assert (level_db < 0).all() and (level_db > 20 * math.log10(math.exp(-0.5)) - 0.1).all()


def test_the_noise_differs_from_clip_to_clip_and_channel_to_channel():
    clips = noise(1, 1, 5000).expand(3, 2, -1)
    added = (phase_noise(clips, keys=KEYS, deviation=torch.full((3,), 0.5)) - clips).flatten(0, 1)
    alike = torch.corrcoef(added - added.mean(0)) - torch.eye(6)
    assert alike.max() < 0.2


def test_what_it_refuses():
    with pytest.raises(ShapeError, match=r"waveform: got \(10,\)"):
        phase_noise(torch.zeros(10), keys=KEYS, deviation=torch.zeros(3))
    with pytest.raises(RequestError, match="n_fft, hop_length: got 100 and 30"):
        phase_noise(torch.zeros(3, 1, 10), keys=KEYS, deviation=torch.zeros(3), n_fft=100, hop_length=30)
