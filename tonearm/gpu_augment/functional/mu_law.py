"""Mu-law companding: what telephony's logarithmic samples leave of a clip."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform
from tonearm.gpu_augment.functional.padding import keep_padding

_CACHED_BYTES = 1 << 19  # of samples at a time: they are read and written again and again


def mu_law(waveform: Tensor, *, bits: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Compress the samples logarithmically, round them to so many bits, and expand them again.

        μ = 2^bits - 1,    F(x) = log2(1 + μ·|x|) / bits,    m = ⌊F·μ/2⌋
        y = sign(x) · (2^(bits·(2m + 1)/μ) - 1) / μ

    The steps grow with the sample, so that the noise they make follows the level. Of the 2^bits levels none is zero,
    but a sample that is exactly 0 stays 0. Samples beyond [-1, 1] are coded like the others, not cut off. As of any
    staircase, the gradient is zero.

    Args:
        waveform: (batch, channel, time), floating point.
        bits: (batch,) bits a sample, 2 or more; 8 in telephony.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        ITU-T G.711, 1988, which approximates the curve by straight pieces; here it is the curve, as in torchaudio's
        mu_law_encoding and mu_law_decoding, to whose levels this comes, but for exact zeros, and for samples so near
        the edge of a step that float32's rounding decides: the more bits, the more of them.

    Example:
        >>> mu_law(torch.tensor([[[0.5, -0.01, 0.0]]]), bits=torch.tensor([8])).round(decimals=4)
        tensor([[[ 0.4967, -0.0102,  0.0000]]])
    """
    check_waveform(waveform)
    clean = at_least_float32(waveform)
    bits = bits.to(clean.dtype)[:, None, None]
    size = waveform.shape[-1]
    line_bytes = waveform.shape[0] * waveform.shape[1] * clean.element_size()
    block = blocks.items_per_block(size, clean, item_bytes=line_bytes, block_bytes=_CACHED_BYTES)
    parts = [_coded(part, bits) for part in clean.split(max(1, block), dim=2)]
    coded = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
    return keep_padding(coded, clean, lengths).to(waveform.dtype)


def _coded(clean: Tensor, bits: Tensor) -> Tensor:
    mu = torch.exp2(bits) - 1
    # log2 and exp2, not log1p and expm1, for which torch has no vector code on a CPU: what they lose near 0 is a
    # rounding of the 1 that is added or taken away, and divided by mu.
    with torch.no_grad():  # between its edges a step is flat
        level = clean.abs().mul_(mu).add_(1).log2_().mul_(mu / (2 * bits)).floor_()
        magnitude = level.mul_(2).add_(1).mul_(bits / mu).exp2_().sub_(1).div_(mu)
    return magnitude * clean.sign()
