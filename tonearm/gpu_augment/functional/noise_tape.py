"""Noise from a tape: made once, without a seam where its end meets its beginning, and read from any place."""

import torch
from torch import Tensor

from tonearm.errors import ShapeError
from tonearm.gpu_augment.functional.colored_noise import circular_noise
from tonearm.gpu_augment.functional.excerpts import add_excerpts
from tonearm.gpu_augment.functional.layout import check_waveform

_KEY = (0x7461, 0x7065)  # the same tape in every process


def noise_tape(num_samples: int, *, color: str) -> Tensor:
    """The tape: one period of noise, equal in every process and on every machine to the rounding of an FFT.

    Args:
        num_samples: its length; 2**22 are 95 s at 44.1 kHz.
        color: "white", "pink", "brown", "blue" or "violet", as :func:`colored_noise` defines them.

    Returns:
        (num_samples,) float32 on the CPU, of deviation 1.

    Raises:
        RequestError: color is none of these.

    Example:
        >>> noise_tape(1 << 16, color="pink").std().round(decimals=1)
        tensor(1.)
    """
    keys = torch.tensor([_KEY], dtype=torch.int32, device="cpu")
    return circular_noise(num_samples, color=color, keys=keys)[0]


def add_tape_noise(
    waveform: Tensor, tape: Tensor, *, offset: Tensor, snr_db: Tensor, lengths: Tensor | None = None
) -> Tensor:
    """Add to each clip the noise that lies on the tape from some place on, at a signal-to-noise ratio.

    Channel c of C begins c/C of the tape behind the offset, so that channels share nothing. Two clips share as much as
    the parts do that they read: of clips of 5 s and a tape of 95 s, one pair in ten some of it.

    Args:
        waveform: (batch, channel, time), floating point.
        tape: (tape_samples,) from :func:`noise_tape`.
        offset: (batch,) int64, 0 or more; behind the tape's end it is read as if it were wound around.
        snr_db: (batch,) in dB; see :func:`add_noise`.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point, is not where the tape is, or has more samples
            in all channels than the tape, whose noise would repeat.

    Example:
        >>> tape = torch.tensor([1.0, -1.0, 1.0, -1.0])
        >>> add_tape_noise(torch.ones(1, 1, 2), tape, offset=torch.tensor([3]), snr_db=torch.tensor([20.0]))
        tensor([[[0.9000, 1.1000]]])
    """
    check_waveform(waveform)
    num_channels, num_samples = waveform.shape[1:]
    if num_channels * num_samples > len(tape):
        raise ShapeError(
            f"tape: {len(tape)} samples, fewer than the {num_channels} x {num_samples} of a clip, in which noise would "
            f"repeat. Make it longer (tape_samples), or draw fresh noise."
        )
    apart = len(tape) // max(1, num_channels)
    return add_excerpts(
        waveform,
        tape,
        offset=torch.zeros_like(offset),
        length=torch.full_like(offset, len(tape)),
        start=offset[:, None] + apart * torch.arange(num_channels, device=offset.device),
        snr_db=snr_db,
        lengths=lengths,
    )
