"""PANNs: convolutional networks for 10-second clips, pretrained on AudioSet. CNN14 and ResNet38.

    CNN14      map ─ MelNorm ─ 5 blocks of 64 to 1024 channels, each halving mel and time ─ a block of 2048 ─ head
    ResNet38   map ─ MelNorm ─ a block of 64, halved ─ 3, 4, 6, 3 residual blocks of 64 to 512 channels, halved before
               the second, third and fourth group and after the last ─ a block of 2048 ─ head
    head       mean over mel ─ mean + maximum over time ─ dropout ─ linear ─ ReLU ─ dropout ─ class layer

The wavegram's network is in tonearm.models.wavegram, the published weights in tonearm.models.panns_checkpoints.

Reference:
    Kong, Cao, Iqbal, Wang, Wang, Plumbley: PANNs: Large-Scale Pretrained Audio Neural Networks for Audio Pattern
    Recognition, 2020, arXiv 1912.10211; layers as released, github.com/qiuqiangkong/audioset_tagging_cnn (MIT).
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError
from tonearm.models.layers import MelNorm, pool
from tonearm.models.network import Build, Network, System
from tonearm.models.panns_checkpoints import load_published
from tonearm.models.recomputing import Recomputed

CHANNELS = (64, 128, 256, 512, 1024, 2048)
SAMPLE_RATE = 32_000
FEATURES = FeaturesConfig(
    n_fft=1024,
    win_length=1024,
    hop_length=320,
    n_mels=64,
    f_min=50.0,
    f_max=14_000.0,
    mel_scale="slaney",
    mel_norm="area",
    normalize="none",  # MelNorm does it
)
_SOURCE = (
    "Kong, Cao, Iqbal, Wang, Wang, Plumbley: PANNs, 2020, arXiv 1912.10211; parameters as in Verbitskiy, "
    "Vyshegorodtsev: ERANNs, 2021, table 4"
)
_NOTES = (
    "The class layer gives logits; the release follows it with a sigmoid.",
    "The dropout before the class layer, which the release has in transfer learning alone, is there in all training.",
    "SpecAugment and mixup, which the release has built in after the first norm, are effects of the configuration.",
)


class ConvBlock(Recomputed):
    """Two 3×3 convolutions, each with its norm and ReLU, then average pooling and dropout.

    Args:
        in_channels: that arrive.
        channels: that leave.
        pooling: (mel, time) cells that become one.
    """

    def __init__(self, in_channels: int, channels: int, *, pooling: tuple[int, int] = (2, 2)) -> None:
        super().__init__()
        self.pooling = pooling
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def compute(self, x: Tensor) -> Tensor:
        """(batch, in_channels, mel, time) to (batch, channels, mel / pooling, time / pooling), rounded down."""
        x = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        x = functional.relu(self.norm2(self.conv2(x)), inplace=True)
        if self.pooling != (1, 1):
            x = functional.avg_pool2d(x, self.pooling)
        return functional.dropout(x, 0.2, self.training)


class ResidualBlock(Recomputed):
    """Two 3×3 convolutions with a norm each beside a shortcut, after average pooling where the block halves the map.

        x ─ (pool) ─ conv ─ norm ─ ReLU ─ dropout ─ conv ─ norm ─ (+) ─ ReLU
                 └───────── conv 1×1 ─ norm, where channels change ┘

    The last norm's weight begins at 0, so that a new block is its shortcut.

    Args:
        in_channels: that arrive.
        channels: that leave.
        halve: whether mel and time are halved first.
    """

    def __init__(self, in_channels: int, channels: int, *, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm2.weight)
        self.shortcut = (
            nn.Sequential(nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
            if in_channels != channels or halve
            else nn.Identity()
        )

    def compute(self, x: Tensor) -> Tensor:
        """(batch, in_channels, mel, time) to (batch, channels, mel, time), each halved or not."""
        if self.halve:
            x = functional.avg_pool2d(x, 2)
        out = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        out = functional.dropout(out, 0.1, self.training)
        return functional.relu(self.norm2(self.conv2(out)) + self.shortcut(x))


class Pann(Network):
    """What all PANNs here share: the norm at the input, the head at the end, how weights begin.

    Args:
        num_classes, in_channels, n_mels: see :class:`Network`.
        halvings: how often mel and time are halved on the way.
        channels: that arrive at the head.

    Raises:
        ConfigError: too few mel bands to be halved so often.
    """

    def __init__(self, *, num_classes: int, in_channels: int, n_mels: int, halvings: int, channels: int) -> None:
        super().__init__(in_channels=in_channels, n_mels=n_mels, min_frames=2**halvings)
        if n_mels < 2**halvings:
            raise ConfigError(
                f"features.n_mels: got {n_mels}; {type(self).__name__} halves the mel axis {halvings} times, so it may "
                f"be {2**halvings} or more."
            )
        self.input_norm = MelNorm(n_mels)
        self.embedding = nn.Linear(channels, channels)
        self.head = nn.Linear(channels, num_classes)

    def classify(self, x: Tensor) -> Tensor:
        """Scores, (batch, num_classes), of the last map (batch, channels, mel, time)."""
        x = pool(pool(x, mode="avg", dim=(2,)), mode="sum", dim=(2,))
        x = functional.dropout(x, 0.5, self.training)
        x = functional.relu(self.embedding(x), inplace=True)
        scores: Tensor = self.head(functional.dropout(x, 0.5, self.training))
        return scores

    def start_weights(self) -> None:
        """Give convolutions and linear layers Xavier's uniform weights and no bias; subclasses call it when built."""
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def conv_blocks(in_channels: int, channels: Sequence[int], *, joining: int = 0) -> nn.ModuleList:
    """CNN14's blocks, all but the last halving the map; ``joining`` channels come in after the first."""
    blocks = [ConvBlock(in_channels, channels[0])]
    for place, (arriving, leaving) in enumerate(pairwise(channels), start=1):
        last = place == len(channels) - 1
        blocks.append(ConvBlock(arriving + (joining if place == 1 else 0), leaving, pooling=(1, 1) if last else (2, 2)))
    return nn.ModuleList(blocks)


class CNN14(Pann):
    """Six blocks of two convolutions each.

    Args:
        num_classes: scores to give.
        in_channels: audio channels.
        n_mels: mel bands, 32 or more.
        channels: that leave each block, two or more of them; other numbers than the published make a smaller relative.

    Raises:
        ConfigError: too few mel bands.
    """

    def __init__(
        self, *, num_classes: int, in_channels: int = 1, n_mels: int = 64, channels: Sequence[int] = CHANNELS
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            n_mels=n_mels,
            halvings=len(channels) - 1,
            channels=channels[-1],
        )
        self.blocks = conv_blocks(in_channels, channels)
        self.start_weights()

    def scores(self, log_mel: Tensor) -> Tensor:
        """Scores of a map."""
        x = self.input_norm(log_mel)
        for block in self.blocks:
            x = block(x)
        return self.classify(x)


class ResNet38(Pann):
    """Sixteen residual blocks in four groups between two blocks of two convolutions each.

    Args:
        num_classes: scores to give.
        in_channels: audio channels.
        n_mels: mel bands, 32 or more.
        channels: that leave each group, and the last block; the first block has as many as the first group.
        depths: residual blocks of each group.

    Raises:
        ConfigError: too few mel bands.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        n_mels: int = 64,
        channels: Sequence[int] = (64, 128, 256, 512, 2048),
        depths: Sequence[int] = (3, 4, 6, 3),
    ) -> None:
        super().__init__(
            num_classes=num_classes,
            in_channels=in_channels,
            n_mels=n_mels,
            halvings=len(depths) + 1,
            channels=channels[-1],
        )
        self.first = ConvBlock(in_channels, channels[0])
        groups, arriving = [], channels[0]
        for place, (leaving, depth) in enumerate(zip(channels[:-1], depths, strict=True)):
            blocks = [ResidualBlock(arriving, leaving, halve=place > 0)]
            blocks += [ResidualBlock(leaving, leaving, halve=False) for _ in range(depth - 1)]
            groups.append(nn.Sequential(*blocks))
            arriving = leaving
        self.groups = nn.Sequential(*groups)
        self.last = ConvBlock(arriving, channels[-1], pooling=(1, 1))
        self.start_weights()

    def scores(self, log_mel: Tensor) -> Tensor:
        """Scores of a map."""
        x = self.groups(self.first(self.input_norm(log_mel)))
        x = functional.dropout(functional.avg_pool2d(x, 2), 0.2, self.training)
        return self.classify(self.last(x))


def pann_system(name: str, build: Build, *, n_mels: int = 64, notes: tuple[str, ...] = ()) -> System:
    """A PANN as a named system; all hear the same front-end but for the number of mel bands."""
    return System(
        name=name,
        build=partial(build, n_mels=n_mels),
        features=FEATURES.model_copy(update={"n_mels": n_mels}),
        sample_rate=SAMPLE_RATE,
        num_classes=527,
        source=_SOURCE,
        notes=_NOTES + notes,
        load_published=partial(load_published, features=FEATURES, sample_rate=SAMPLE_RATE),
    )


SYSTEMS: tuple[System, ...] = (
    pann_system("cnn14", CNN14),
    pann_system(
        "cnn14-128",
        CNN14,
        n_mels=128,
        notes=(
            "It has 80,753,743 parameters, as released: the number printed for it is that of 64 bands, and the norm "
            "of 128 bands has 128 more.",
        ),
    ),
    pann_system("resnet38", ResNet38),
)
