import math

import librosa
import numpy as np
import pytest
import torch

from tonearm.errors import ShapeError
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.pitch_shift import _HALF, _PHASES, _kernel_response, _kernel_table, pitch_shift
from tonearm.gpu_augment.reference import spectral as reference

RATE = 44_100
FLOAT32_ROUNDING = 2e-6
LEVEL_DB = 1.5  # what the vocoder takes off a tone that begins at once; after silence it is more, see time_stretch
ALIAS_DB = -60.0  # of what would come 100 Hz beyond the Nyquist frequency; nearer, the frames' windows smear
KERNEL_ERROR = 5e-5  # the image of what lies at the Nyquist frequency, and half a step of the kernel's table


def semitones(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def tone(frequency_hz: float, seconds: float = 1.0) -> torch.Tensor:
    t = torch.arange(round(seconds * RATE), dtype=torch.float64)
    return torch.sin(2 * torch.pi * frequency_hz / RATE * t).float()[None, None]


def peak_hz(samples: torch.Tensor) -> float:
    spectrum = torch.fft.rfft(samples * torch.hann_window(len(samples)), n=1 << 19)
    return float(spectrum.abs().argmax()) * RATE / (1 << 19)


def low_passed(samples: torch.Tensor) -> torch.Tensor:
    spectrum = torch.fft.rfft(samples)
    spectrum[..., spectrum.shape[-1] * 9 // 10 :] = 0.0
    return torch.fft.irfft(spectrum, n=samples.shape[-1])


@pytest.mark.parametrize("shift", [-4.0, 0.0, 3.3])
def test_it_agrees_with_the_reference(shift):
    clips, lengths = noise(2, 1, 700).double(), [700, 500]
    shifted = pitch_shift(
        clips, semitones=semitones(shift, shift), n_fft=256, hop_length=64, lengths=torch.tensor(lengths)
    )
    for clip in range(2):
        expected = reference.pitch_shift(
            clips[clip].numpy(), semitones=shift, n_fft=256, hop_length=64, length=lengths[clip]
        )
        # The kernel reads across the windows' slopes; with n_fft that error falls. White noise is the worst case.
        np.testing.assert_allclose(shifted[clip], expected, rtol=0, atol=1e-2)


@pytest.mark.parametrize("shift", [-12.0, -4.0, 4.0, 7.3])
@pytest.mark.parametrize("frequency_hz", [220.0, 3000.0, 11_000.0])
def test_a_tone_moves_by_its_semitones_and_keeps_its_level(shift, frequency_hz):
    shifted = pitch_shift(tone(frequency_hz), semitones=semitones(shift))[0, 0]
    assert len(shifted) == RATE
    middle = shifted[6000:-6000]
    assert peak_hz(middle) == pytest.approx(frequency_hz * 2 ** (shift / 12), abs=1.0)
    assert abs(20 * math.log10(float(middle.std()) * 2**0.5)) < LEVEL_DB


@pytest.mark.parametrize("shift", [2.0, 4.0, 12.0])
def test_what_would_pass_the_nyquist_frequency_vanishes(shift):
    shifted = pitch_shift(tone(RATE / 2 / 2 ** (shift / 12) + 100), semitones=semitones(shift))
    assert 20 * math.log10(float(shifted[..., 6000:-6000].std()) * 2**0.5) < ALIAS_DB


def test_a_shift_of_nothing_gives_the_clip_back_to_the_kernels_error():
    clip = low_passed(noise(1, 1, 30_000))
    shifted = pitch_shift(clip, semitones=semitones(0.0))
    # At the clip's ends the waves that are read go on as waves, and the clip does not.
    torch.testing.assert_close(shifted[..., 200:-200], clip[..., 200:-200], rtol=0, atol=4 * KERNEL_ERROR)
    torch.testing.assert_close(shifted, clip, rtol=0, atol=1e-3)


def test_the_peak_is_where_librosa_has_it():
    clip = tone(440.0) + 0.3 * tone(2500.0)
    for shift in (-3.0, 5.0):
        expected = torch.from_numpy(librosa.effects.pitch_shift(clip[0, 0].numpy(), sr=RATE, n_steps=shift))
        got = pitch_shift(clip, semitones=semitones(shift))[0, 0]
        assert peak_hz(got) == pytest.approx(peak_hz(expected), abs=1.0)
        assert float(got.std() / expected.std()) == pytest.approx(1.0, abs=0.15)


def test_the_kernel_reads_waves_exactly_once_its_response_is_divided_out():
    kernel = _kernel_table(torch.zeros(1, dtype=torch.float64))
    offsets = torch.arange(1 - _HALF, _HALF + 1, dtype=torch.float64)
    place = torch.arange(_PHASES + 1, dtype=torch.float64) / _PHASES
    for frequency in (0.0, 0.05, 0.17, 0.25):
        waves = torch.exp(2j * math.pi * frequency * offsets)[:, None]
        read = (kernel * waves).sum(0) / _kernel_response(torch.tensor(frequency, dtype=torch.float64))
        assert (read - torch.exp(2j * math.pi * frequency * place)).abs().max() < KERNEL_ERROR


def test_the_fast_way_agrees_with_the_plain_one(monkeypatch):
    clips, shift = noise(4, 2, 9000), semitones(-4.0, 0.0, 3.7, 2.0)
    lengths = torch.tensor([9000, 8000, 1, 0])
    fast = pitch_shift(clips, semitones=shift, lengths=lengths)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    plain = pitch_shift(clips, semitones=shift, lengths=lengths)
    torch.testing.assert_close(fast, plain, rtol=0, atol=5 * FLOAT32_ROUNDING)
    for clip, length in enumerate(lengths.tolist()):
        assert torch.equal(fast[clip, :, length:], clips[clip, :, length:])


@pytest.mark.parametrize("frames", [(4, 2), (4, 1), (6, 2), (8, 2)])
def test_the_smallest_frames_will_do(frames, monkeypatch):
    clips, shift = noise(3, 1, 1000), semitones(-12.0, 0.0, 5.0)
    n_fft, hop_length = frames
    fast = pitch_shift(clips, semitones=shift, n_fft=n_fft, hop_length=hop_length)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    plain = pitch_shift(clips, semitones=shift, n_fft=n_fft, hop_length=hop_length)
    assert fast.isfinite().all() and fast.std() > 0.1
    torch.testing.assert_close(fast, plain, rtol=0, atol=5 * FLOAT32_ROUNDING)


def test_shifts_above_the_largest_count_as_it():
    clip = noise(1, 1, 5000)
    got = pitch_shift(clip, semitones=semitones(9.0), max_semitones=4.0)
    assert torch.equal(got, pitch_shift(clip, semitones=semitones(4.0), max_semitones=4.0))


def test_what_it_refuses():
    with pytest.raises(ShapeError, match=r"waveform: got \(10,\)"):
        pitch_shift(torch.zeros(10), semitones=semitones(1.0))
