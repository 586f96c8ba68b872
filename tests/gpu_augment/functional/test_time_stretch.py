import librosa
import numpy as np
import pytest
import torch

from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.time_stretch import stretched_lengths, time_stretch
from tonearm.gpu_augment.reference import spectral as reference

RATE = 44_100
FLOAT32_ROUNDING = 2e-6
# librosa adds up whole phase advances in float32, up to thousands of radians, and at rate 1 is as far from the clip.
LIBROSA_ROUNDING = 0.02
LEVEL_DB = 1.0  # a tone that begins at once: its first frames scatter the phases that its bins begin with
N_FFT, HOP = 64, 16


def rates(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def tone(frequency_hz: float, seconds: float) -> torch.Tensor:
    t = torch.arange(round(seconds * RATE), dtype=torch.float64)
    return torch.sin(2 * torch.pi * frequency_hz / RATE * t).float()[None, None]


def peak_hz(samples: torch.Tensor) -> float:
    spectrum = torch.fft.rfft(samples * torch.hann_window(len(samples)), n=1 << 19)
    return float(spectrum.abs().argmax()) * RATE / (1 << 19)


def test_it_agrees_with_the_reference():
    clips, rate, lengths = noise(4, 2, 500).double(), [0.8, 1.0, 1.3, 0.5], [500, 400, 333, 1]
    stretched, new = time_stretch(clips, rate=rates(*rate), n_fft=N_FFT, hop_length=HOP, lengths=torch.tensor(lengths))
    for clip in range(4):
        expected = reference.time_stretch(
            clips[clip].numpy(), rate=rate[clip], n_fft=N_FFT, hop_length=HOP, length=lengths[clip]
        )
        np.testing.assert_allclose(stretched[clip], expected, rtol=0, atol=1e-9)
    assert new.tolist() == [500, 400, 256, 2]


@pytest.mark.parametrize("rate", [0.8, 0.93, 1.0, 1.1, 1.25])
def test_it_agrees_with_librosa(rate):
    clip = tone(440.0, 1.0) + 0.5 * tone(3000.0, 1.0) + 0.1 * noise(1, 1, RATE)
    expected = librosa.effects.time_stretch(clip[0, 0].numpy(), rate=rate)
    stretched, lengths = time_stretch(clip, rate=rates(rate))
    assert int(lengths) == min(len(expected), RATE)
    # Towards the end librosa has no frames any more where here there are some that the clip still reaches into.
    compared = min(int(lengths), len(expected) - 2048)
    np.testing.assert_allclose(stretched[0, 0, :compared], expected[:compared], rtol=0, atol=LIBROSA_ROUNDING)


def test_rate_1_gives_the_clip_back():
    clips = noise(2, 2, 10_000)
    stretched, lengths = time_stretch(clips, rate=rates(1.0, 1.0), lengths=torch.tensor([10_000, 7000]))
    torch.testing.assert_close(stretched[0], clips[0], rtol=0, atol=FLOAT32_ROUNDING)
    torch.testing.assert_close(stretched[1, :, :7000], clips[1, :, :7000], rtol=0, atol=FLOAT32_ROUNDING)
    assert lengths.tolist() == [10_000, 7000]


@pytest.mark.parametrize("rate", [0.8, 1.25])
@pytest.mark.parametrize("frequency_hz", [110.0, 1000.0, 9000.0])
def test_a_tone_keeps_its_frequency_and_its_level_and_changes_its_duration(rate, frequency_hz):
    clip = torch.cat([tone(frequency_hz, 1.0), torch.zeros(1, 1, RATE)], dim=2)
    stretched, lengths = time_stretch(clip, rate=rates(rate), lengths=torch.tensor([RATE]))
    end = int(lengths)
    assert end == round(RATE / rate)
    assert (stretched[..., end:] == 0).all() and stretched[0, 0, end - 2000 : end].abs().max() > 0.3
    middle = stretched[0, 0, 4096 : end - 4096]
    assert peak_hz(middle) == pytest.approx(frequency_hz, abs=0.5)
    level_db = 20 * np.log10(float(middle.std()) * 2**0.5)
    assert abs(level_db) < LEVEL_DB


def test_a_tone_after_silence_loses_as_much_level_as_the_docstring_says():
    begins = 4000 + 8 * torch.arange(64)  # every eighth sample of a hop
    clips = torch.where(torch.arange(RATE) < begins[:, None], 0.0, tone(1000.0, 1.0)[0])[:, None]
    lost_db = {}
    for rate in (0.5, 0.8, 0.86, 1.15, 1.25):
        stretched, _ = time_stretch(clips, rate=rates(rate).expand(64))
        middle = stretched[:, 0, int(10_000 / rate) : int(30_000 / rate)]
        lost_db[rate] = float(-20 * (middle.std(dim=1) * 2**0.5).log10().min())
    assert lost_db[0.5] > 20.0
    assert max(lost for rate, lost in lost_db.items() if rate >= 0.8) < 2.1


def test_an_event_moves_to_its_time_over_the_rate():
    clip = torch.zeros(2, 1, 40_000)
    clip[..., 20_000] = 1.0
    stretched, _ = time_stretch(clip, rate=rates(0.8, 1.25))
    energy = stretched[:, 0].double().square()
    centre = (energy * torch.arange(40_000)).sum(1) / energy.sum(1)
    assert centre.tolist() == pytest.approx([25_000, 16_000], abs=512)  # a hop


@pytest.mark.slow
def test_ten_minutes_are_as_good_as_one_second():
    """Rounding of the phases, which are summed over 50,000 frames, would take away level and turn sines to noise."""
    length = 10 * 60 * RATE
    clip = tone(1000.0, 600.0)
    stretched, lengths = time_stretch(clip, rate=rates(1.25))
    assert int(lengths) == round(length / 1.25)
    first, last = stretched[0, 0, RATE : 2 * RATE], stretched[0, 0, int(lengths) - 2 * RATE : int(lengths) - RATE]
    assert peak_hz(last) == pytest.approx(1000.0, abs=0.5)
    assert float(last.std() / first.std()) == pytest.approx(1.0, abs=1e-3)


def test_the_fast_way_agrees_with_the_plain_one(monkeypatch):
    clips, rate = noise(4, 2, 9000), rates(0.8, 1.0, 1.17, 1.25)
    clips[1, :, 2000:6000] = 0.0
    lengths = torch.tensor([9000, 8000, 1, 0])
    fast = time_stretch(clips, rate=rate, lengths=lengths)
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)
    plain = time_stretch(clips, rate=rate, lengths=lengths)
    torch.testing.assert_close(fast[0], plain[0], rtol=0, atol=5 * FLOAT32_ROUNDING)
    assert torch.equal(fast[1], plain[1])


def test_lengths_are_rounded_capped_and_what_lies_beyond_them_is_no_part_of_the_clip():
    clips, rate = noise(3, 1, 4000), rates(0.8, 0.8, 1.25)
    lengths = torch.tensor([4000, 3000, 3001])
    stretched, new = time_stretch(clips, rate=rate, lengths=lengths)
    assert new.tolist() == [4000, 3750, 2401] and new.dtype == torch.int64
    other = torch.where(torch.arange(4000) < lengths[:, None, None], clips, 7.0)
    assert torch.equal(time_stretch(other, rate=rate, lengths=lengths)[0], stretched)
    assert (stretched[1, :, 3750:] == 0).all() and (stretched[2, :, 2401:] == 0).all()
    assert stretched_lengths(torch.tensor([4000]), rate=rate[:1]).tolist() == [5000]


def test_what_it_refuses():
    with pytest.raises(ShapeError, match=r"waveform: got \(10,\)"):
        time_stretch(torch.zeros(10), rate=rates(1.0))
    with pytest.raises(RequestError, match="n_fft, hop_length: got 100 and 30"):
        time_stretch(torch.zeros(1, 1, 10), rate=rates(1.0), n_fft=100, hop_length=30)
