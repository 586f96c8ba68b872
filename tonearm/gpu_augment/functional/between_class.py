"""Between-class mixup: two clips mixed so that both are heard in the ratio in which they are labelled."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform
from tonearm.gpu_augment.functional.mixup import heard_pairs
from tonearm.gpu_augment.functional.padding import keep_padding, silent_padding

SILENCE_DB = -140.0  # below the faintest step of 16-bit samples by more than 40 dB


def a_weighting_db(frequency_hz: Tensor) -> Tensor:
    """How much louder or fainter than at 1 kHz a tone sounds, by the A curve.

        R(f) = f4²·f⁴ / ((f² + f1²) · √(f² + f2²) · √(f² + f3²) · (f² + f4²)),    A(f) = 20·log10 R(f) + 2.000 dB

    Args:
        frequency_hz: 0 or more, any shape.

    Returns:
        dB, float64, the same shape; -inf at 0 Hz.

    Reference:
        IEC 61672-1:2013, annex E.

    Example:
        >>> a_weighting_db(torch.tensor([100.0, 1000.0])).round(decimals=2) + 0.0
        tensor([-19.1400,   0.0000], dtype=torch.float64)
    """
    f1, f2, f3, f4 = 20.598997, 107.65265, 737.86223, 12194.217
    square = frequency_hz.double().square()
    below = (square + f1**2) * torch.sqrt((square + f2**2) * (square + f3**2)) * (square + f4**2)
    return 20 * torch.log10(f4**2 * square.square() / below) + 2.0


def a_weighted_loudness_db(waveform: Tensor, *, sample_rate: int, lengths: Tensor | None = None) -> Tensor:
    """How loud the loudest moment of each clip is, A-weighted.

        G = max over windows of 10·log10(2 · mean square of the A-weighted window)

    so that a sine of amplitude 1 at 1 kHz has 0 dB. Hann windows, about 0.1 s long (the power of two that is nearest),
    overlap by half; those that reach beyond the end are filled up with silence. The power is the mean of all channels'.

    Args:
        waveform: (batch, channel, time), floating point.
        sample_rate: in Hz.
        lengths: (batch,) valid samples; those beyond are not heard. None: all are valid.

    Returns:
        (batch,) dB, float32, or float64 for such a waveform; -140 where it is silent.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Tokozume, Ushiku, Harada: Learning from between-class examples for deep sound recognition, 2018, and
        the authors' program, which leaves a last window that is not full unheard and has no absolute level.

    Example:
        >>> tone = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000)
        >>> a_weighted_loudness_db(0.1 * tone.view(1, 1, -1), sample_rate=8000).round(decimals=2)
        tensor([-20.])
    """
    check_waveform(waveform)
    heard = at_least_float32(waveform)
    batch, num_channels, num_samples = heard.shape
    if heard.numel() == 0:
        return torch.full((batch,), SILENCE_DB, dtype=heard.dtype, device=heard.device)
    heard = silent_padding(heard, lengths)
    n_fft = 2 ** max(1, round(math.log2(0.1 * sample_rate)))
    hop_length = n_fft // 2
    num_windows = -(-num_samples // hop_length)  # one begins wherever there are samples left, however long the batch is
    window = torch.hann_window(n_fft, dtype=heard.dtype, device=heard.device)
    weights = _power_weights(n_fft, sample_rate, like=heard)
    clip_bytes = 4 * num_windows * n_fft * heard.element_size() * num_channels
    block = blocks.items_per_block(batch, heard, item_bytes=clip_bytes, block_bytes=blocks.CLIPS_BYTES)
    powers = []
    for clips in heard.split(block):
        padded = F.pad(clips, (0, (num_windows - 1) * hop_length + n_fft - num_samples))
        spectrum = torch.fft.rfft(padded.unfold(2, n_fft, hop_length) * window)
        power = (torch.view_as_real(spectrum).flatten(3).square() * weights).sum(dim=3).mean(dim=1)
        powers.append(power.amax(dim=1))
    return 10 * torch.log10(torch.cat(powers).clamp(min=10 ** (SILENCE_DB / 10)))


def _power_weights(n_fft: int, sample_rate: int, *, like: Tensor) -> Tensor:
    """(n_fft + 2,) what the squares of real and imaginary parts are multiplied by, for their sum to be the power."""
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float64, device=like.device)
    weighting = torch.pow(10.0, a_weighting_db(bins * sample_rate / n_fft) / 10)
    # Parseval: Σ|X|² over all n_fft bins is n_fft·Σx²; each bin stands for two, but 0 and n_fft / 2. A Hann window's
    # squares sum to 3/8 · n_fft. And 2, as a sine of amplitude 1 has a mean square of ½.
    twice = torch.where((bins == 0) | (bins == n_fft // 2), 1.0, 2.0)
    weights = weighting * 2 * twice / (3 / 8 * n_fft**2)
    return weights.repeat_interleave(2, output_size=n_fft + 2).to(like.dtype)


def between_class_mixup(
    waveform: Tensor,
    partners: Tensor,
    *,
    ratio: Tensor,
    sample_rate: int,
    lengths: Tensor | None = None,
    partner_lengths: Tensor | None = None,
) -> Tensor:
    """Mix each clip with its partner so that they are heard as ratio to 1 - ratio, at the level that they had.

        p = 1 / (1 + 10^((G1 - G2)/20) · (1 - r)/r),    y = (p·x + (1 - p)·partner) / √(p² + (1 - p)²)

    G1 and G2 are the loudness of clip and partner, :func:`a_weighted_loudness_db`. A silent clip cannot be made to be
    heard: with one, p is r, as if both were equally loud.

    Args:
        waveform: (batch, channel, time), floating point.
        partners: the same shape, one partner a clip.
        ratio: (batch,) r, the clip's own share, in [0, 1].
        sample_rate: in Hz.
        lengths: (batch,) valid samples of the clips. None: all are valid.
        partner_lengths: (batch,) valid samples of the partners. None: all are valid. The shorter of both is silent from
            its end to that of the longer; what lies beyond both stays as it is in waveform.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point, or partners have another shape.

    Reference:
        Tokozume, Ushiku, Harada: Learning from between-class examples for deep sound recognition, 2018. In the
        authors' program silence has a level as well, so that the other clip all but vanishes beside it.

    Example:
        >>> tone = torch.sin(2 * torch.pi * 1000 * torch.arange(8000) / 8000).view(1, 1, -1)
        >>> mixed = between_class_mixup(tone, 0.01 * tone, ratio=torch.tensor([0.5]), sample_rate=8000)
        >>> (mixed / tone).nanmedian().round(decimals=4)  # 0.01 of the first, and the second whole, which is as loud
        tensor(0.0200)
    """
    clean, own, other, longer = heard_pairs(waveform, partners, lengths, partner_lengths)
    own_db = a_weighted_loudness_db(own, sample_rate=sample_rate)
    other_db = a_weighted_loudness_db(other, sample_rate=sample_rate)
    both_heard = torch.minimum(own_db, other_db) > SILENCE_DB + 1e-3  # what rounding may leave on silence
    difference_db = torch.where(both_heard, own_db - other_db, 0.0)
    ratio = ratio.to(clean.dtype)
    p = ratio / (ratio + torch.pow(10.0, difference_db / 20) * (1 - ratio))
    norm = torch.sqrt(p.square() + (1 - p).square())
    mixed = torch.addcmul(own * (p / norm)[:, None, None], other, ((1 - p) / norm)[:, None, None])
    return keep_padding(mixed, clean, longer).to(waveform.dtype)
