"""Convolution in pieces, as a CPU likes it: many FFTs that fit its caches in place of one as long as the clip.

The signal is cut into frames of n_fft samples, one every hop. In a frame's circular convolution with at most
n_fft - hop + 1 taps, the last hop samples are those of the linear convolution, and are kept ("saved"):

    signal     ──────────┬─────────┬─────────┬─────────
    frame 0    [ history │  hop 0 ]         │
    frame 1              [ history │  hop 1 ]
    frame 2                        [ history │  hop 2 ]

A response longer than that is cut into partitions of hop taps each, where n_fft = 2·hop. As partition p begins p hops
late, it needs the spectrum of the frame p hops before, which is there already: an output frame takes one inverse FFT of
Σ_p spectrum(f - p) · partition(p).

Reference:
    Stockham: High-speed convolution and correlation, 1966 (convolution by FFT in sections).
    Kulp: Digital equalization using Fourier transform techniques, 1988 (uniform partitions).
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

ROWS_BYTES = 2 << 20  # of frames and partitions in one FFT call: what the caches of two cores hold

# What a piece costs, in units that only compare: an FFT for each sample and doubling of its length, a product of two
# spectra for each sample, and the plan that each call of the FFT library makes anew, for each sample of the length.
_FFT, _PRODUCT, _PLAN = 0.045, 0.13, 2.4


class Pieces(NamedTuple):
    """How a convolution is cut.

    Attributes:
        n_fft: samples of a frame.
        hop: samples that a frame yields.
        num_frames: frames of a signal.
        num_partitions: parts of the response; more than 1 only where n_fft is 2·hop.
    """

    n_fft: int
    hop: int
    num_frames: int
    num_partitions: int


@lru_cache(maxsize=256)
def choose_pieces(num_samples: int, num_taps: int, *, may_partition: bool) -> Pieces:
    """The cheapest cut of all with n_fft a power of two.

    Args:
        num_samples: of the output, 1 or more.
        num_taps: of the response, 1 or more.
        may_partition: whether the response may be cut too.

    Example:
        >>> choose_pieces(220_500, 44_100, may_partition=True)
        Pieces(n_fft=32768, hop=16384, num_frames=14, num_partitions=3)
    """
    cuts = []
    for exponent in range(9, max(17, (num_samples + num_taps).bit_length()) + 1):
        n_fft = 1 << exponent
        if num_taps <= n_fft:
            hop = n_fft - num_taps + 1
            cuts.append(Pieces(n_fft, hop, -(-num_samples // hop), 1))
        if may_partition and 2 * num_taps > n_fft:
            hop = n_fft // 2
            cuts.append(Pieces(n_fft, hop, -(-num_samples // hop), -(-num_taps // hop)))
    return min(cuts, key=_cost)


def _cost(pieces: Pieces) -> float:
    n_fft, _, frames, partitions = pieces
    transforms = _FFT * math.log2(n_fft) * (2 * frames + partitions)
    return n_fft * (transforms + _PRODUCT * frames * partitions + _PLAN * 2 / rows_at_a_time(pieces))


def rows_at_a_time(pieces: Pieces) -> int:
    """How many rows go through together, so that they share plans and yet stay in the caches."""
    return max(1, ROWS_BYTES // (4 * pieces.n_fft * (pieces.num_frames + pieces.num_partitions)))


def overlap_save(
    signal: Tensor, taps: Tensor, *, lengths: list[int], advance: int = 0, hold_edges: bool = False
) -> Tensor:
    """Convolve each row with its response; on a CPU.

        y(t) = Σ_k taps(k) · signal(t + advance - k)

    Args:
        signal: (rows, time), float32 or float64.
        taps: (rows, taps) of the same type, one tap or more.
        lengths: valid samples of each row, at most time. Those beyond them come out as they went in.
        advance: samples by which the output comes earlier.
        hold_edges: whether the row's first and last valid samples go on before and after it; else silence does.

    Returns:
        (rows, time) new tensor.
    """
    num_rows, num_taps = len(signal), taps.shape[1]
    out = torch.empty_like(signal)
    longest = max(lengths, default=0)
    if longest == 0:
        return out.copy_(signal)
    # With a response that is cut, frames before the first would be needed, if there were anything in them.
    pieces = choose_pieces(longest, num_taps, may_partition=advance == 0 and not hold_edges)
    n_fft, hop, num_frames, num_partitions = pieces
    at_a_time = min(num_rows, rows_at_a_time(pieces))
    # Frames and partitions lie in one tensor, so that one plan serves all.
    rows = signal.new_zeros(at_a_time, num_frames + num_partitions, n_fft)
    for begin in range(0, num_rows, at_a_time):
        count = min(at_a_time, num_rows - begin)
        for row, frames in enumerate(rows[:count, :num_frames], start=begin):
            valid = signal[row, : lengths[row]]
            cut_frames(valid, frames, hop=hop, first=advance - (n_fft - hop), hold_edges=hold_edges)
        cut_partitions(taps[begin : begin + count], rows[:count, num_frames:], hop=hop)
        spectra = torch.fft.rfft(rows[:count])
        frames, partitions = spectra[:, :num_frames], spectra[:, num_frames:]
        if num_partitions == 1:
            products = frames.mul_(partitions)
        else:
            products = frames * partitions[:, :1]
            for late in range(1, min(num_partitions, num_frames)):
                products[:, late:].addcmul_(frames[:, :-late], partitions[:, late : late + 1])
        pieces_out = torch.fft.irfft(products, n=n_fft)[..., n_fft - hop :]
        for row, saved in enumerate(pieces_out, start=begin):
            join_frames(saved, out[row, : lengths[row]])
            out[row, lengths[row] :] = signal[row, lengths[row] :]
    return out


def cut_frames(signal: Tensor, frames: Tensor, *, hop: int, first: int, hold_edges: bool) -> None:
    """Fill ``frames`` (frames, n_fft) with what begins at ``first``, ``first + hop`` … of ``signal`` (time,)."""
    num_frames, n_fft = frames.shape
    num_samples = len(signal)
    before, after = (signal[0], signal[-1]) if hold_edges and num_samples else (0.0, 0.0)
    begin = min(-(min(first, 0) // hop), num_frames)  # the first frame that lies within the signal
    whole = max(0, min(num_frames - begin, (num_samples - n_fft - first - begin * hop) // hop + 1))
    if whole:
        frames[begin : begin + whole] = signal[first + begin * hop :].unfold(0, n_fft, hop)[:whole]
    for index in [*range(begin), *range(begin + whole, num_frames)]:
        frame, start = frames[index], first + index * hop
        left, right = min(max(-start, 0), n_fft), min(max(num_samples - start, 0), n_fft)
        frame[:left] = before
        frame[left:right] = signal[start + left : start + right]
        frame[max(left, right) :] = after


def cut_partitions(taps: Tensor, partitions: Tensor, *, hop: int) -> None:
    """Fill the beginnings of ``partitions`` (rows, partitions, n_fft) with ``taps`` (rows, taps)."""
    num_partitions = partitions.shape[1]
    width = taps.shape[1] if num_partitions == 1 else hop
    for index in range(num_partitions):
        part = taps[:, index * width : (index + 1) * width]
        partitions[:, index, : part.shape[1]] = part


def join_frames(frames: Tensor, out: Tensor) -> None:
    """Put ``frames`` (frames, hop) one after the other into ``out`` (time,), which may end earlier."""
    hop = frames.shape[1]
    whole = len(out) // hop
    out[: whole * hop].view(whole, hop).copy_(frames[:whole])
    if whole * hop < len(out):
        out[whole * hop :] = frames[whole, : len(out) - whole * hop]
