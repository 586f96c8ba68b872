"""Change how long a clip lasts, and leave its pitch."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform, valid_samples
from tonearm.gpu_augment.functional.phase_vocoder import check_frames, stretch


def stretched_lengths(lengths: Tensor, *, rate: Tensor) -> Tensor:
    """(batch,) int64 samples that clips of (batch,) ``lengths`` have when played at ``rate``: L / rate, rounded.

    Example:
        >>> stretched_lengths(torch.tensor([1000, 1000]), rate=torch.tensor([0.8, 1.25]))
        tensor([1250,  800])
    """
    return (lengths.double() / rate.double()).round().long()


def time_stretch(
    waveform: Tensor, *, rate: Tensor, n_fft: int = 2048, hop_length: int = 512, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Play each clip at its own rate, without changing its pitch, through a phase vocoder.

    The batch stays as wide as it is. Of a slower clip, what exceeds that width is cut off; after a faster one zeros
    follow. See :mod:`~tonearm.gpu_augment.functional.phase_vocoder` for the formula.

    Tones keep their frequency. Of their level one that begins at once, or after silence, loses some for as long as it
    lasts, as the first frames scatter the phases that its bins begin with: up to 2 dB at rates from 0.8 to 1.25, but
    more than 20 dB at 0.5, depending on where in a frame it begins. A click, whose bins should turn together and do
    not, is smeared over a frame: a shorter ``n_fft`` smears less, and tears low tones apart. Rate 1 gives the clip
    back, to rounding.

    Args:
        waveform: (batch, channel, time), floating point.
        rate: (batch,) above 0; 2 is twice as fast and half as long.
        n_fft: samples of a frame, a multiple of hop_length.
        hop_length: samples from frame to frame, at most n_fft / 2; n_fft / 4 is usual.
        lengths: (batch,) valid samples, at most time (more counts as time). What lies beyond them is no part of the
            clip. None: all are valid.

    Returns:
        A new waveform, zero beyond the new lengths, and these: (batch,) int64, L / rate rounded, time at most.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.
        RequestError: n_fft and hop_length do not fit each other.

    Reference:
        Flanagan, Golden: Phase vocoder, 1966.

    Example:
        >>> waveform, lengths = time_stretch(torch.rand(2, 1, 4000), rate=torch.tensor([0.8, 1.25]))
        >>> waveform.shape, lengths
        (torch.Size([2, 1, 4000]), tensor([4000, 3200]))
    """
    check_waveform(waveform)
    check_frames(n_fft, hop_length)
    batch, num_channels, num_samples = waveform.shape
    rate = rate.double()
    given = rate.new_full((batch,), num_samples) if lengths is None else lengths.clamp(max=num_samples)
    new_lengths = stretched_lengths(given, rate=rate).clamp_(max=num_samples)
    if waveform.numel() == 0:
        return waveform.clone(), new_lengths
    clean = at_least_float32(waveform)
    if lengths is not None:
        clean = torch.where(valid_samples(lengths, num_samples), clean, 0.0)
    stretched = stretch(
        clean.flatten(0, 1),
        rate=rate.repeat_interleave(num_channels),
        num_samples=num_samples,
        n_fft=n_fft,
        hop_length=hop_length,
    ).unflatten(0, (batch, num_channels))
    # The last frames ring on.
    stretched = torch.where(valid_samples(new_lengths, num_samples), stretched, 0.0)
    return stretched.to(waveform.dtype), new_lengths
