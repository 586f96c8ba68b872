"""Reading a waveform between its samples.

    samples    x(n-1)      x(n) ──── position ── x(n+1)      x(n+2)
                           │← fraction →│

Each interpolation weights the samples around the position with a kernel h: y = Σ_j h(fraction - j) · x(n + j). Before
its first sample and after its last, a clip holds their values.

========  ===========  ==============================================================================================
          reads        what comes of it
========  ===========  ==============================================================================================
linear    2 samples    the fastest; dulls treble and leaves images of it, sinc²(f) strong for f in sample rates
cubic     4 samples    Keys's kernel with a = -1/2 (Catmull-Rom), exact for parabolas; leaves weaker images
sinc      38 and more  images and aliases 70 dB down; keeps what lies below 3/4 of the Nyquist frequency
========  ===========  ==============================================================================================

At a rate above 1, treble moves beyond the Nyquist frequency and folds back, unless it is filtered out before. Linear
and cubic do not do that. Sinc does: the higher the rate, the lower its cutoff.
"""

import math
import threading
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tonearm.errors import RequestError

INTERPOLATIONS = ("linear", "cubic", "sinc")

# The sinc kernel has 16 zero crossings a side under a Kaiser window. Kaiser's formulas for 75 dB, 5 more than promised,
# give β = 0.1102·(75 - 8.7) and a transition band that begins (75 - 7.95) / (28.72·16) = 14.6 % of the cutoff below it
# and ends as much above it. The cutoff is lower than the Nyquist frequency by so much that the band ends there; it
# begins at 0.745 of it. Twice the crossings would move that to 0.864, at twice the work.
ZERO_CROSSINGS = 16
KAISER_BETA = 7.306
ROLL_OFF = 1 / 1.146
PHASES = 512  # rows of a kernel's table; interpolated linearly between them it is 1e-6 off at most

RUN_SAMPLES = 1 << 17  # of a run at one rate to read at a time: so many that the work costs more than the calls
RUN_ROWS = 8  # to fold them into, so that each of torch's threads has some to gather
WINDOW_SAMPLES = 1 << 12  # the same for sinc, which reads a window of 38 samples or more for each


def check_interpolation(interpolation: str) -> None:
    """Refuse a name that is none.

    Raises:
        RequestError: saying which there are.
    """
    if interpolation not in INTERPOLATIONS:
        raise RequestError(f"interpolation: got {interpolation!r}, may be 'linear', 'cubic' or 'sinc'.")


def interpolate(
    waveform: Tensor,
    position: Tensor,
    *,
    last: Tensor,
    interpolation: str,
    rates: Tensor,
    max_rate: float,
    part: Tensor | None = None,
) -> Tensor:
    """Read each clip at its positions.

    Args:
        waveform: (batch, channel, time) float32 or float64, at least one sample.
        position: (batch, n) float64, from 0 to last.
        last: (batch, 1) int64, the last sample of each clip that may be read.
        interpolation: "linear", "cubic" or "sinc".
        rates: (batch, parts) samples of the input that one of the output goes on by, for the sinc kernel's cutoffs.
        max_rate: the fastest rate for which the sinc kernel is made long enough; faster parts alias.
        part: (batch, n) int64, which of the rates a position belongs to. None: the first.

    Returns:
        (batch, channel, n).
    """
    if waveform.shape[2] == 1:
        return waveform.expand(-1, -1, position.shape[1])
    if interpolation == "linear":
        return _linear(waveform, position, last)
    index, fraction = position.long(), position.frac().to(waveform.dtype)

    def samples(offset: int) -> Tensor:
        at = index + offset if offset else index
        at = torch.minimum(at, last) if offset > 0 else at.clamp(min=0)
        return waveform.gather(2, at[:, None].expand(-1, waveform.shape[1], -1))

    if interpolation == "cubic":
        return _catmull_rom([samples(offset) for offset in range(-1, 3)], fraction[:, None])
    half = half_width(max_rate)
    tables = sinc_tables(rates, max_rate=max_rate, dtype=waveform.dtype)
    row, between = _table_rows(fraction)
    if part is not None:
        row = row + part * (PHASES + 1)
    read = torch.zeros_like(waveform[..., :1]).expand(-1, -1, position.shape[1])
    for tap in range(2 * half):
        column = tables[..., tap].flatten(1)
        weight = torch.lerp(column.gather(1, row), column.gather(1, row + 1), between)
        read = torch.addcmul(read, samples(tap - half + 1), weight[:, None])
    return read


def _linear(waveform: Tensor, position: Tensor, last: Tensor) -> Tensor:
    """The line between two samples, found with one index: the last sample is the right end of the cell before it."""
    index = torch.minimum(position.long(), (last - 1).clamp(min=0))
    fraction = (position - index.double()).to(waveform.dtype)[:, None]
    index = index[:, None].expand(-1, waveform.shape[1], -1)
    left, right = waveform.gather(2, index), waveform[..., 1:].gather(2, index)
    right = torch.where(last[:, None] > 0, right, left)  # of a single sample, the next is not the clip's
    return torch.addcmul(left, fraction, right - left)


def _catmull_rom(neighbours: Sequence[Tensor], fraction: Tensor) -> Tensor:
    """The cubic through the two samples in the middle of four, there as steep as the lines through those around each.

    Reference:
        Keys: Cubic convolution interpolation for digital image processing, 1981, with a = -1/2.
    """
    before, left, right, after = neighbours
    slope = right - before
    curve = 2 * (before - left) + 3 * (right - left) - (after - right)
    twist = 3 * (left - right) + after - before
    return left + fraction * 0.5 * (slope + fraction * (curve + fraction * twist))


def half_width(max_rate: float) -> int:
    """Samples to either side of a position that the sinc kernel reads at rates up to ``max_rate``."""
    return math.ceil(ZERO_CROSSINGS * max(1.0, max_rate) / ROLL_OFF)


def sinc_tables(rates: Tensor, *, max_rate: float, dtype: torch.dtype) -> Tensor:
    """The sinc kernels for some rates, at ``PHASES`` fractions of a sample and at 1.

        h(s) = sinc(c·s) · I₀(β·sqrt(1 - (c·s / 16)²)) / I₀(β),    c = ROLL_OFF / max(1, rate)

    Each row is scaled to sum to 1, so that a constant stays one.

    Args:
        rates: of any shape.
        max_rate: rates above it count as this.
        dtype: of the tables.

    Returns:
        rates' shape + (PHASES + 1, 2·half_width): one row a fraction, for the samples from n + 1 - half_width on.

    Reference:
        Smith and Gossett: A flexible sampling-rate conversion method, 1984 (a table, interpolated linearly, and a
        kernel that widens as the rate grows). Kaiser: Nonrecursive digital filter design using the I₀-sinh window
        function, 1974.
    """
    half = half_width(max_rate)
    cutoff = (ROLL_OFF / rates.double().clamp(1.0, max(1.0, max_rate)))[..., None, None]
    fraction = torch.arange(PHASES + 1, dtype=torch.float64, device=rates.device) / PHASES
    crossings = (fraction[:, None] - torch.arange(1 - half, half + 1, device=rates.device)) * cutoff
    inside = 1 - (crossings / ZERO_CROSSINGS).square()
    window = torch.special.i0(KAISER_BETA * inside.clamp(min=0).sqrt()) * (inside > 0)
    kernel = torch.sinc(crossings) * window
    tables: Tensor = kernel / kernel.sum(dim=-1, keepdim=True)
    return tables.to(dtype)


def _table_rows(fraction: Tensor) -> tuple[Tensor, Tensor]:
    """The row of a table before a fraction, and how far the fraction is from it towards the next."""
    scaled = fraction * PHASES
    row = scaled.long().clamp(max=PHASES - 1)  # a fraction that was rounded to 1 belongs to the last row, too
    return row, scaled - row.to(fraction.dtype)


_own = threading.local()


def player(interpolation: str, *, max_rate: float, dtype: torch.dtype) -> "Player":
    """The thread's own player; it is kept until another kind is asked for."""
    kind = interpolation, max_rate, dtype
    if getattr(_own, "kind", None) != kind:
        with torch.inference_mode(False):  # whose tensors only inference may write to
            _own.player, _own.kind = Player(interpolation, max_rate=max_rate, dtype=dtype), kind
    kept: Player = _own.player
    return kept


class Player:
    """Reads clips at one rate at a time; for the CPU, where the host knows the rates and goes clip by clip.

    It gives what :func:`interpolate` makes of the same positions, in memory that is used again and again: fresh pages
    cost a CPU more than the arithmetic. No two threads may share one.

    Args:
        interpolation: "linear", "cubic" or "sinc".
        max_rate: as for :func:`interpolate`.
        dtype: of the clips, float32 or float64.
    """

    def __init__(self, interpolation: str, *, max_rate: float, dtype: torch.dtype) -> None:
        self.interpolation = interpolation
        self.max_rate = max_rate
        self._size = WINDOW_SAMPLES if interpolation == "sinc" else RUN_SAMPLES
        self._time = torch.arange(self._size, dtype=torch.float64, device="cpu")
        self._position = torch.empty_like(self._time)
        self._index = torch.empty(2, self._size, dtype=torch.int64, device="cpu")
        self._fraction = torch.empty(self._size, dtype=dtype, device="cpu")
        # Samples around each position: four are enough for a cubic; sinc reads a window, and two rows of its table.
        around = 4 if interpolation != "sinc" else 3 * 2 * half_width(max_rate)
        self._around = torch.empty(around * self._size, dtype=dtype, device="cpu")

    def play(self, clip: Tensor, output: Tensor, *, start: float, rate: float) -> None:
        """Fill ``output`` with the clip, from a position on.

        Args:
            clip: (channel, time), at least one sample where output has any; all of it may be read.
            output: (channel, n), to be written to.
            start: position of the first sample, 0 or more.
            rate: samples of the clip that each goes on by.
        """
        if output.numel() == 0:
            return
        if self.interpolation == "sinc":
            max_rate = min(rate, self.max_rate)  # as wide as this rate needs it
            half = half_width(max_rate)
            table = sinc_tables(
                torch.tensor(rate, dtype=torch.float64, device="cpu"), max_rate=max_rate, dtype=clip.dtype
            )
            windows = F.pad(clip[None], (half - 1, half), mode="replicate")[0].unfold(1, 2 * half, 1)
        for begin in range(0, output.shape[1], self._size):
            block = output[:, begin : begin + self._size]
            count = block.shape[1]
            # The last block may be a little longer, so that it folds into rows.
            position = self._position[: -(-count // RUN_ROWS) * RUN_ROWS]
            index, fraction = self._index[0, : len(position)], self._fraction[:count]
            torch.mul(self._time[: len(position)], rate, out=position)
            index.copy_(position.add_(start + begin * rate).clamp_(max=clip.shape[1] - 1))
            fraction.copy_(position.frac_()[:count])
            if self.interpolation == "sinc":
                self._read_windows(windows, table, index[:count], fraction, block)
                continue
            for channel, read in zip(clip, block, strict=True):
                if self.interpolation == "linear":
                    left, right = self._neighbours(channel, index, range(2), count)
                    torch.lerp(left, right, fraction, out=read)
                else:
                    read.copy_(_catmull_rom(self._neighbours(channel, index, range(-1, 3), count), fraction))

    def _neighbours(self, channel: Tensor, index: Tensor, offsets: range, count: int) -> list[Tensor]:
        """The samples of a channel at these offsets from the index, the first ``count`` of them."""
        rows = channel.expand(RUN_ROWS, -1)
        neighbours = []
        for offset, samples in zip(offsets, self._around.view(4, -1)[:, : len(index)], strict=False):
            at = index
            if offset:
                at = torch.add(index, offset, out=self._index[1, : len(index)]).clamp_(0, len(channel) - 1)
            torch.gather(rows, 1, at.view(RUN_ROWS, -1), out=samples.view(RUN_ROWS, -1))
            neighbours.append(samples[:count])
        return neighbours

    def _read_windows(self, windows: Tensor, table: Tensor, index: Tensor, fraction: Tensor, output: Tensor) -> None:
        """A window of the clip times a row of the kernel's table, summed, is one sample."""
        row, between = _table_rows(fraction)
        shape = (3, len(index), windows.shape[2])
        weights, following, window = self._around[: math.prod(shape)].view(shape)
        torch.index_select(table, 0, row, out=weights)
        torch.index_select(table, 0, row.add_(1), out=following)
        weights.lerp_(following, between[:, None])
        for channel, read in zip(windows, output, strict=True):
            torch.index_select(channel, 0, index, out=window)
            torch.sum(window.mul_(weights), dim=1, out=read)
