"""Noise on the phases of a clip's short-time spectra, which leaves their magnitudes."""

import torch
from torch import Tensor

from tonearm.gpu_augment.functional.counter import gaussian
from tonearm.gpu_augment.functional.layout import at_least_float32, check_waveform, valid_samples
from tonearm.gpu_augment.functional.phase_vocoder import analysis, check_frames, count_frames, synthesis


def phase_noise(
    waveform: Tensor,
    *,
    keys: Tensor,
    deviation: Tensor,
    n_fft: int = 1024,
    hop_length: int = 256,
    lengths: Tensor | None = None,
) -> Tensor:
    """Turn each bin of each frame by an angle of its own, and put the clip together again.

        Y(m, b) = X(m, b) · exp(i · deviation · n(m, b)),    n independent standard normal

    The signal that comes out is the one whose spectra are nearest to Y. A tone keeps exp(-deviation²/2) of its
    amplitude, the rest becomes noise around it, of which the overlap of frames averages part away: the level falls a
    little. The louder a sound is, the louder its noise, and it is heard as roughness; silence stays silence. The lowest
    and the highest bin are real: of their turning only the real part is left.

    Args:
        waveform: (batch, channel, time), floating point.
        keys: (batch, 2) int32; equal keys give equal noise to batches of equal shape, on every device.
        deviation: (batch,) in radians, 0 or more; above 2 or so phases are as good as random.
        n_fft: samples of a frame, a multiple of hop_length.
        hop_length: samples from frame to frame, at most n_fft / 2; n_fft / 4 is usual.
        lengths: (batch,) valid samples; the samples beyond them stay as they are. None: all are valid.

    Returns:
        A new tensor like waveform.

    Raises:
        ShapeError: waveform is not (batch, channel, time) floating point.
        RequestError: n_fft and hop_length do not fit each other.

    Reference:
        Gazneli et al.: End-to-end audio strikes back, 2022, "PhN", as their published code has it: X is multiplied by
        exp(i·s·u), s a number from 0.01 to 0.02 for the clip and u complex, its real and its imaginary part uniform in
        [0, 1). So phases move in one direction, magnitudes shrink by up to 2 %, and the frames' size is one of three.
        Here the noise is of mean 0 and may be audible, magnitudes stay, and the frames' size is an argument.

    Example:
        >>> keys = torch.tensor([[1, 2]], dtype=torch.int32)
        >>> phase_noise(torch.rand(1, 1, 4000), keys=keys, deviation=torch.tensor([0.3])).shape
        torch.Size([1, 1, 4000])
    """
    check_waveform(waveform)
    check_frames(n_fft, hop_length)
    if waveform.numel() == 0:
        return waveform.clone()
    batch, num_channels, num_samples = waveform.shape
    clean = at_least_float32(waveform)
    signal = clean if lengths is None else torch.where(valid_samples(lengths, num_samples), clean, 0.0)
    num_frames = count_frames(num_samples, n_fft=n_fft, hop_length=hop_length)
    spectra = analysis(signal.flatten(0, 1), n_fft=n_fft, hop_length=hop_length, num_frames=num_frames)
    numbers = gaussian(keys, num_channels * num_frames * spectra.shape[2]).to(clean.dtype)
    angle = (numbers * deviation.to(clean.dtype)[:, None]).view(spectra.shape)
    noisy: Tensor = synthesis(
        spectra * torch.polar(torch.ones_like(angle), angle),
        n_fft=n_fft,
        hop_length=hop_length,
        num_samples=num_samples,
    ).unflatten(0, (batch, num_channels))
    if lengths is not None:
        noisy = torch.where(valid_samples(lengths, num_samples), noisy, clean)
    return noisy.to(waveform.dtype)
