"""Peer: torchaudio, on the whole batch where it can: one response, and one rate, for all clips.

Masks are drawn for each clip as ``iid_masks`` does it, on the whole batch, and clip by clip with masks of one's own.
"""

import soundfile
import torch
from augmenting import AugmentingPeer
from effect_settings import FREQUENCY_MASK_BINS, MAX_RATE, NUM_MASKS, RIR_FILE, TIME_MASK_FRAMES
from protocol import serve
from torchaudio import functional, transforms

N_FFT, HOP_LENGTH = 2048, 512


class TorchaudioEffects(AugmentingPeer):
    """Functions and transforms."""

    packages = ("torchaudio", "torch")

    def effect(self, name, settings):
        """A transform, or a few lines around a function."""
        if name == "fftconvolve":
            samples, _ = soundfile.read(self.arguments.folder / RIR_FILE, dtype="float32")
            rir = torch.from_numpy(samples).to(self.arguments.device)[None, None]
            size = self.waveform.shape[-1]
            return lambda: functional.fftconvolve(self.waveform, rir)[..., :size]
        if name == "time_stretch":
            return self._phase_vocoder()
        masks = {
            "time_masking": (transforms.TimeMasking, TIME_MASK_FRAMES),
            "frequency_masking": (transforms.FrequencyMasking, FREQUENCY_MASK_BINS),
        }
        if name in masks:
            transform, widest = masks[name]
            mask = torch.nn.Sequential(*[transform(widest, iid_masks=True) for _ in range(NUM_MASKS)])
        else:
            mask = transforms.SpecAugment(
                NUM_MASKS, TIME_MASK_FRAMES, NUM_MASKS, FREQUENCY_MASK_BINS, zero_masking=True
            )
        if settings["masks"] == "batch":
            return lambda: mask(self.specgram)
        return lambda: torch.stack([mask(clip) for clip in self.specgram])

    def _phase_vocoder(self):
        """Play all clips at the fastest rate, the pitch kept: the cheapest of the range."""
        window = torch.hann_window(N_FFT, device=self.arguments.device)
        vocoder = transforms.TimeStretch(HOP_LENGTH, N_FFT // 2 + 1, MAX_RATE).to(self.arguments.device)
        size = self.waveform.shape[-1]

        def stretch():
            spectrum = torch.stft(
                self.waveform.flatten(0, 1), N_FFT, HOP_LENGTH, window=window, return_complex=True
            )  # fmt: skip
            stretched = torch.istft(vocoder(spectrum), N_FFT, HOP_LENGTH, window=window)[..., :size]
            return torch.nn.functional.pad(stretched, (0, size - stretched.shape[-1])).unflatten(0, (-1, 1))

        return stretch


if __name__ == "__main__":
    serve(TorchaudioEffects)
