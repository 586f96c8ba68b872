"""Noise at a signal-to-noise ratio."""

import torch
from torch import Tensor

from tonearm.errors import ShapeError
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

    Example:
        >>> add_noise(torch.ones(1, 1, 2), torch.tensor([[[1.0, -1.0]]]), snr_db=torch.tensor([20.0]))
        tensor([[[1.1000, 0.9000]]])
    """
    check_waveform(waveform)
    if noise.shape != waveform.shape:
        raise ShapeError(f"noise: got {tuple(noise.shape)}, must be like waveform, {tuple(waveform.shape)}.")
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
