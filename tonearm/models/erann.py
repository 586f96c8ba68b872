"""ERANN: residual networks that shorten the time axis early, in proportion to the length of the clips.

ERANN-{tc}x{tm}-{W} is meant for crops of tc seconds; its strides in time multiply to 16·tm, those in mel to 16; W
widens every layer. What the paper leaves open, and how it was decided: docs/design/erann.md.

    map (in_channels × mel × time) ─ MelNorm ─ zeros at the end, to a multiple of 16·tm frames
      ─ block 1: 4 TFB of 8·W channels
      ─ blocks 2 to 5: a TFB of stride (2, t_i), 3 of stride 1; 16·W, 32·W, 64·W, 128·W channels
      ─ BatchNorm ─ LeakyReLU ─ pool ─ FC1 ─ LeakyReLU ─ FC2

Reference:
    Verbitskiy, Vyshegorodtsev: ERANNs: Efficient Residual Audio Neural Networks for Audio Pattern Recognition, 2021,
    arXiv 2106.01621v1, tables 1, 2 and 4.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError
from tonearm.models.layers import MelNorm, laid_out_as, pool
from tonearm.models.network import Network, System
from tonearm.models.recomputing import Recomputed

LARGEST = 16  # of tc and of tm
TIME_STRIDES = {1: (2, 2, 2, 2), 2: (4, 2, 2, 2), 4: (4, 4, 2, 2), 8: (4, 4, 4, 2), 16: (4, 4, 4, 4)}
_KERNELS = {1: (3, 3, 1), 2: (3, 3, 1), 4: (6, 5, 2)}  # stride: equation 4's K1, K2 and P
_SLOPE = 0.01


class TimeFrequencyBlock(Recomputed):
    """The paper's TFB: two convolutions with the norm and the activation before each, beside a shortcut.

        x ─ norm ─ leaky ─ conv (stride) ─ norm ─ leaky ─ conv ─ (+)
        └────── norm ─ conv 1×1 (stride), where the shape changes ┘

    Args:
        in_channels: that arrive.
        channels: that leave.
        stride: (mel, time), each 1, 2 or 4; a map must be a multiple of it.
        first: the network's very first block, which has no norm and no activation before its first convolution.
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: tuple[int, int] = (1, 1), first: bool = False
    ) -> None:
        super().__init__()
        self.stride = stride
        mel, time = (_KERNELS[each] for each in stride)
        self.main = nn.Sequential(
            *([] if first else [nn.BatchNorm2d(in_channels), nn.LeakyReLU(_SLOPE, inplace=True)]),
            nn.Conv2d(in_channels, channels, (mel[0], time[0]), stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Conv2d(channels, channels, (mel[1], time[1]), padding=(mel[2], time[2]), bias=False),
        )
        changes = in_channels != channels or stride != (1, 1)
        self.shortcut = nn.Sequential(
            *([nn.BatchNorm2d(in_channels), nn.Conv2d(in_channels, channels, 1, bias=False)] if changes else [])
        )

    def compute(self, x: Tensor) -> Tensor:
        """(batch, in_channels, mel, time) to (batch, channels, mel / stride, time / stride)."""
        main: Tensor = self.main(x)
        if len(self.shortcut) == 0:
            return main + x
        norm, conv = self.shortcut
        # A convolution of width 1 sees one cell a stride. Given the stride itself, oneDNN's gradient of a channels_last
        # map with fewer than 16 channels writes out of bounds (uxlfoundation/oneDNN issue 6035).
        cells = norm(x)[:, :, :: self.stride[0], :: self.stride[1]]
        out: Tensor = main + conv(laid_out_as(main, cells))
        return out


class ERANN(Network):
    """The network of the paper's table 1; clips of any length.

    Args:
        time_factor: tm, the paper's "decreasing temporal size parameter": 1, 2, 4, 8 or 16.
        width: W.
        num_classes: scores to give.
        in_channels: audio channels.
        n_mels: mel bands, a multiple of 16.

    Raises:
        ConfigError: no such tm, or another number of bands.
    """

    class_layer = "fc2"

    def __init__(
        self, *, time_factor: int, width: int, num_classes: int, in_channels: int = 1, n_mels: int = 128
    ) -> None:
        if time_factor not in TIME_STRIDES:
            raise ConfigError(f"ERANN's tm: got {time_factor}; it may be {', '.join(map(str, TIME_STRIDES))}.")
        if n_mels % 16:
            raise ConfigError(
                f"features.n_mels: got {n_mels}; ERANN halves the bands four times and takes multiples of 16, as 64."
            )
        super().__init__(in_channels=in_channels, n_mels=n_mels)
        self.multiple = 16 * time_factor
        self.norm = MelNorm(n_mels)
        blocks, arriving = [], in_channels
        for number, stride in enumerate([(1, 1), *((2, time) for time in TIME_STRIDES[time_factor])]):
            channels = 2**number * 8 * width
            blocks += [TimeFrequencyBlock(arriving, channels, stride=stride, first=number == 0)]
            blocks += [TimeFrequencyBlock(channels, channels) for _ in range(3)]
            arriving = channels
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Sequential(nn.BatchNorm2d(arriving), nn.LeakyReLU(_SLOPE, inplace=True))
        self.fc1 = nn.Linear(arriving, arriving)
        self.fc2 = nn.Linear(arriving, num_classes)
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=_SLOPE, mode="fan_out", nonlinearity="leaky_relu")

    def scores(self, log_mel: Tensor) -> Tensor:
        """Scores of a map of any number of frames; the missing ones at its end are as its bands' mean."""
        x = functional.pad(self.norm(log_mel), (0, -log_mel.shape[3] % self.multiple))
        x = self.last(self.blocks(x))
        x = pool(pool(x, mode="avg", dim=(2,)), mode="sum", dim=(2,))
        scores: Tensor = self.fc2(functional.leaky_relu(self.fc1(x), _SLOPE))
        return scores


def system(crop_seconds: int, time_factor: int, width: int) -> System:
    """ERANN-{crop_seconds}x{time_factor}-{width}.

    Raises:
        ConfigError: a size that it cannot have.
    """
    name = f"erann-{crop_seconds}x{time_factor}-{width}"
    if not 1 <= crop_seconds <= LARGEST or time_factor not in TIME_STRIDES or width < 1:
        raise ConfigError(
            f"{name}: an ERANN is named erann-tc×tm-W, with tc, the seconds of its crops, from 1 to {LARGEST}, tm one "
            f"of {', '.join(map(str, TIME_STRIDES))} and W from 1."
        )
    return System(
        name=name,
        build=partial(ERANN, time_factor=time_factor, width=width),
        # the paper's: 128 frames a second, a window of four hops; the network's MelNorm does the rest
        features=FeaturesConfig(n_fft=1380, win_length=1380, hop_length=345, n_mels=128, normalize="none"),
        sample_rate=44_100,
        num_classes=527,
        source="Verbitskiy, Vyshegorodtsev: ERANNs, 2021, arXiv 2106.01621v1",
        notes=(f"for crops of {crop_seconds} s (train.duration_seconds)", "open norms decided in docs/design/erann.md"),
    )


# those whose size the paper prints, and its best on ESC-50 without pretraining; any other is built by its name as well
SYSTEMS = tuple(
    system(*sizes) for sizes in ((8, 4, 4), (8, 4, 5), (8, 1, 6), (8, 2, 6), (8, 4, 6), (8, 8, 6), (4, 2, 3))
)
