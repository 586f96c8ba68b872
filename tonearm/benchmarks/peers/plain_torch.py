"""Peer: the effects as one writes them in a few lines of torch, on the whole batch, each clip with its own draw."""

import numpy
import soundfile
import torch
from augmenting import AugmentingPeer
from effect_settings import MAX_RATE, MAX_SNR_DB, MIN_RATE, MIN_SNR_DB, RIR_FILE
from protocol import serve

FAST_FACTORS = (2, 3, 5, 7)


def mix(waveform, noise):
    """Add noise at a ratio drawn for each clip."""
    snr_db = torch.empty(len(waveform), 1, 1, device=waveform.device).uniform_(MIN_SNR_DB, MAX_SNR_DB)
    gain = waveform.square().mean(-1, keepdim=True) / noise.square().mean(-1, keepdim=True) * 10 ** (-snr_db / 10)
    return waveform + gain.sqrt() * noise


def white_noise(waveform):
    """One call of randn for the batch."""
    return mix(waveform, torch.randn_like(waveform))


def pink_noise(waveform):
    """White noise, shaped by one FFT of the clip's full length."""
    size = waveform.shape[-1]
    spectrum = torch.fft.rfft(torch.randn_like(waveform))
    shape = torch.arange(spectrum.shape[-1], device=waveform.device).clamp(min=1).rsqrt()
    return mix(waveform, torch.fft.irfft(spectrum * shape, n=size))


def stretch(waveform):
    """Two parts of a clip at rates of their own: gather the neighbours of each position, and interpolate."""
    size, device = waveform.shape[-1], waveform.device
    cut_out = torch.rand(len(waveform), 1, 1, device=device)
    # Both rates, cut_in / cut_out and (1 - cut_in) / (1 - cut_out), in range.
    low = torch.maximum(cut_out * MIN_RATE, 1 - (1 - cut_out) * MAX_RATE)
    high = torch.minimum(cut_out * MAX_RATE, 1 - (1 - cut_out) * MIN_RATE)
    cut_in = torch.lerp(low, high, torch.rand_like(cut_out))
    place = torch.arange(size, device=device) / size
    first = place * cut_in / cut_out
    second = cut_in + (place - cut_out) * (1 - cut_in) / (1 - cut_out)
    position = torch.where(place < cut_out, first, second) * size
    left = position.long().clamp(0, size - 2)
    return torch.lerp(waveform.gather(-1, left), waveform.gather(-1, left + 1), (position - left).clamp(0, 1))


def fast_length(at_least):
    """The next length that is made of small primes."""
    length = at_least
    while True:
        rest = length
        for factor in FAST_FACTORS:
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def convolve(waveform, rir):
    """By FFTs of the next fast length; the tail is cut off."""
    size = waveform.shape[-1]
    length = fast_length(size + rir.shape[-1] - 1)
    product = torch.fft.rfft(waveform, n=length) * torch.fft.rfft(rir, n=length)
    return torch.fft.irfft(product, n=length)[..., :size]


class PlainTorch(AugmentingPeer):
    """A few lines each."""

    packages = ("torch",)

    def effect(self, name, settings):
        """A function of this file."""
        if name == "reverb":
            samples, _ = soundfile.read(self.arguments.folder / RIR_FILE, dtype="float32")
            rir = torch.from_numpy(numpy.ascontiguousarray(samples)).to(self.arguments.device)
            return lambda: convolve(self.waveform, rir)
        function = {"white_noise": white_noise, "pink_noise": pink_noise, "stretch": stretch}[name]
        return lambda: function(self.waveform)


if __name__ == "__main__":
    serve(PlainTorch)
