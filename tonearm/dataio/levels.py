"""How loud a clip is: its peak and its root mean square, while its samples are in the cache."""

import math

import numpy as np

from tonearm.dataio.shard_layout import Array

_ROW = 8192  # products of longer rows are shared out to threads by some linear algebra libraries
_ROWS = 8  # as float64 they fit the cache of a core


class LevelMeter:
    """Measures clips one after the other with a small buffer of its own."""

    def __init__(self) -> None:
        self._buffer = np.empty((_ROWS, _ROW), np.float64)

    def measure(self, samples: Array, *, full_scale: float) -> tuple[float, float]:
        """Peak and root mean square, 1 being ``full_scale``; the result does not depend on the processor."""
        flat = samples.reshape(-1)
        block = self._buffer.reshape(-1)
        total = 0.0
        for start in range(0, len(flat), len(block)):
            part = flat[start : start + len(block)]
            num_rows = -(-len(part) // _ROW)
            np.copyto(block[: len(part)], part)
            block[len(part) : num_rows * _ROW] = 0
            total += _sum_of_squares(self._buffer[:num_rows], exact=flat.dtype == np.int16)
        peak = max(float(flat.max()), -float(flat.min()))
        return peak / full_scale, math.sqrt(total / len(flat)) / full_scale


def _sum_of_squares(rows: Array, *, exact: bool) -> float:
    if exact:  # integers below 2**53 add up to the same in any order, so that the fastest one will do
        return float(np.matmul(rows[:, None, :], rows[:, :, None]).sum())
    np.multiply(rows, rows, out=rows)
    return float(rows.sum())
