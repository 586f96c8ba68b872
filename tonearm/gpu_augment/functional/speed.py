"""Speed: play a clip faster or slower; pitch moves with the rate, as on a record player, and so does the length."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.interpolation import check_interpolation, interpolate, player
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform, valid_samples


def speed_lengths(lengths: Tensor, *, rate: Tensor) -> Tensor:
    """Samples that clips of these lengths have at these rates: L / rate, rounded.

    Example:
        >>> speed_lengths(torch.tensor([100, 100]), rate=torch.tensor([1.25, 0.8]))
        tensor([ 80, 125])
    """
    return (lengths.double() / rate.double()).round().long()


def speed(
    waveform: Tensor,
    *,
    rate: Tensor,
    lengths: Tensor | None = None,
    interpolation: str = "linear",
    max_rate: float = 1.25,
) -> Tensor:
    """Play each clip, L valid samples long, at a rate of its own.

        y(t) = x(t·rate),    0 ≤ t < round(L / rate)

    The tensor stays as wide as it is: zeros follow a clip that ends earlier, and one that would end later is cut off.
    Whatever lay beyond a clip's length is overwritten. Between samples x is interpolated, and held after its last one;
    only "sinc" keeps treble from folding back at rates above 1, see
    :mod:`~tonearm.gpu_augment.functional.interpolation`.

    Args:
        waveform: (batch, channel, time), floating point.
        rate: (batch,) samples of the input that one of the output goes on by, above 0.
        lengths: (batch,) valid samples L, at most time (more counts as time). None: all are valid.
        interpolation: "linear", "cubic" or "sinc".
        max_rate: the fastest rate for which sinc keeps aliases down: its work grows with it. The others do without.

    Returns:
        A new tensor like waveform. :func:`speed_lengths` of its clips are valid, at most time.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.
        RequestError: there is no such interpolation.

    Reference:
        The effect "speed" of SoX.

    Example:
        >>> speed(torch.arange(1.0, 5.0).reshape(1, 1, 4), rate=torch.tensor([2.0]))
        tensor([[[1., 3., 0., 0.]]])
    """
    check_waveform(waveform)
    check_interpolation(interpolation)
    num_samples = waveform.shape[2]
    if num_samples == 0:
        return waveform.clone()
    clean = at_least_float32(waveform)
    if lengths is None:
        end = torch.full((len(waveform),), num_samples, device=waveform.device)
    else:
        end = lengths.long().clamp(0, num_samples)
    new_end = speed_lengths(end, rate=rate)
    if blocks.on_cpu(waveform) and not waveform.requires_grad:
        played = torch.zeros_like(clean, memory_format=torch.contiguous_format)
        play = player(interpolation, max_rate=max_rate, dtype=clean.dtype).play
        rows = zip(clean, played, rate.tolist(), end.tolist(), new_end.tolist(), strict=True)
        for clip, output, own_rate, length, new_length in rows:
            play(clip[:, :length], output[:, :new_length], start=0.0, rate=own_rate)
        return played.to(waveform.dtype)
    last = (end - 1).clamp(min=0)[:, None]
    time = torch.arange(num_samples, dtype=torch.float64, device=waveform.device)
    rates = rate.double()[:, None]
    played = interpolate(
        clean,
        torch.minimum(time * rates, last.double()),
        last=last,
        interpolation=interpolation,
        rates=rates,
        max_rate=max_rate,
    )
    return torch.where(valid_samples(new_end, num_samples), played, 0.0).to(waveform.dtype)
