"""Reading sounds that lie one after the other in one long row of samples, from any place, in circles.

samples   │── sound 0 ──│────── sound 1 ──────│─ sound 2 ─│
                        ↑ offset    ↑ offset + start      ↑ offset + length, where it goes on at offset
"""

import torch
from torch import Tensor

from tonearm.errors import ShapeError
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import check_waveform
from tonearm.gpu_augment.functional.noise import add_noise, may_mix_clip_by_clip, mix_clip_by_clip


def read_excerpts(
    samples: Tensor, *, offset: Tensor, length: Tensor, start: Tensor, num_samples: int, loop: bool = True
) -> Tensor:
    """Excerpts of sounds, each from a place of its own.

        y(t) = samples(offset + (start + t) mod length)                        loop
        y(t) = samples(offset + start + t) while start + t < length, else 0    otherwise

    Args:
        samples: (total,) all sounds.
        offset: (n,) int64, where in ``samples`` a sound begins.
        length: (n,) int64, its samples, 1 or more.
        start: (n,) int64, the sample of the sound to begin with, 0 or more; if looped, that may lie behind its end.
        num_samples: of an excerpt.
        loop: whether a sound that ends begins again; else silence follows.

    Returns:
        (n, num_samples) new tensor like ``samples``.

    Example:
        >>> one = torch.tensor([3])
        >>> read_excerpts(torch.arange(6.0), offset=one, length=one - 2, start=0 * one, num_samples=2)
        tensor([[3., 3.]])
        >>> read_excerpts(torch.arange(6.0), offset=one, length=one - 2, start=0 * one, num_samples=2, loop=False)
        tensor([[3., 0.]])
    """
    if blocks.on_cpu(samples):
        excerpts = samples.new_empty(len(offset), num_samples) if loop else samples.new_zeros(len(offset), num_samples)
        for row, *place in zip(excerpts, offset.tolist(), length.tolist(), start.tolist(), strict=True):
            at, (sound, end, begin) = 0, place
            for piece in pieces(samples, sound, end, begin, num_samples, loop=loop):
                row[at : at + len(piece)] = piece
                at += len(piece)
        return excerpts
    position = start[:, None] + torch.arange(num_samples, device=samples.device)
    if loop:
        return samples[position.remainder_(length[:, None]).add_(offset[:, None])]
    inside = position < length[:, None]
    return torch.where(inside, samples[position.clamp_(max=length[:, None] - 1).add_(offset[:, None])], 0.0)


def add_excerpts(
    waveform: Tensor,
    samples: Tensor,
    *,
    offset: Tensor,
    length: Tensor,
    start: Tensor,
    snr_db: Tensor,
    lengths: Tensor | None = None,
) -> Tensor:
    """Add to each clip an excerpt of a sound, looped, at a signal-to-noise ratio.

    The same as :func:`~tonearm.gpu_augment.functional.noise.add_noise` of what :func:`read_excerpts` returns, but on a
    CPU the sounds are read where they lie.

    Args:
        waveform: (batch, channel, time), floating point.
        samples: (total,) all sounds.
        offset: (batch,) int64, where in ``samples`` a clip's sound begins.
        length: (batch,) int64, its samples, 1 or more.
        start: (batch, channel) int64, the sample of the sound to begin with, 0 or more; or (batch, 1), all channels
            alike.
        snr_db: (batch,) in dB.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point, or elsewhere than the sounds.

    Example:
        >>> one = torch.tensor([1])
        >>> sounds = torch.tensor([0.0, 1.0, -1.0])
        >>> add_excerpts(
        ...     torch.ones(1, 1, 4), sounds, offset=one, length=2 * one, start=one[:, None], snr_db=torch.tensor([20.0])
        ... )
        tensor([[[0.9000, 1.1000, 0.9000, 1.1000]]])
    """
    check_waveform(waveform)
    if samples.device != waveform.device:
        raise ShapeError(
            f"samples: on {samples.device}, but the batch is on {waveform.device}. Move the augmentation there once, "
            f"with .to({str(waveform.device)!r})."
        )
    batch, num_channels, num_samples = waveform.shape
    start = start.expand(batch, num_channels)
    if may_mix_clip_by_clip(waveform, snr_db):
        places = list(zip(offset.tolist(), length.tolist(), start.tolist(), strict=True))

        def noise_of(clip: int, channel: int) -> list[Tensor]:
            own_offset, own_length, starts = places[clip]
            return pieces(samples, own_offset, own_length, starts[channel], num_samples)

        return mix_clip_by_clip(waveform, noise_of, snr_db=snr_db, lengths=lengths)
    noise = read_excerpts(
        samples,
        offset=offset.repeat_interleave(num_channels),
        length=length.repeat_interleave(num_channels),
        start=start.flatten(),
        num_samples=num_samples,
    )
    return add_noise(waveform, noise.view(waveform.shape), snr_db=snr_db, lengths=lengths)


def pieces(
    samples: Tensor, offset: int, length: int, start: int, num_samples: int, *, loop: bool = True
) -> list[Tensor]:
    """One excerpt as views of ``samples`` that follow each other; for the CPU, where the host knows the places."""
    begin = start % length if loop else min(start, length)
    views = []
    while num_samples > 0:
        end = min(begin + num_samples, length)
        if end > begin:
            views.append(samples[offset + begin : offset + end])
        num_samples -= end - begin
        if not loop:
            break
        begin = 0
    return views
