"""Augment what a plain DataLoader yields: whole batches, on the device where the model is. Needs torch alone.

python examples/augment_with_a_dataloader.py
"""

import torch
from torch.utils.data import DataLoader, TensorDataset

from tonearm.gpu_augment import Chain, Noise, OneOf, Reverb, TimeShiftStretch

device = "cuda" if torch.cuda.is_available() else "cpu"

# Stand-ins for your recordings: 64 clips of a second at 16 kHz, (clip, channel, time), and their classes.
waveforms = 0.1 * torch.randn(64, 1, 16_000)
classes = torch.randint(10, (64,))
loader = DataLoader(TensorDataset(waveforms, classes), batch_size=16, shuffle=True)

augment = Chain(
    [
        TimeShiftStretch(p=0.5),
        OneOf([Noise(p=1.0, min_snr_db=5), Reverb(p=1.0, sample_rate=16_000)], p=0.7),
    ]
)

for waveform, _ in loader:
    waveform = augment(waveform.to(device))
    print(tuple(waveform.shape), waveform.device.type)
