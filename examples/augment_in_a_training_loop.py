"""Augmentation inside a training loop that is not ours: mixed targets, masks on the log-mel, a resume in mid-stream.

python examples/augment_in_a_training_loop.py
"""

import torch
import torchaudio
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from tonearm.gpu_augment import Chain, Mixup, Noise, SpecAugment

SAMPLE_RATE, NUM_CLASSES = 16_000, 4
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)

on_waveforms = Chain([Noise(p=0.5), Mixup(p=0.5)], generator=torch.Generator().manual_seed(1))
on_log_mel = SpecAugment(p=0.8, freq_mask_param=8, time_mask_param=20, generator=torch.Generator().manual_seed(2))
mel = torchaudio.transforms.MelSpectrogram(SAMPLE_RATE, n_fft=512, hop_length=160, n_mels=40).to(device)
model = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, NUM_CLASSES)
).to(device)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

# Stand-ins for your data: a tone for each class.
classes = torch.arange(32) % NUM_CLASSES
seconds = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
waveforms = 0.1 * torch.sin(2 * torch.pi * 300 * (1 + classes[:, None]) * seconds)[:, None]

for epoch in range(5):
    waveform = waveforms.to(device)
    targets = one_hot(classes, NUM_CLASSES).float().to(device)  # what Mixup mixes
    lengths = torch.full((len(waveform),), SAMPLE_RATE, device=device)

    waveform, lengths, targets = on_waveforms(waveform, lengths, targets)
    log_mel = on_log_mel((mel(waveform) + 1e-6).log())
    loss = cross_entropy(model(log_mel), targets)

    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"epoch {epoch}: loss {loss.item():.3f}")

# Beside the model's, these states make a resumed run draw what this one would have drawn next.
checkpoint = {
    "model": model.state_dict(),
    "on_waveforms": on_waveforms.state_dict(),
    "on_log_mel": on_log_mel.state_dict(),
}
on_waveforms.load_state_dict(checkpoint["on_waveforms"])

on_waveforms.eval()  # the identity, for validation
assert on_waveforms(waveform, lengths, targets).waveform is waveform
