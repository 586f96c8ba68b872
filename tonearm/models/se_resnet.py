"""SE-ResNet-S and -M: small pre-activation residual networks with squeeze-and-excitation, for training from scratch.

    map (in_channels × mel × time) ─ conv 5×5 (stride 2), W channels
      ─ four blocks of W, 2·W, 4·W and 8·W channels; the last three, in -M all, halve both axes
      ─ BatchNorm ─ ReLU ─ mean + maximum over mel and time ─ dropout ─ linear

Plain 3×3 convolutions only: a depthwise one has fewer multi-adds, but takes longer than they save. What else was tried,
with numbers: docs/design/small-network.md.

References:
    He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, 2016, arXiv 1603.05027: the block.
    Hu, Shen, Sun: Squeeze-and-Excitation Networks, 2018, arXiv 1709.01507, equations 2 to 4.
    He et al.: Bag of Tricks for Image Classification with Convolutional Neural Networks, 2019, arXiv 1812.01187: the
    mean before a shortcut's convolution (section 4, ResNet-D).
    Kong et al.: PANNs, 2020, arXiv 1912.10211: mean plus maximum as pooling.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from tonearm.config import FeaturesConfig
from tonearm.models.layers import pool
from tonearm.models.network import Network, System
from tonearm.models.recomputing import Recomputed

FEWEST_SQUEEZED = 8  # channels that a squeeze keeps at least


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate between 0 and 1 that follows from the means of all channels.

    Args:
        channels: that arrive and leave; a quarter of them, but no fewer than 8, stand between.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(FEWEST_SQUEEZED, channels // 4)
        self.squeeze = nn.Linear(channels, squeezed)
        self.excite = nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        """A new map like ``x``, (batch, channels, mel, time)."""
        means = pool(x, mode="avg", dim=(2, 3)).to(x.dtype)
        gates: Tensor = self.excite(functional.relu(self.squeeze(means))).sigmoid()
        return x * gates[:, :, None, None]


class PreActivationBlock(Recomputed):
    """Two convolutions with the norm and the activation before each, and a gate, beside a shortcut.

        x ─ norm ─ relu ┬ conv 3×3 (stride) ─ norm ─ relu ─ conv 3×3 ─ SqueezeExcitation ─ (+)
                        └ mean 2×2 (stride) ─ conv 1×1 ─────────────────────────────────────┘

    Where neither the size nor the channels change, the shortcut is x itself.

    Args:
        in_channels: that arrive.
        channels: that leave.
        stride: of both axes, 1 or 2; an axis of n cells has ⌈n / stride⌉ afterwards.
    """

    def __init__(self, in_channels: int, channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.main = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            SqueezeExcitation(channels),
        )
        self.shortcut: nn.Module | None = None
        if stride != 1 or in_channels != channels:
            # A row and a column of zeros let an odd axis end in half a window, as the convolution's does; ceil_mode
            # would do the same, but does not export with a time axis of any length.
            mean = [nn.ZeroPad2d((0, stride - 1, 0, stride - 1)), nn.AvgPool2d(stride)] if stride != 1 else []
            self.shortcut = nn.Sequential(*mean, nn.Conv2d(in_channels, channels, 1, bias=False))

    def compute(self, x: Tensor) -> Tensor:
        """(batch, in_channels, mel, time) to (batch, channels, ⌈mel / stride⌉, ⌈time / stride⌉)."""
        activated = functional.relu(self.norm(x))
        out: Tensor = self.main(activated) + (x if self.shortcut is None else self.shortcut(activated))
        return out


class SEResNet(Network):
    """The network above; maps of any size.

    Args:
        width: W, channels of the first block.
        first_stride: of the first block; 1 or 2.
        dropout: before the class layer.
        num_classes: scores to give.
        in_channels: audio channels.
        n_mels: mel bands.
    """

    def __init__(
        self,
        *,
        width: int,
        first_stride: int = 1,
        dropout: float = 0.2,
        num_classes: int,
        in_channels: int = 1,
        n_mels: int = 64,
    ) -> None:
        super().__init__(in_channels=in_channels, n_mels=n_mels)
        self.stem = nn.Conv2d(in_channels, width, 5, 2, padding=2, bias=False)
        self.blocks = nn.Sequential(
            PreActivationBlock(width, width, stride=first_stride),
            PreActivationBlock(width, 2 * width, stride=2),
            PreActivationBlock(2 * width, 4 * width, stride=2),
            PreActivationBlock(4 * width, 8 * width, stride=2),
        )
        self.norm = nn.BatchNorm2d(8 * width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8 * width, num_classes)

    def scores(self, log_mel: Tensor) -> Tensor:
        """Scores of a map of any number of frames."""
        x = functional.relu(self.norm(self.blocks(self.stem(log_mel))))
        scores: Tensor = self.head(self.dropout(pool(x, mode="sum", dim=(2, 3))))
        return scores


def _system(name: str, *, width: int, features: FeaturesConfig, first_stride: int, num_classes: int) -> System:
    return System(
        name=name,
        build=partial(SEResNet, width=width, first_stride=first_stride, n_mels=features.n_mels),
        features=features,
        sample_rate=44_100,
        num_classes=num_classes,
        source=(
            "tonearm; docs/design/small-network.md; of parts by He et al. 2016 (arXiv 1603.05027) and Hu et al. 2018 "
            "(arXiv 1709.01507)"
        ),
    )


SYSTEMS: tuple[System, ...] = (
    _system(
        "se-resnet-s",
        width=16,
        features=FeaturesConfig(n_fft=2048, win_length=2048, hop_length=1024, n_mels=64),
        first_stride=1,
        num_classes=10,
    ),
    _system(
        "se-resnet-m",
        width=32,
        features=FeaturesConfig(n_fft=2048, win_length=2048, hop_length=882, n_mels=128),  # 20 ms
        first_stride=2,
        num_classes=50,
    ),
)
