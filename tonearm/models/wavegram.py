"""Wavegram-Logmel-CNN14: CNN14 with a second map beside the log-mel's, learned from the waveform.

    waveform ─ conv 11, stride 5 ─ 3 blocks of two convolutions, each to a quarter of the samples: 128 channels
      ─ regrouped as 4 channels of 32 bands ─ a block of CNN14, time halved: the wavegram, 64 × 32 × time / 640
    map ─ MelNorm ─ CNN14's first block: 64 × 32 × frames / 2
    both, as 128 channels ─ CNN14's other blocks ─ its head

Reference:
    Kong et al.: PANNs, 2020, arXiv 1912.10211; layers as released, github.com/qiuqiangkong/audioset_tagging_cnn (MIT).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tonearm.errors import ConfigError, ShapeError
from tonearm.models.network import System
from tonearm.models.panns import CHANNELS, ConvBlock, Pann, conv_blocks, pann_system
from tonearm.models.recomputing import Recomputed

WAVE_CHANNELS = (64, 64, 128, 128)
_STRIDE, _POOL = 5, 4  # of the first convolution, and after each block


class _WaveStem(Recomputed):
    """A convolution that keeps every fifth sample, its norm and ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, channels, 11, _STRIDE, padding=5, bias=False)
        self.norm = nn.BatchNorm1d(channels)

    def compute(self, x: Tensor) -> Tensor:
        """(batch, in_channels, time) to (batch, channels, time / 5), rounded up."""
        return functional.relu(self.norm(self.conv(x)), inplace=True)


class _WaveBlock(Recomputed):
    """Two convolutions of three samples, the second reaching twice as far, each with norm and ReLU; max pooling."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(in_channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm1d(channels)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=2, dilation=2, bias=False)
        self.norm2 = nn.BatchNorm1d(channels)

    def compute(self, x: Tensor) -> Tensor:
        """(batch, in_channels, time) to (batch, channels, time / 4), rounded down."""
        x = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        x = functional.relu(self.norm2(self.conv2(x)), inplace=True)
        # max_pool1d of the same would tie an exported network to the example's length
        return functional.max_pool2d(x[:, :, None], (1, _POOL))[:, :, 0]


class Wavegram(nn.Module):
    """A learned map of a waveform, (batch, channels, bands, time / 640).

    Args:
        in_channels: audio channels.
        channels: of the map.
        bands: of the map, which stand where the log-mel has its mel bands; they must divide the last of wave_channels.
        wave_channels: of the first convolution and of each block after it.

    Raises:
        ConfigError: the channels cannot be regrouped as so many bands.
    """

    def __init__(self, in_channels: int, channels: int, *, bands: int, wave_channels: Sequence[int]) -> None:
        super().__init__()
        if wave_channels[-1] % bands:
            raise ConfigError(
                f"features.n_mels: got {2 * bands}; the wavegram's {wave_channels[-1]} channels become bands, half as "
                f"many as n_mels, so half of it must divide {wave_channels[-1]}."
            )
        self.bands = bands
        self.stem = _WaveStem(in_channels, wave_channels[0])
        self.blocks = nn.Sequential(*(_WaveBlock(arriving, leaving) for arriving, leaving in pairwise(wave_channels)))
        self.last = ConvBlock(wave_channels[-1] // bands, channels, pooling=(1, 2))

    def frames(self, num_samples: int) -> int:
        """How many frames a waveform becomes before the last block halves them."""
        pooled: int = _POOL ** len(self.blocks)
        return -(-num_samples // _STRIDE) // pooled

    def forward(self, waveform: Tensor) -> Tensor:
        """The map of a (batch, in_channels, time) waveform."""
        x = self.blocks(self.stem(waveform))
        # channel c of the waveform's becomes band c % bands of the map's channel c // bands
        wavegram: Tensor = self.last(x.unflatten(1, (-1, self.bands)))
        return wavegram


class WavegramLogmelCNN14(Pann):
    """CNN14 that hears the waveform beside its log-mel map.

    The map must have a frame every 320 samples and one more, as a front-end of hop 320 that is centred gives. Halved,
    it then has as many frames as the wavegram or one more, which is filled with zeros (the release takes only lengths
    at which both are equal, and there the two give the same).

    Args:
        num_classes: scores to give.
        in_channels: audio channels.
        n_mels: mel bands, 32 or more.
        channels: that leave each block; other numbers than the published make a smaller relative.
        wave_channels: of the wavegram's convolutions, likewise.

    Raises:
        ConfigError: a number of mel bands that the wavegram cannot match.
    """

    takes_waveform = True

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        n_mels: int = 64,
        channels: Sequence[int] = CHANNELS,
        wave_channels: Sequence[int] = WAVE_CHANNELS,
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            n_mels=n_mels,
            halvings=len(channels) - 1,
            channels=channels[-1],
        )
        self.wavegram = Wavegram(in_channels, channels[0], bands=n_mels // 2, wave_channels=wave_channels)
        self.blocks = conv_blocks(in_channels, channels, joining=channels[0])
        self.start_weights()

    def forward(self, log_mel: Tensor, waveform: Tensor) -> Tensor:  # type: ignore[override]
        """Scores (logits), (batch, num_classes).

        Args:
            log_mel: (batch, in_channels, n_mels, frames).
            waveform: (batch, in_channels, time), what log_mel was made of.

        Raises:
            ShapeError: other shapes, too few frames, or a waveform of another length than the map's.
        """
        self.check_map(log_mel)
        self._check_waveform(waveform, log_mel)
        first, *others = self.blocks
        x = first(self.input_norm(log_mel))
        # One frame of zeros would do; with two the cut always shortens, and export need not know whether it does.
        wavegram = functional.pad(self.wavegram(waveform), (0, 2))[..., : x.shape[3]]
        x = torch.cat((x, wavegram), dim=1)
        for block in others:
            x = block(x)
        return self.classify(x)

    def _check_waveform(self, waveform: Tensor, log_mel: Tensor) -> None:
        batch, frames = log_mel.shape[0], log_mel.shape[3]
        if waveform.dim() != 3 or waveform.shape[0] != batch or waveform.shape[1] != self.in_channels:
            raise ShapeError(
                f"waveform: got {tuple(waveform.shape)}; beside a log_mel of {tuple(log_mel.shape)} it may be "
                f"({batch}, {self.in_channels}, time)."
            )
        heard = self.wavegram.frames(waveform.shape[2])
        if not heard <= frames <= heard + 1:
            raise ShapeError(
                f"waveform: got {waveform.shape[2]} samples, of which the wavegram makes {heard} frames, beside a "
                f"log_mel of {frames}; it may be {heard} or {heard + 1}: features.hop_length 320 with padding, of the "
                "same clips."
            )


SYSTEMS: tuple[System, ...] = (
    pann_system(
        "wavegram-logmel-cnn14",
        WavegramLogmelCNN14,
        notes=("Clips of any length: where the wavegram is a frame short, it is filled with zeros.",),
    ),
)
