"""Mixing, resampling and rounding on the way into a shard."""

import numpy as np
import pytest
import soundfile

from tests.dataio.recordings import sound
from tonearm.dataio.audio_file import encode_flac
from tonearm.dataio.encode import flac_limits, to_pcm16
from tonearm.errors import AudioError

ALIAS_FLOOR = 10 ** (-90 / 20)  # below int16's own rounding noise; soxr HQ itself reaches -140 dB


def test_int16_at_the_right_rate_passes_unchanged() -> None:
    samples = sound(channels=2)
    pcm, clipped = to_pcm16(samples, 8000, sample_rate=8000, num_channels=2)
    assert pcm is samples
    assert clipped == 0


def test_rounding_is_half_to_even_and_clips_are_counted() -> None:
    steps = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 32767.4, 32768.0, 40000.0, -32768.0, -32769.0])
    pcm, clipped = to_pcm16((steps / 32768)[:, None], 8000, sample_rate=8000, num_channels=1)
    assert pcm[:, 0].tolist() == [0, 2, 2, 0, -2, 32767, 32767, 32767, -32768, -32768]
    assert clipped == 3


def test_stereo_is_averaged_and_mono_repeated() -> None:
    stereo = np.array([[100, 300], [-100, -101]], np.int16)
    assert to_pcm16(stereo, 8000, sample_rate=8000, num_channels=1)[0][:, 0].tolist() == [200, -100]
    mono = np.array([[7], [8]], np.int16)
    assert to_pcm16(mono, 8000, sample_rate=8000, num_channels=2)[0].tolist() == [[7, 7], [8, 8]]
    with pytest.raises(AudioError, match="3 channels, which cannot be brought to 2"):
        to_pcm16(sound(channels=3), 8000, sample_rate=8000, num_channels=2)


def test_resampling_keeps_tones_and_does_not_fold_them_back() -> None:
    time = np.arange(44_100) / 44_100
    for frequency, kept in ((1000, True), (10_000, False)):
        tone = (0.5 * np.sin(2 * np.pi * frequency * time))[:, None].astype(np.float32)
        pcm, _ = to_pcm16(tone, 44_100, sample_rate=16_000, num_channels=1)
        assert len(pcm) == 16_000
        middle = pcm[2000:-2000, 0] / 32768
        spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))) / len(middle) * 4
        loudest = np.argmax(spectrum) * 16_000 / len(middle)
        if kept:
            assert loudest == pytest.approx(1000, abs=2)
            assert spectrum.max() == pytest.approx(0.5, rel=0.01)
        else:  # 10 kHz would come back at 6 kHz
            assert spectrum.max() < ALIAS_FLOOR


def test_too_short_to_resample_is_refused() -> None:
    with pytest.raises(AudioError, match="too short to resample"):
        to_pcm16(sound(1), 48_000, sample_rate=8000, num_channels=1)


@pytest.mark.parametrize(
    ("rate", "channels"),
    [
        (8000, 8),
        (8000, 9),
        (65_535, 1),
        (65_536, 1),
        (65_540, 1),
        (96_001, 2),
        (655_350, 1),
        (655_360, 1),
        (768_000, 1),
    ],
)
def test_the_limits_of_flac_are_those_of_the_encoder(rate: int, channels: int) -> None:
    samples = sound(5000, channels=channels)
    reason = flac_limits(rate, channels)
    if reason is None:
        assert encode_flac(samples, rate).startswith(b"fLaC")
    else:
        assert reason.startswith(("FLAC holds at most", "above 65535 Hz FLAC holds multiples of 10 Hz"))
        with pytest.raises(soundfile.LibsndfileError, match=r"not recognised|problem with|does not support"):
            encode_flac(samples, rate)
