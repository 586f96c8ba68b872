"""A made-up dataset of labelled sounds, for the demo and for benchmarks on a machine that has no dataset yet.

The classes differ in what happens over time (rhythm, envelope, modulation) and share everything else: each clip draws
its pitch, harmonics, breath, filter colour, level and noise floor from the same distributions, whatever its class. So a
classifier that looks at the mean spectrum alone fails (a test holds it below 0.7), and one that sees time does not.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from tonearm.errors import RequestError
from tonearm.seeding import numpy_generator

Samples = NDArray[np.float64]
Gesture = Callable[[Samples, np.random.Generator], tuple[Samples, Samples]]

MAX_HARMONIC_SHARE_OF_NYQUIST = 0.9  # harmonics above it are left out, so that a rising sweep does not fold back


def write_synthetic(
    folder: Path | str,
    *,
    num_clips_per_class: int = 40,
    sample_rate: int = 16000,
    duration_seconds: float = 2.0,
    seed: int = 0,
    num_folds: int = 4,
) -> Path:
    """Write one WAV a clip and ``labels.csv`` (path, label, fold, group): a dataset of layout ``csv``.

    Equal arguments give equal bytes. A clip depends on the seed, its class and its number alone, so asking for more
    clips keeps the ones that were there. Every clip is a recording (``group``) of its own.

    Args:
        folder: where to write; created if missing, files of the same name are replaced.
        num_clips_per_class: clips in each of the classes in :data:`GESTURES`, dealt to the folds in turn.
        sample_rate: in Hz; from 8000 up.
        duration_seconds: of each clip; at least 1.5, the slowest rhythm needs that much to show.
        seed: any integer.
        num_folds: folds are numbered from 1.

    Returns:
        The folder.

    Raises:
        RequestError: an argument is out of its range.
    """
    for name, value, least in (
        ("num_clips_per_class", num_clips_per_class, 1),
        ("sample_rate", sample_rate, 8000),
        ("duration_seconds", duration_seconds, 1.5),
        ("num_folds", num_folds, 1),
    ):
        if not value >= least:
            raise RequestError(f"write_synthetic: {name} is {value}, but must be at least {least}.")
    folder = Path(folder)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for label in GESTURES:
        for number in range(num_clips_per_class):
            name = f"{label}-{number:04d}"
            clip = synthesize(
                label,
                sample_rate=sample_rate,
                duration_seconds=duration_seconds,
                generator=numpy_generator("synthetic", seed, label, number),
            )
            soundfile.write(folder / "audio" / f"{name}.wav", clip, sample_rate, subtype="PCM_16")
            rows.append((f"audio/{name}.wav", label, 1 + number % num_folds, name))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "fold", "group"))
        writer.writerows(rows)
    return folder


def synthesize(
    label: str, *, sample_rate: int, duration_seconds: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """One clip of class ``label``: a random carrier that performs the class's gesture, over a random noise floor.

    Returns:
        (time,) float32 within [-1, 1].
    """
    num_samples = round(sample_rate * duration_seconds)
    time = np.arange(num_samples) / sample_rate
    envelope, bend_octaves = GESTURES[label](time, generator)

    f0_hz = 200 * 2 ** generator.uniform(0, 2)
    phase = 2 * np.pi * np.cumsum(f0_hz * 2**bend_octaves) / sample_rate
    highest_hz = f0_hz * 2 ** bend_octaves.max()
    tilt = generator.uniform(0.3, 1.5)
    carrier = np.zeros(num_samples)
    for harmonic in range(1, 1 + int(generator.integers(2, 12))):
        # Drawn before the test, so that leaving a harmonic out does not shift the draws behind it.
        start = generator.uniform(0, 2 * np.pi)
        if harmonic * highest_hz < MAX_HARMONIC_SHARE_OF_NYQUIST * sample_rate / 2:
            carrier += harmonic**-tilt * np.sin(harmonic * phase + start)
    carrier /= np.sqrt(np.mean(carrier**2))
    carrier += _decibels(generator.uniform(-20, -6)) * generator.standard_normal(num_samples)

    sound = _colour(envelope * carrier, sample_rate, generator)
    sound /= np.sqrt(np.mean(sound**2))
    floor = _colour(generator.standard_normal(num_samples), sample_rate, generator)
    sound += _decibels(-generator.uniform(18, 32)) * floor / np.sqrt(np.mean(floor**2))
    peak = _decibels(generator.uniform(-20, -1))
    clip: NDArray[np.float32] = (sound * (peak / np.abs(sound).max())).astype(np.float32)
    return clip


def _decibels(value: float) -> float:
    return float(10 ** (value / 20))


def _colour(signal: Samples, sample_rate: int, generator: np.random.Generator) -> Samples:
    """Filter with a random tilt (-6 to 3 dB an octave above 200 Hz) and one random resonance of up to 12 dB."""
    spectrum = np.fft.rfft(signal)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(signal), 1 / sample_rate), 200) / 200)
    resonance = np.exp(-0.5 * ((octaves - generator.uniform(0, 4)) / generator.uniform(0.2, 0.8)) ** 2)
    gain_db = generator.uniform(-6, 3) * octaves + generator.uniform(0, 12) * resonance
    coloured: Samples = np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(signal))
    return coloured


# Gestures: (time in seconds, generator) -> (envelope, bend of the pitch in octaves), both of time's length. Rates of
# one kind do not overlap between classes, and no class is told apart by where it starts or how loud it is.


def _flat(time: Samples) -> Samples:
    return np.zeros_like(time)


def _pulse_train(cycles: Samples, share_on: float) -> Samples:
    """Smooth pulses, one for each whole cycle, on for ``share_on`` of it."""
    position = (cycles % 1.0) / share_on
    return np.where(position < 1, np.sin(np.pi * np.minimum(position, 1)) ** 2, 0.0)


def _pulses(low_hz: float, high_hz: float) -> Gesture:
    def gesture(time: Samples, generator: np.random.Generator) -> tuple[Samples, Samples]:
        cycles = generator.uniform(low_hz, high_hz) * time + generator.uniform()
        return _pulse_train(cycles, generator.uniform(0.4, 0.6)), _flat(time)

    return gesture


def _changing_tempo(*, faster: bool) -> Gesture:
    def gesture(time: Samples, generator: np.random.Generator) -> tuple[Samples, Samples]:
        rates_hz = generator.uniform(1.5, 2.5), generator.uniform(10, 14)
        first, last = rates_hz if faster else rates_hz[::-1]
        # The rate runs from first to last on a logarithmic scale; the cycles are its integral.
        rate_hz = first * (last / first) ** (time / time[-1])
        cycles = np.cumsum(rate_hz) * time[1] + generator.uniform()
        return _pulse_train(cycles, generator.uniform(0.4, 0.6)), _flat(time)

    return gesture


def _steady(time: Samples, generator: np.random.Generator) -> tuple[Samples, Samples]:
    return np.ones_like(time), _flat(time)


def _flutter(time: Samples, generator: np.random.Generator) -> tuple[Samples, Samples]:
    cycles = generator.uniform(18, 26) * time + generator.uniform()
    return 1 + generator.uniform(0.7, 0.95) * np.sin(2 * np.pi * cycles), _flat(time)


def _sweep(*, rising: bool) -> Gesture:
    def gesture(time: Samples, generator: np.random.Generator) -> tuple[Samples, Samples]:
        # Centred on the pitch, so that rising and falling cover the same band.
        bend_octaves = generator.uniform(0.8, 1.6) * (time / time[-1] - 0.5)
        return np.ones_like(time), bend_octaves if rising else -bend_octaves

    return gesture


def _vibrato(time: Samples, generator: np.random.Generator) -> tuple[Samples, Samples]:
    cycles = generator.uniform(3, 6) * time + generator.uniform()
    return np.ones_like(time), generator.uniform(0.2, 0.4) * np.sin(2 * np.pi * cycles)


def _bursts(*, decaying: bool) -> Gesture:
    def gesture(time: Samples, generator: np.random.Generator) -> tuple[Samples, Samples]:
        position = (generator.uniform(2, 3) * time + generator.uniform()) % 1.0
        steepness = generator.uniform(5, 8)
        return np.exp(-steepness * (position if decaying else 1 - position)), _flat(time)

    return gesture


def _double_knocks(time: Samples, generator: np.random.Generator) -> tuple[Samples, Samples]:
    cycles = generator.uniform(1.2, 1.7) * time + generator.uniform()
    gap = generator.uniform(0.16, 0.22)
    # |x x . . . . . . |x x …: two short knocks, then silence for most of the cycle
    return np.maximum(_pulse_train(cycles, 0.1), _pulse_train(cycles - gap, 0.1)), _flat(time)


GESTURES: dict[str, Gesture] = {
    "steady": _steady,
    "slow_pulses": _pulses(2.5, 3.5),
    "fast_pulses": _pulses(7, 10),
    "accelerating": _changing_tempo(faster=True),
    "decelerating": _changing_tempo(faster=False),
    "flutter": _flutter,
    "rising": _sweep(rising=True),
    "falling": _sweep(rising=False),
    "vibrato": _vibrato,
    "decays": _bursts(decaying=True),
    "swells": _bursts(decaying=False),
    "double_knocks": _double_knocks,
}
