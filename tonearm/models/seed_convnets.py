"""SimpleModel and AdvancedModel of the seed's ESC-50 project: convolutions, then linear layers over the whole map.

    seed-simple     3 convolutions 5 × 20 ─ max pooling 4 × 4 ─ flatten ─ 3 linear layers
    seed-advanced   3 times: 2 convolutions 5 × 20, max pooling 2 × 2 ─ flatten ─ 3 linear layers

A flattened map has one size, that of the clips it was made for (862 frames: 5 s). The map of a clip of another length
is averaged (or repeated) to that size in time just before it is flattened, so that a place in it is a place relative
to the whole clip, and nothing is cut away; at 862 frames nothing changes.

Reference:
    Димитров: Описание работы, 2022, sections 3.1 and 3.2. What was mended: docs/design/seed-systems.md.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError
from tonearm.models.adaptive import adaptive_average
from tonearm.models.network import Network, System
from tonearm.models.recomputing import Recomputed

SEED_FRAMES = 862  # of 5 s at its front-end
_KERNEL = (5, 20)  # (mel, time)
_FEATURES = FeaturesConfig(
    n_fft=1024, win_length=1024, hop_length=256, n_mels=64, log="ln", floor=1e-5, normalize="none"
)


def seed_system(name: str, build: Any, *notes: str, section: str, load_published: Any = None) -> System:
    """A system of the seed's project: ESC-50 and one front-end for all of them."""
    return System(
        name=name,
        build=build,
        features=_FEATURES,
        sample_rate=44_100,
        num_classes=50,
        source=f"Димитров: Описание работы, 2022, section {section}",
        notes=notes,
        load_published=load_published,
    )


def check_mels(n_mels: int, needed: int, network: str) -> None:
    """Refuse a map of fewer mel bands than ``network`` can shorten.

    Raises:
        ConfigError: it has fewer.
    """
    if n_mels < needed:
        raise ConfigError(f"features.n_mels: got {n_mels}; {network} needs at least {needed}.")


class _ConvReLU(Recomputed):
    """A convolution without padding and a ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, _KERNEL)

    def compute(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(x))


class _TwoConvs(Recomputed):
    """Two convolutions padded by 1, each with norm and ReLU.

    The listing uses one norm for both. Its running mean and deviation are then of a mixture that neither layer sees, so
    that evaluation does not fit training. Scale and shift are shared here as there; the statistics are each its own.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, _KERNEL, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, _KERNEL, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm2 = nn.BatchNorm2d(channels, affine=False)

    def compute(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm1(self.conv1(x)))
        scale, shift = self.norm1.weight[:, None, None], self.norm1.bias[:, None, None]
        return functional.relu(self.norm2(self.conv2(x)) * scale + shift)


class FlattenNet(Network):
    """A body of convolutions whose map is flattened; see the module's docstring.

    Args:
        body: gives a map of ``flat_frames`` frames for clips of the length that it was made for.
        linear: what follows; its last layer gives the scores.
        flat_frames: that ``linear`` expects.
        in_channels, n_mels, min_frames: of the maps it takes.
    """

    def __init__(
        self,
        body: nn.Module,
        linear: nn.Sequential,
        *,
        flat_frames: int,
        in_channels: int,
        n_mels: int,
        min_frames: int,
    ) -> None:
        super().__init__(in_channels=in_channels, n_mels=n_mels, min_frames=min_frames)
        self.body, self.linear, self.flat_frames = body, linear, flat_frames
        self.class_layer = f"linear.{len(linear) - 1}"

    def scores(self, log_mel: Tensor) -> Tensor:
        """Logits."""
        scores: Tensor = self.linear(adaptive_average(self.body(log_mel), self.flat_frames, dim=3).flatten(1))
        return scores


class SimpleModel(FlattenNet):
    """The seed's baseline.

    Args:
        num_classes, in_channels, n_mels: of scores and maps; n_mels at least 16.
        channels: of every convolution.
        num_frames: length of the clips it is made for, which sets the size of its linear layers.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        n_mels: int = 64,
        channels: int = 8,
        num_frames: int = SEED_FRAMES,
    ) -> None:
        lost = [3 * (each - 1) for each in _KERNEL]
        check_mels(n_mels, lost[0] + 4, "seed-simple")
        mel, time = (n_mels - lost[0]) // 4, (num_frames - lost[1]) // 4
        flat = channels * mel * time
        super().__init__(
            nn.Sequential(
                _ConvReLU(in_channels, channels),
                _ConvReLU(channels, channels),
                _ConvReLU(channels, channels),
                nn.MaxPool2d(4),
            ),
            nn.Sequential(
                nn.Linear(flat, flat // 4),
                nn.ReLU(),
                nn.Linear(flat // 4, flat // 64),
                nn.ReLU(),
                nn.Linear(flat // 64, num_classes),
            ),
            flat_frames=time,
            in_channels=in_channels,
            n_mels=n_mels,
            min_frames=lost[1] + 4,
        )


class AdvancedModel(FlattenNet):
    """The seed's deeper network, with norms and dropout.

    Args:
        num_classes, in_channels, n_mels: of scores and maps; n_mels at least 36.
        channels: of the first two convolutions; the next two have twice, the last two four times as many.
        num_frames: length of the clips it is made for, which sets the size of its linear layers.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        n_mels: int = 64,
        channels: int = 8,
        num_frames: int = SEED_FRAMES,
    ) -> None:
        lost = [2 * (each - 3) for each in _KERNEL]  # by the two convolutions of a block
        fewest = [1, 1]
        size = [n_mels, num_frames]
        layers: list[nn.Module] = []
        arriving = in_channels
        for multiple in (1, 2, 4):
            layers += [_TwoConvs(arriving, multiple * channels), nn.MaxPool2d(2), nn.Dropout(0.2)]
            arriving = multiple * channels
            fewest = [2 * least + gone for least, gone in zip(fewest, lost, strict=True)]
            size = [(each - gone) // 2 for each, gone in zip(size, lost, strict=True)]
        check_mels(n_mels, fewest[0], "seed-advanced")
        flat = arriving * size[0] * size[1]
        super().__init__(
            nn.Sequential(*layers),
            nn.Sequential(
                nn.Linear(flat, flat // 4),
                nn.BatchNorm1d(flat // 4),
                nn.ReLU(),
                nn.Dropout(0.2),
                nn.Linear(flat // 4, flat // 64),
                nn.BatchNorm1d(flat // 64),
                nn.ReLU(),
                nn.Dropout(0.5),
                nn.Linear(flat // 64, num_classes),
            ),
            flat_frames=size[1],
            in_channels=in_channels,
            n_mels=n_mels,
            min_frames=fewest[1],
        )


_ANY_LENGTH = "made for 862 frames; the map of a longer or shorter clip is averaged to that size before it is flattened"
SYSTEMS: tuple[System, ...] = (
    seed_system("seed-simple", SimpleModel, "no ReLU on the scores, which the listing has", _ANY_LENGTH, section="3.1"),
    seed_system(
        "seed-advanced",
        AdvancedModel,
        "each norm has running statistics of its own, where the listing's two convolutions of a block share theirs",
        _ANY_LENGTH,
        section="3.2",
    ),
)
