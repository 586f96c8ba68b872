import numpy as np
import pytest
from numpy.typing import NDArray

from tonearm.benchmarks import augment_physics as physics

SAMPLE_RATE = 44100


@pytest.fixture(scope="module")
def clips() -> NDArray[np.float32]:
    return np.random.Generator(np.random.Philox(0)).standard_normal((4, 1, SAMPLE_RATE)).astype(np.float32)


def other(clips: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.random.Generator(np.random.Philox(1)).standard_normal(clips.shape).astype(np.float32)


def test_shape_finiteness_and_change(clips: NDArray[np.float32]) -> None:
    assert physics.changed(clips, 2 * clips) is None
    assert physics.changed(clips, clips[:2]) == "it returns (2, 1, 44100), expected (4, 1, 44100)."
    assert physics.changed(clips, clips * np.nan) == "a sample is not finite."
    one_left = 2 * clips
    one_left[3] = clips[3]
    assert physics.changed(clips, one_left) == "it leaves 1 of 4 clips as they were."
    assert physics.mostly_changed(clips, one_left) is None
    assert physics.mostly_changed(clips, clips) == "it leaves 4 of 4 clips as they were."


def test_the_ratio_of_added_noise(clips: NDArray[np.float32]) -> None:
    assert physics.noise_added(clips, clips + 0.1 * other(clips)) is None
    assert "-6.0 dB, asked for 5 … 40" in str(physics.noise_added(clips, clips + 2 * other(clips)))
    assert "60.0 dB, asked for 5 … 40" in str(physics.noise_added(clips, clips + 0.001 * other(clips)))


def coloured(noise: NDArray[np.float32], exponent: float) -> NDArray[np.float32]:
    spectrum = np.fft.rfft(noise)
    shape = np.maximum(1, np.arange(spectrum.shape[-1])) ** exponent
    made = np.fft.irfft(spectrum * shape, noise.shape[-1])
    return (0.1 * made / np.sqrt(np.mean(made**2, axis=-1, keepdims=True))).astype(np.float32)


def test_the_slope_of_added_noise(clips: NDArray[np.float32]) -> None:
    pink = physics.noise_of_slope(-3.01, SAMPLE_RATE)
    assert pink(clips, clips + coloured(other(clips), -0.5)) is None
    assert "-6.0 dB an octave, asked for -3.01" in str(pink(clips, clips + coloured(other(clips), -1.0)))
    assert "signal-to-noise" in str(pink(clips, clips + 20 * coloured(other(clips), -0.5)))


def test_a_convolution_at_any_level(clips: NDArray[np.float32]) -> None:
    rir = np.exp(-np.arange(2000) / 300).astype(np.float32)
    expected = np.stack([np.convolve(clip[0], rir)[None, :SAMPLE_RATE] for clip in clips]).astype(np.float32)
    check = physics.convolved_with(rir)
    assert check(clips, 0.1 * expected) is None
    assert "correlates with the convolved one by" in str(check(clips, clips))


def test_treble_that_is_left(clips: NDArray[np.float32]) -> None:
    check = physics.treble_removed(SAMPLE_RATE)
    spectrum = np.fft.rfft(clips)
    spectrum[..., 8000:] *= 0.1
    assert check(clips, np.fft.irfft(spectrum, SAMPLE_RATE).astype(np.float32)) is None
    assert "above 15000 Hz a clip loses 6.0 dB" in str(check(clips, clips / 2))


def test_masked_cells_are_zero_and_others_as_they_were() -> None:
    before = np.ones((2, 1, 4, 5), dtype=np.float32)
    after = before.copy()
    after[:, :, 1] = 0
    assert physics.masked(before, after) is None
    after[0, 0, 2, 2] = 0.5
    assert physics.masked(before, after) == "1 cells are neither as they were nor masked."


def test_the_first_fault_is_told(clips: NDArray[np.float32]) -> None:
    assert physics.first_fault(clips, clips, physics.changed, physics.noise_added) == (
        "it leaves 4 of 4 clips as they were."
    )
    assert physics.first_fault(clips, 2 * clips, physics.changed) is None
