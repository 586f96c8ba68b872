"""Noise at a signal-to-noise ratio, or of a fixed level."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tonearm.errors import ShapeError
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.counter import gaussian
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform, valid_samples


def white_noise(keys: Tensor, *, num_channels: int, num_samples: int) -> Tensor:
    """Gaussian noise of deviation 1, independent from sample to sample, channel to channel and key to key.

    Args:
        keys: (batch, 2) int32; equal keys give equal noise, on every device.
        num_channels: channels of a clip.
        num_samples: samples of a channel.

    Returns:
        (batch, num_channels, num_samples) float32 on the keys' device.

    Example:
        >>> white_noise(torch.tensor([[1, 2]], dtype=torch.int32), num_channels=1, num_samples=4).shape
        torch.Size([1, 1, 4])
    """
    return gaussian(keys, num_channels * num_samples).reshape(len(keys), num_channels, num_samples)


def add_noise(waveform: Tensor, noise: Tensor, *, snr_db: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Add noise so that each clip's signal-to-noise ratio is exactly what was asked.

    Power is that of the whole clip, all channels together, over its valid samples. So a clip that is mostly silence
    gets little noise, and silence stays silence. The sum is not clipped to [-1, 1].

        y = x + noise · ‖x‖ / ‖noise‖ · 10^(-snr_db / 20)

    Args:
        waveform: (batch, channel, time), floating point.
        noise: (batch, channel, time); its level does not matter. Silent noise adds nothing.
        snr_db: (batch,) in dB.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point, or noise has another shape.

    Reference:
        Defined here.

    Example:
        >>> add_noise(torch.ones(1, 1, 2), torch.tensor([[[1.0, -1.0]]]), snr_db=torch.tensor([20.0]))
        tensor([[[1.1000, 0.9000]]])
    """
    check_waveform(waveform)
    if noise.shape != waveform.shape:
        raise ShapeError(f"noise: got {tuple(noise.shape)}, must be like waveform, {tuple(waveform.shape)}.")
    if may_mix_clip_by_clip(waveform, noise, snr_db):

        def noise_of(clip: int, channel: int) -> list[Tensor]:
            return [at_least_float32(noise[clip, channel])]

        return mix_clip_by_clip(waveform, noise_of, snr_db=snr_db, lengths=lengths)
    clean = at_least_float32(waveform)
    noise = noise.to(clean.dtype)
    signal = clean
    if lengths is not None:
        valid = valid_samples(lengths, waveform.shape[-1])
        signal, noise = torch.where(valid, clean, 0.0), torch.where(valid, noise, 0.0)
    signal_norm = torch.linalg.vector_norm(signal, dim=(1, 2), keepdim=True)
    noise_norm = torch.linalg.vector_norm(noise, dim=(1, 2), keepdim=True)
    gain = torch.pow(10.0, snr_db.to(clean.dtype) / -20.0)
    scale = gain[:, None, None] * signal_norm / noise_norm.clamp(min=torch.finfo(clean.dtype).tiny)
    scale = torch.where(noise_norm > 0, scale, 0.0)
    return torch.addcmul(clean, noise, scale).to(waveform.dtype)


def add_gaussian_noise(waveform: Tensor, *, keys: Tensor, deviation: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Add white noise of a level that does not depend on the clip's.

        y = x + deviation · n,    n independent standard normal

    So faint clips drown where loud ones hardly change, and silence becomes noise: the model of a recorder's own noise.

    Args:
        waveform: (batch, channel, time), floating point.
        keys: (batch, 2) int32; equal keys give equal noise, on every device.
        deviation: (batch,) of the noise, in units of the waveform, 0 or more.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.

    Reference:
        Defined here.

    Example:
        >>> keys = torch.tensor([[1, 2]], dtype=torch.int32)
        >>> add_gaussian_noise(torch.zeros(1, 1, 10_000), keys=keys, deviation=torch.tensor([0.01])).std()
        tensor(0.0100)
    """
    check_waveform(waveform)
    clean = at_least_float32(waveform)
    noise = white_noise(keys, num_channels=waveform.shape[1], num_samples=waveform.shape[2]).to(clean.dtype)
    noise *= deviation.to(clean.dtype)[:, None, None]
    if lengths is None:
        return (clean + noise).to(waveform.dtype)
    return torch.where(valid_samples(lengths, waveform.shape[-1]), clean + noise, clean).to(waveform.dtype)


def may_mix_clip_by_clip(*tensors: Tensor) -> bool:
    """Whether :func:`mix_clip_by_clip` may do it: on a CPU, if nobody asks for gradients."""
    gradients = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return blocks.on_cpu(tensors[0]) and not gradients


def mix_clip_by_clip(
    waveform: Tensor, noise: Callable[[int, int], list[Tensor]], *, snr_db: Tensor, lengths: Tensor | None
) -> Tensor:
    """What :func:`add_noise` does, on a CPU: a clip is read twice while it is in the cache, its noise where it lies.

    Args:
        waveform: (batch, channel, time).
        noise: gives, for a clip and a channel, its noise as pieces that follow each other, time samples in all.
        snr_db: (batch,) in dB.
        lengths: (batch,) valid samples, or None.
    """
    batch, num_channels, num_samples = waveform.shape
    mixed = torch.empty(waveform.shape, dtype=waveform.dtype, device=waveform.device)
    ends = [num_samples] * batch if lengths is None else lengths.clamp(max=num_samples).tolist()
    for clip, (ratio, end) in enumerate(zip(snr_db.tolist(), ends, strict=True)):
        clean = at_least_float32(waveform[clip])
        places = []
        for channel in range(num_channels):
            begin = 0
            for piece in noise(clip, channel):
                piece = piece[: end - begin]
                places.append((channel, slice(begin, begin + len(piece)), piece))
                begin += len(piece)
        signal_norm = float(torch.linalg.vector_norm(clean[:, :end]))
        noise_norm = math.hypot(*(float(torch.linalg.vector_norm(piece)) for _, _, piece in places))
        scale = 10 ** (ratio / -20) * signal_norm / noise_norm if noise_norm > 0 else 0.0
        for channel, place, piece in places:
            torch.add(clean[channel, place], piece, alpha=scale, out=mixed[clip, channel, place])
        if end < num_samples:
            mixed[clip, :, end:] = waveform[clip, :, end:]
    return mixed
