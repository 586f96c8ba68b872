"""Two networks on one body of 3 × 3 convolutions and max pooling: the weak-label network of AudioSet, and the seed's.

    body           5 times: 2 convolutions, max pooling 2 × 2; 16, 32, 64, 128, 256 channels ─ convolution 512
    weak-features  ─ max pooling ─ convolution 1024, 2 × 2 ─ a score a class and cell ─ mean of the cells' probabilities
    seed-github    ─ convolution 1024, 2 × 2 ─ a score a class and cell ─ sigmoid ─ flatten ─ linear

Reference:
    Kumar, Khadkevich, Fügen: Knowledge transfer from weakly labeled audio using convolutional neural network for sound
    events and scenes, 2018, arXiv 1711.01369; github.com/anuragkr90/weak_feature_extractor. Димитров: Описание работы,
    2022, section 3.6. docs/design/seed-systems.md.
"""

from functools import partial

from torch import Tensor, nn

from tonearm.config import FeaturesConfig
from tonearm.models.adaptive import adaptive_average
from tonearm.models.network import Network, System
from tonearm.models.probabilities import logit_of_mean
from tonearm.models.recomputing import Recomputed
from tonearm.models.seed_convnets import SEED_FRAMES, check_mels, seed_system


class _ConvBlock(Recomputed):
    """Convolutions with norm and ReLU, each of ``channels``."""

    def __init__(self, in_channels: int, channels: int, *, count: int, kernel_size: int = 3) -> None:
        super().__init__()
        padding = kernel_size // 2 if kernel_size % 2 else 0
        layers: list[nn.Module] = []
        for place in range(count):
            arriving = channels if place else in_channels
            layers += [nn.Conv2d(arriving, channels, kernel_size, padding=padding), nn.BatchNorm2d(channels)]
            layers.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*layers)

    def compute(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class WeakFeatures(Network):
    """The network of the module's docstring.

    Args:
        num_classes, in_channels, n_mels: of scores and maps; n_mels at least 128, or 64 with ``num_frames``.
        width: channels of the first convolution; all others are multiples.
        num_frames: None: the clip's probability is the mean of the cells', and any length is alike. A number: the
            seed's form, made for clips of so many frames; the cells' probabilities, averaged or repeated in time to as
            many as such a clip has, are flattened before a linear layer.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        n_mels: int = 128,
        width: int = 16,
        num_frames: int | None = None,
    ) -> None:
        flattened = num_frames is not None
        shorter = 2 ** (5 if flattened else 6)  # what the poolings divide by
        fewest = 2 * shorter  # the last kernel is 2 × 2
        super().__init__(in_channels=in_channels, n_mels=n_mels, min_frames=fewest)
        check_mels(n_mels, fewest, "seed-github" if flattened else "weak-features")
        layers: list[nn.Module] = []
        arriving = in_channels
        for multiple in (1, 2, 4, 8, 16):
            layers += [_ConvBlock(arriving, multiple * width, count=2), nn.MaxPool2d(2)]
            arriving = multiple * width
        layers.append(_ConvBlock(arriving, 32 * width, count=1))
        if not flattened:
            layers.append(nn.MaxPool2d(2))
        layers.append(_ConvBlock(32 * width, 64 * width, count=1, kernel_size=2))
        self.body = nn.Sequential(*layers)
        self.cells = nn.Conv2d(64 * width, num_classes, 1)
        self.class_layer = "cells"
        self.flat_frames: int | None = None
        if num_frames is not None:
            self.flat_frames = num_frames // shorter - 1
            self.head = nn.Linear(num_classes * (n_mels // shorter - 1) * self.flat_frames, num_classes)
            self.class_layer = "head"

    def scores(self, log_mel: Tensor) -> Tensor:
        """Logits."""
        cells = self.cells(self.body(log_mel))
        if self.flat_frames is None:
            return logit_of_mean(cells.flatten(2), dim=2)
        scores: Tensor = self.head(adaptive_average(cells.sigmoid(), self.flat_frames, dim=3).flatten(1))
        return scores


SYSTEMS: tuple[System, ...] = (
    System(
        name="weak-features",
        build=WeakFeatures,
        features=FeaturesConfig(
            n_fft=1024,
            win_length=1024,
            hop_length=512,
            n_mels=128,
            mel_scale="slaney",
            mel_norm="area",
            normalize="none",
        ),
        sample_rate=44_100,
        num_classes=527,
        source="Kumar, Khadkevich, Fügen: Knowledge transfer from weakly labeled audio, 2018, arXiv 1711.01369",
        notes=("the source lifts what lies 80 dB under a clip's peak to there; here the floor is fixed",),
    ),
    seed_system(
        "seed-github",
        partial(WeakFeatures, n_mels=64, num_frames=SEED_FRAMES),
        "the sigmoid before the linear layer stays: without it two linear maps would follow one another",
        "made for 862 frames; the map of a longer or shorter clip is averaged to that size before it is flattened",
        section="3.6",
    ),
)
