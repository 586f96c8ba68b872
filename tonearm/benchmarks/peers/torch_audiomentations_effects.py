"""Peer: torch-audiomentations, the whole batch at once, each clip with its own draw (``mode="per_example"``).

Its transforms that open files do not work with torchaudio 2.11, which opens none.
"""

import torch_audiomentations
from augmenting import AugmentingPeer
from effect_settings import (
    MAX_CENTER_HZ,
    MAX_CUTOFF_HZ,
    MAX_SEMITONES,
    MAX_SNR_DB,
    MIN_CENTER_HZ,
    MIN_CUTOFF_HZ,
    MIN_SNR_DB,
)
from protocol import serve

SNR = {"min_snr_in_db": MIN_SNR_DB, "max_snr_in_db": MAX_SNR_DB}
ARGUMENTS = {
    "white_noise": ("AddColoredNoise", {**SNR, "min_f_decay": 0.0, "max_f_decay": 0.0}),
    # The amplitude falls with f**0.5, so the power by 3 dB an octave.
    "pink_noise": ("AddColoredNoise", {**SNR, "min_f_decay": 0.5, "max_f_decay": 0.5}),
    "pitch_shift": (
        "PitchShift",
        {"min_transpose_semitones": -MAX_SEMITONES, "max_transpose_semitones": MAX_SEMITONES},
    ),
    "low_pass": ("LowPassFilter", {"min_cutoff_freq": MIN_CUTOFF_HZ, "max_cutoff_freq": MAX_CUTOFF_HZ}),
    "band_pass": (
        "BandPassFilter",
        {"min_center_frequency": MIN_CENTER_HZ, "max_center_frequency": MAX_CENTER_HZ},
    ),
}


class TorchAudiomentationsEffects(AugmentingPeer):
    """Its transforms."""

    packages = ("torch-audiomentations", "torch", "torchaudio")

    def effect(self, name, settings):
        """A transform that is always on."""
        transform, arguments = ARGUMENTS[name]
        augment = getattr(torch_audiomentations, transform)(
            p=1.0, mode="per_example", sample_rate=self.arguments.sample_rate, output_type="tensor", **arguments
        ).to(self.arguments.device)
        return lambda: augment(self.waveform)


if __name__ == "__main__":
    serve(TorchAudiomentationsEffects)
