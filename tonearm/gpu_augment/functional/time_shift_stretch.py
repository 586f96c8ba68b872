"""Time-shift stretch: cut a clip in two and play one part faster, the other slower, so that the length stays.

    output   0 ────────── b ────────────── L        rate before the cut  a / b
                         ╱                          rate after the cut   (L - a) / (L - b)
    input    0 ──────── a ──────────────── L

Events move (that is the shift), and pitch moves with the rate, as on a record player.
"""

import math

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.interpolation import check_interpolation, interpolate, player
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform, valid_samples


def cut_range(cut_out: Tensor, *, min_rate: float, max_rate: float) -> tuple[Tensor, Tensor]:
    """Where a clip may be cut in the input, given the cut in the output, for both rates to stay in their range.

    In fractions of the clip, β = b/L and α = a/L, the rates are α/β and (1-α)/(1-β), whatever L is. So

        min_rate ≤ α/β ≤ max_rate          ⟺   min_rate·β ≤ α ≤ max_rate·β
        min_rate ≤ (1-α)/(1-β) ≤ max_rate  ⟺   1 - max_rate·(1-β) ≤ α ≤ 1 - min_rate·(1-β)

    and both hold between the larger of the lower and the smaller of the upper bounds. As min_rate ≤ 1 ≤ max_rate, α = β
    (nothing is stretched) is always among them.

    Args:
        cut_out: β, in (0, 1).
        min_rate: in (0, 1].
        max_rate: 1 or more.

    Returns:
        The lowest and the highest α.

    Example:
        >>> cut_range(torch.tensor(0.5), min_rate=0.5, max_rate=1.25)
        (tensor(0.3750), tensor(0.6250))
    """
    lowest = torch.maximum(min_rate * cut_out, 1 - max_rate * (1 - cut_out))
    highest = torch.minimum(max_rate * cut_out, 1 - min_rate * (1 - cut_out))
    return lowest, highest


def part_rates(cut_out: Tensor, cut_in: Tensor) -> Tensor:
    """The rates before and after the cut, (batch, 2) float64, from (batch,) b / L and a / L."""
    cut_out, cut_in = cut_out.double(), cut_in.double()
    return torch.stack([cut_in / cut_out, (1 - cut_in) / (1 - cut_out)], dim=1)


def input_positions(time: Tensor, *, cut_out: Tensor, cut_in: Tensor, end: Tensor) -> Tensor:
    """Where in the input the output's samples come from, in samples, up to each clip's last one.

    Args:
        time: (n,) float64, output samples.
        cut_out: (batch,) b / L, within (0, 1).
        cut_in: (batch,) a / L, within (0, 1).
        end: (batch, 1) float64, L, at least 1.

    Returns:
        (batch, n) float64.
    """
    first_rate, second_rate = part_rates(cut_out, cut_in).split(1, dim=1)
    cut_out = cut_out.double()[:, None]
    # Both lines of the definition at once: t·second_rate, plus what the first min(t, b) samples differ by.
    position = torch.minimum(time, cut_out * end).mul_(first_rate - second_rate).addcmul_(time, second_rate)
    return torch.minimum(position, end - 1)


def time_shift_stretch(
    waveform: Tensor,
    *,
    cut_out: Tensor,
    cut_in: Tensor,
    lengths: Tensor | None = None,
    interpolation: str = "linear",
    max_rate: float = 1.25,
) -> Tensor:
    """Stretch the two parts of each clip, L valid samples long, that a cut makes.

        y(t) = x(t·a/b)                        t < b
        y(t) = x(a + (t - b)·(L - a)/(L - b))  b ≤ t < L

    Between samples x is interpolated, and held after its last sample. Linear and cubic interpolation are no anti-alias
    filters: at rates above 1 what exceeds half the sample rate folds back (linear at rate 2 and 44.1 kHz: 18 kHz comes
    out at 8 kHz at -5 dB), and treble is dulled. With "sinc" aliases are 70 dB down; see
    :mod:`~tonearm.gpu_augment.functional.interpolation`.

    Args:
        waveform: (batch, channel, time), floating point.
        cut_out: (batch,) b / L, within (0, 1).
        cut_in: (batch,) a / L, within (0, 1).
        lengths: (batch,) valid samples L, at most time (more counts as time); the samples beyond them stay as they are.
            None: all are valid.
        interpolation: "linear", "cubic" or "sinc".
        max_rate: the fastest rate for which sinc keeps aliases down: its work grows with it. The others do without.

    Returns:
        A new tensor like waveform. Positions are computed in float64: exact to 1e-8 of a sample after ten minutes.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.
        RequestError: there is no such interpolation.

    Reference:
        Defined here. Interpolation after Keys, 1981 (cubic), and Smith and Gossett, 1984 (sinc).

    Example:
        >>> x = torch.arange(4.0).reshape(1, 1, 4)
        >>> time_shift_stretch(x, cut_out=torch.tensor([0.5]), cut_in=torch.tensor([0.25]))
        tensor([[[0.0000, 0.5000, 1.0000, 2.5000]]])
    """
    check_waveform(waveform)
    check_interpolation(interpolation)
    batch, _, num_samples = waveform.shape
    if num_samples < 2:
        return waveform.clone()
    clean = at_least_float32(waveform)
    if blocks.on_cpu(waveform) and not waveform.requires_grad:
        stretched = _clip_by_clip(clean, cut_out, cut_in, lengths, interpolation=interpolation, max_rate=max_rate)
        return stretched.to(waveform.dtype)
    if lengths is None:
        end = torch.full((batch, 1), num_samples, device=waveform.device)
    else:
        end = lengths.long()[:, None].clamp(1, num_samples)
    time = torch.arange(num_samples, dtype=torch.float64, device=waveform.device)
    stretched = interpolate(
        clean,
        input_positions(time, cut_out=cut_out, cut_in=cut_in, end=end.double()),
        last=end - 1,
        interpolation=interpolation,
        rates=part_rates(cut_out, cut_in),
        max_rate=max_rate,
        part=(time >= cut_out.double()[:, None] * end).long(),
    )
    if lengths is not None:
        stretched = torch.where(valid_samples(lengths, num_samples), stretched, clean)
    return stretched.to(waveform.dtype)


def _clip_by_clip(
    waveform: Tensor, cut_out: Tensor, cut_in: Tensor, lengths: Tensor | None, *, interpolation: str, max_rate: float
) -> Tensor:
    """Both parts of each clip as runs at one rate, which need less work than positions at any."""
    stretched = torch.empty_like(waveform, memory_format=torch.contiguous_format)
    play = player(interpolation, max_rate=max_rate, dtype=waveform.dtype).play
    num_samples = waveform.shape[2]
    ends = [num_samples] * len(waveform) if lengths is None else lengths.clamp(0, num_samples).tolist()
    rows = zip(waveform, stretched, cut_out.tolist(), part_rates(cut_out, cut_in).tolist(), ends, strict=True)
    for clip, output, cut, (first_rate, second_rate), end in rows:
        output[:, end:] = clip[:, end:]
        if end == 0:
            continue
        middle = min(math.ceil(cut * end), end)  # the first sample of the second part
        second_start = cut * end * first_rate + (middle - cut * end) * second_rate
        play(clip[:, :end], output[:, :middle], start=0.0, rate=first_rate)
        play(clip[:, :end], output[:, middle:end], start=second_start, rate=second_rate)
    return stretched
