"""The recurrent networks of the seed's ESC-50 project.

    seed-lstm      frames ─ LSTM 64 ─ its last state ─ linear
    seed-crnn-a    map ─ convolution 5 × 20, stride 2 × 8 ─ 2 GRUs 64 ─ mean over time weighted by attention ─ linear

Reference:
    Димитров: Описание работы, 2022, sections 3.3 and 3.4; the second after Shan et al.: Attention-based end-to-end
    models for small-footprint keyword spotting, 2018, arXiv 1803.10916. What was mended: docs/design/seed-systems.md.
"""

import torch
from torch import Tensor, nn

from tonearm.models.layers import ToFrames
from tonearm.models.network import Network, System
from tonearm.models.recurrence import Recurrence
from tonearm.models.seed_convnets import check_mels, seed_system


class LSTMNet(Network):
    """An LSTM over the frames of the map; the state after the last one is scored.

    Args:
        num_classes, in_channels, n_mels: of scores and maps.
        hidden_size: of the LSTM's state.
    """

    def __init__(self, *, num_classes: int, in_channels: int = 1, n_mels: int = 64, hidden_size: int = 64) -> None:
        super().__init__(in_channels=in_channels, n_mels=n_mels)
        self.frames = ToFrames()
        self.recurrence = Recurrence("LSTM", in_channels * n_mels, hidden_size)
        self.head = nn.Linear(hidden_size, num_classes)

    def forward(self, log_mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Scores (logits), (batch, num_classes), of a (batch, in_channels, n_mels, time) map.

        Args:
            log_mel: the map.
            lengths: (batch,) integers from 1 to time: frames of each clip, those behind them being padding; None: all
                frames are sound.

        Raises:
            ShapeError: another shape.
        """
        self.check_map(log_mel)
        return self.scores(log_mel, lengths)

    def scores(self, log_mel: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits of the state after the last frame, or that of each clip's length."""
        states = self.recurrence(self.frames(log_mel).transpose(1, 2))
        if lengths is None:
            last = states[:, -1]
        else:
            last = states.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2])).squeeze(1)
        scores: Tensor = self.head(last)
        return scores


class Attention(nn.Module):
    """The mean of frames weighted by what a small network makes of each."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(features, features), nn.Tanh(), nn.Linear(features, 1))

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, time, features) to (batch, features); float32."""
        weights = torch.softmax(self.energy(frames).float(), dim=1)
        return (frames.float() * weights).sum(dim=1)


class CRNNA(Network):
    """A strided convolution, GRUs over time and attention.

    Args:
        num_classes, in_channels, n_mels: of scores and maps; n_mels at least 5.
        channels: of the convolution.
        hidden_size: of each direction of each GRU.
        bidirectional: GRUs of both directions; the attention then has twice the features.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        n_mels: int = 64,
        channels: int = 8,
        hidden_size: int = 64,
        bidirectional: bool = False,
    ) -> None:
        kernel, stride = (5, 20), (2, 8)
        super().__init__(in_channels=in_channels, n_mels=n_mels, min_frames=kernel[1])
        check_mels(n_mels, kernel[0], "seed-crnn-a")
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride)
        self.frames = ToFrames()
        first = Recurrence(
            "GRU", channels * ((n_mels - kernel[0]) // stride[0] + 1), hidden_size, bidirectional=bidirectional
        )
        second = Recurrence("GRU", first.out_features, hidden_size, bidirectional=bidirectional)
        self.recurrence = nn.Sequential(first, nn.Dropout(0.1), second)
        self.attention = Attention(second.out_features)
        self.head = nn.Linear(second.out_features, num_classes)

    def scores(self, log_mel: Tensor) -> Tensor:
        """Logits."""
        states = self.recurrence(self.frames(self.conv(log_mel)).transpose(1, 2))
        scores: Tensor = self.head(self.attention(states))
        return scores


SYSTEMS: tuple[System, ...] = (
    seed_system("seed-lstm", LSTMNet, "a clip's length may be left out, which the listing needs", section="3.3"),
    seed_system("seed-crnn-a", CRNNA, "the attention also fits GRUs of both directions", section="3.4"),
)
