"""The baseline of FSDKaggle2019 (DCASE 2019, task 2): MobileNet v1 on windows of one second.

    map ─ windows of 100 frames, one every 50 ─ convolution 16 ─ 13 times depthwise and pointwise, 64 to 1024
        ─ mean over mel and time ─ a score a class and window ─ mean of the windows' probabilities

Reference:
    Fonseca, Plakal, Font, Ellis, Serra: Audio tagging with noisy labels and minimal supervision, 2019, arXiv
    1906.02975; github.com/DCASE-REPO/dcase2019_task2_baseline. Howard et al.: MobileNets, 2017, arXiv 1704.04861.
"""

from torch import Tensor, nn
from torch.nn import functional

from tonearm.config import FeaturesConfig
from tonearm.models.layers import pool
from tonearm.models.network import Network, System
from tonearm.models.probabilities import logit_of_mean
from tonearm.models.recomputing import Recomputed

# (stride, channels as a multiple of the first convolution's)
_BLOCKS = ((1, 4), (2, 8), (1, 8), (2, 16), (1, 16), (2, 32), *((1, 32),) * 5, (2, 64), (1, 64))
_NORM_EPSILON = 1e-3  # the source's


def _same_padding(size: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis for TensorFlow's padding "SAME" under a kernel of 3: none before an even axis.

    An even axis is halved by windows that begin at 0, 2, 4, …; padded alike on both sides they would begin at -1.
    """
    return (0, 1) if stride == 2 and size % 2 == 0 else (1, 1)


class SeparableConv(Recomputed):
    """A depthwise and a pointwise convolution, each with norm and ReLU.

    Args:
        in_channels: that arrive.
        channels: that leave.
        size: (mel, time) of the map that arrives.
        stride: of the depthwise one, along both axes.
    """

    def __init__(self, in_channels: int, channels: int, *, size: tuple[int, int], stride: int) -> None:
        super().__init__()
        mel, time = (_same_padding(each, stride) for each in size)
        self.layers = nn.Sequential(
            nn.ZeroPad2d((*time, *mel)),
            nn.Conv2d(in_channels, in_channels, 3, stride, groups=in_channels, bias=False),
            nn.BatchNorm2d(in_channels, eps=_NORM_EPSILON),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels, eps=_NORM_EPSILON),
            nn.ReLU(inplace=True),
        )

    def compute(self, x: Tensor) -> Tensor:
        """(batch, in_channels, mel, time) to (batch, channels, ⌈mel / stride⌉, ⌈time / stride⌉)."""
        out: Tensor = self.layers(x)
        return out


class MobileNet(Network):
    """MobileNet v1 on overlapping windows of a clip; the clip's probability is the mean of its windows'.

    All windows of a batch run as one batch of their own. They begin every ``hop_frames`` frames as long as there is
    something to hear; the last ones are filled up with zeros, as the source fills them, and count like the others. What
    comes out is the logit of that mean (:func:`logit_of_mean`), so a loss on it trains the mean; the source trained
    each window on the labels of its clip, which crops of one second do here as well.

    Args:
        num_classes, in_channels, n_mels: of scores and maps.
        width: channels of the first convolution; all others are multiples.
        window_frames, hop_frames: length of a window, and from one to the next.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        n_mels: int = 96,
        width: int = 16,
        window_frames: int = 100,
        hop_frames: int = 50,
    ) -> None:
        super().__init__(in_channels=in_channels, n_mels=n_mels)
        self.window_frames, self.hop_frames = window_frames, hop_frames
        layers: list[nn.Module] = [
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width, eps=_NORM_EPSILON),
            nn.ReLU(inplace=True),
        ]
        size, arriving = (n_mels, window_frames), width
        for stride, multiple in _BLOCKS:
            layers.append(SeparableConv(arriving, multiple * width, size=size, stride=stride))
            size, arriving = (-(-size[0] // stride), -(-size[1] // stride)), multiple * width
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(arriving, num_classes)

    def windows(self, log_mel: Tensor) -> Tensor:
        """(batch, in_channels, n_mels, time) to (batch · window, in_channels, n_mels, window_frames)."""
        frames = log_mel.shape[3]
        count = (frames + self.hop_frames - 1) // self.hop_frames
        missing = (count - 1) * self.hop_frames + self.window_frames - frames
        cut = functional.pad(log_mel, (0, missing)).unfold(3, self.window_frames, self.hop_frames)
        return cut.permute(0, 3, 1, 2, 4).flatten(0, 1)

    def scores(self, log_mel: Tensor) -> Tensor:
        """Logits of the means of the windows' probabilities, float32."""
        maps = self.body(self.windows(log_mel))
        scores = self.head(pool(maps, mode="avg", dim=(2, 3)))
        return logit_of_mean(scores.unflatten(0, (log_mel.shape[0], -1)), dim=1)


SYSTEMS: tuple[System, ...] = (
    System(
        name="mobilenet-fsd2019",
        build=MobileNet,
        features=FeaturesConfig(
            n_fft=2048,
            win_length=1102,  # 25 ms
            hop_length=441,
            n_mels=96,
            f_min=20.0,
            f_max=20_000.0,
            padding="none",
            power=1,
            log="ln",
            offset=0.001,
            normalize="none",
        ),
        sample_rate=44_100,
        num_classes=80,
        source="Fonseca et al.: Audio tagging with noisy labels, 2019, arXiv 1906.02975, baseline",
        notes=(
            "trained on whole clips; for the source's training of single windows, train.duration_seconds: 1",
            "the mean over a window's map, the code's default; the submitted run took the maximum, with dropout",
            "triangles of the mel bands are straight in Hz; TensorFlow's are straight in mel",
        ),
    ),
)
