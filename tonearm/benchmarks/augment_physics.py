"""What a peer must have done to the clips before it is timed, as far as it can be told from outside.

Each check takes the batch before and after, (batch, …) float32, and returns what is wrong, or None.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tonearm.benchmarks.peers.effect_settings import MAX_CUTOFF_HZ, MAX_SNR_DB, MIN_SNR_DB

Batch = NDArray[np.float32]
Check = Callable[[Batch, Batch], str | None]

SNR_TOLERANCE_DB = 0.1  # a library may take the clip's level from rounded or other samples
SLOPE_TOLERANCE_DB = 2.0  # an octave; colours are 3 apart, and a filter of 128 points is a whole one off in places
SLOPE_BANDS_HZ = (1600.0, 3200.0, 6400.0)  # beginnings of octaves; below, a short filter resolves no slope
SAME_SHAPE = 0.999  # correlation of two clips that differ in their level alone
LEAST_LOSS_DB = 10.0  # of what a filter is to take away


def changed(before: Batch, after: Batch) -> str | None:
    """Same shape, finite, and no clip as it was."""
    return _fault(before, after, most_idle=0)


def mostly_changed(before: Batch, after: Batch) -> str | None:
    """The same, but a mask may by chance have no width."""
    return _fault(before, after, most_idle=len(before) - 1)


def noise_added(before: Batch, after: Batch) -> str | None:
    """Signal-to-noise ratios in range."""
    noise = after.astype(np.float64) - before
    snr_db = 10 * np.log10(_power(before) / _power(noise))
    if ((snr_db >= MIN_SNR_DB - SNR_TOLERANCE_DB) & (snr_db <= MAX_SNR_DB + SNR_TOLERANCE_DB)).all():
        return None
    found = f"{snr_db.min():.1f} … {snr_db.max():.1f}"
    return f"signal-to-noise ratios are {found} dB, asked for {MIN_SNR_DB:g} … {MAX_SNR_DB:g}."


def noise_of_slope(slope_db: float, sample_rate: int) -> Check:
    """Signal-to-noise ratios in range, and a noise whose power falls by so many dB an octave."""

    def check(before: Batch, after: Batch) -> str | None:
        power = np.abs(np.fft.rfft(after.astype(np.float64) - before)) ** 2
        frequency = np.fft.rfftfreq(before.shape[-1], 1 / sample_rate)
        # An octave holds twice the bins of the one below, so the mean over its bins is what has the slope.
        levels_db = [
            10 * np.log10(power[..., (frequency >= low) & (frequency < 2 * low)].mean()) for low in SLOPE_BANDS_HZ
        ]
        found_db = float(np.polyfit(range(len(levels_db)), levels_db, 1)[0])
        if not abs(found_db - slope_db) <= SLOPE_TOLERANCE_DB:
            return f"the noise has {found_db:.1f} dB an octave, asked for {slope_db:g}."
        return noise_added(before, after)

    return check


def convolved_with(rir: Batch) -> Check:
    """The first clip is what a convolution makes of it, whatever its level."""

    def check(before: Batch, after: Batch) -> str | None:
        clip, size = before[0, 0], before.shape[-1]
        length = size + len(rir) - 1
        expected = np.fft.irfft(np.fft.rfft(clip, length) * np.fft.rfft(rir, length), length)[:size]
        found = np.corrcoef(expected, after[0, 0])[0, 1]
        return None if found >= SAME_SHAPE else f"the first clip correlates with the convolved one by {found:.4f}."

    return check


def treble_removed(sample_rate: int) -> Check:
    """Little is left an octave above the highest cutoff and beyond."""

    def check(before: Batch, after: Batch) -> str | None:
        treble = np.fft.rfftfreq(before.shape[-1], 1 / sample_rate) >= 2 * MAX_CUTOFF_HZ
        old, new = (_power(np.abs(np.fft.rfft(batch))[..., treble]) for batch in (before, after))
        least_db = float((10 * np.log10(old / np.maximum(new, np.finfo(np.float64).tiny))).min())
        return None if least_db >= LEAST_LOSS_DB else f"above {2 * MAX_CUTOFF_HZ:g} Hz a clip loses {least_db:.1f} dB."

    return check


def masked(before: Batch, after: Batch) -> str | None:
    """Every cell is what it was or 0."""
    wrong = int(((after != before) & (after != 0)).sum())
    return f"{wrong} cells are neither as they were nor masked." if wrong else None


def first_fault(before: Batch, after: Batch, *checks: Check) -> str | None:
    """What the first check that finds something says."""
    return next((fault for check in checks if (fault := check(before, after)) is not None), None)


def _fault(before: Batch, after: Batch, *, most_idle: int) -> str | None:
    if after.shape != before.shape:
        return f"it returns {after.shape}, expected {before.shape}."
    if not np.isfinite(after).all():
        return "a sample is not finite."
    idle = int((after == before).reshape(len(before), -1).all(1).sum())
    return f"it leaves {idle} of {len(before)} clips as they were." if idle > most_idle else None


def _power(batch: NDArray[np.floating]) -> NDArray[np.float64]:
    power: NDArray[np.float64] = np.square(batch, dtype=np.float64).reshape(len(batch), -1).mean(axis=1)
    return power
