"""The gated convolutional recurrent network that won the tagging task of DCASE 2017.

    map ─ 8 gated convolutions, every second one followed by max pooling 2 × 2 (the last: mel alone)
        ─ convolution, ReLU ─ maximum over the mel axis ─ two GRUs in both directions, one gating the other
        ─ a score a class and frame ─ mean of the probabilities over the frames

Reference:
    Xu, Kong, Wang, Plumbley: Large-scale weakly supervised audio classification using gated convolutional neural
    network, 2017, arXiv 1710.00343; github.com/yongxuUSTC/dcase2017_task4_cvssp. docs/design/seed-systems.md.
"""

from functools import partial
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError
from tonearm.models.network import Network, System
from tonearm.models.probabilities import logit_of_mean
from tonearm.models.recomputing import Recomputed
from tonearm.models.recurrence import Recurrence

_POOLS = 4  # halvings of the mel axis
_NORM_EPSILON = 1e-3  # Keras'


class GatedConv(Recomputed):
    """A convolution with a norm, whose first half of channels is multiplied by the sigmoid of the second half."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels, eps=_NORM_EPSILON)

    def compute(self, x: Tensor) -> Tensor:
        """(batch, in_channels, mel, time) to (batch, channels / 2, mel, time)."""
        value, gate = self.norm(self.conv(x)).chunk(2, dim=1)
        out: Tensor = value * gate.sigmoid()
        return out


class GatedRecurrence(nn.Module):
    """Two GRUs in both directions, of which one gates the other; or the gate by itself.

    The source's gate has a sigmoid where torch's GRU has a tanh. If h is the state of one with tanh, (1 + h) / 2 is
    that of one with a sigmoid and other weights, from 0 on if h is from -1 on: torch's GRU can be either.

    Args:
        in_features: of a frame.
        hidden_size: of each direction of each GRU.
        gated: whether there is something to gate; else the gate is the output.
    """

    def __init__(self, in_features: int, hidden_size: int, *, gated: bool) -> None:
        super().__init__()
        self.values = Recurrence("GRU", in_features, hidden_size, bidirectional=True) if gated else None
        self.gates = Recurrence("GRU", in_features, hidden_size, bidirectional=True, initial_state=-1.0)

    def forward(self, frames: Tensor) -> Tensor:
        """(batch, time, in_features) to (batch, time, 2 · hidden_size) float32."""
        gates: Tensor = (1 + self.gates(frames)) / 2
        return gates if self.values is None else gates * self.values(frames)


class GatedCNN(Network):
    """The network of the module's docstring.

    Args:
        num_classes, in_channels, n_mels: of scores and maps; n_mels at least 16.
        channels: of the gated convolutions before the gate, which halves them.
        hidden_size: of each direction of each GRU; twice as many channels reach them.
        blocks: gated convolutions, 7 or 8. The released code builds 8 and forgets the last.
        gated_recurrence: see :class:`GatedRecurrence`.
        pooling: of the frames' probabilities: their mean (the source's network for tagging), or their mean weighted by
            a softmax over the classes, learnt beside them, on frames that pooling has not made fewer (its network for
            telling when a sound occurs).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        in_channels: int = 1,
        n_mels: int = 64,
        channels: int = 128,
        hidden_size: int = 128,
        blocks: Literal[7, 8] = 8,
        gated_recurrence: bool = True,
        pooling: Literal["mean", "attention"] = "mean",
    ) -> None:
        shorter = 2 if pooling == "mean" else 1
        super().__init__(in_channels=in_channels, n_mels=n_mels, min_frames=shorter ** (_POOLS - 1))
        if n_mels < 2**_POOLS:
            raise ConfigError(
                f"features.n_mels: got {n_mels}; the gated CNN halves the mel axis {_POOLS} times: at least 16."
            )
        layers: list[nn.Module] = []
        for place in range(_POOLS):
            first = GatedConv(channels // 2 if layers else in_channels, channels)
            last = place == _POOLS - 1
            layers += [first] if last and blocks == 7 else [first, GatedConv(channels // 2, channels)]
            layers.append(nn.MaxPool2d((2, 1) if last else (2, shorter)))
        frame_features = 2 * hidden_size
        self.body = nn.Sequential(*layers, nn.Conv2d(channels // 2, frame_features, 3, padding=1), nn.ReLU())
        self.recurrence = GatedRecurrence(frame_features, hidden_size, gated=gated_recurrence)
        self.head = nn.Linear(2 * hidden_size, num_classes)
        self.attention = nn.Linear(2 * hidden_size, num_classes) if pooling == "attention" else None

    def scores(self, log_mel: Tensor) -> Tensor:
        """Logits of the clip's probabilities, float32."""
        frames = self.recurrence(self.body(log_mel).amax(dim=2).transpose(1, 2))
        log_weights = None
        if self.attention is not None:
            log_weights = functional.log_softmax(self.attention(frames).float(), dim=2)
        return logit_of_mean(self.head(frames), dim=1, log_weights=log_weights)

    def replace_class_layer(self, num_classes: int) -> None:
        """The attention has a weight a class, so it is replaced as well."""
        super().replace_class_layer(num_classes)
        if self.attention is not None:
            old = self.attention.weight
            self.attention = nn.Linear(self.attention.in_features, num_classes, device=old.device, dtype=old.dtype)


# The source scales its spectrogram by 1/√(Σ window²), 0.0496, and then adds 1e-8. Standardised bands do not show the
# scale; what is added has to be as much larger.
_FEATURES = FeaturesConfig(
    n_fft=1024,
    win_length=1024,
    hop_length=664,
    n_mels=64,
    f_min=0.0,
    f_max=8000.0,
    window="hamming",
    padding="none",
    power=1,
    mel_scale="slaney",
    mel_norm="area",
    log="ln",
    offset=2.0e-7,
    normalize="band",
)
_BIASES = "torch's GRUs have two biases a gate where Keras' had one: 1,536 parameters more than the source's {:,}"
_TANH = "the gated GRU has torch's tanh, where the source has no activation and no bound"
_MEAN = "the mean of the frames' probabilities, the source's network for tagging, which has no attention"


def _system(name: str, *notes: str, num_classes: int = 17, **options: Any) -> System:
    return System(
        name=name,
        build=partial(GatedCNN, **options),
        features=_FEATURES,
        sample_rate=16_000,
        num_classes=num_classes,
        source="Xu, Kong, Wang, Plumbley: Gated convolutional neural network, 2017, arXiv 1710.00343",
        notes=notes,
    )


SYSTEMS: tuple[System, ...] = (
    _system("gated-cnn", _BIASES.format(1_262_737), _TANH, _MEAN),
    _system(
        "gated-cnn-released", _BIASES.format(1_188_753), _TANH, _MEAN, "7 of 8 blocks, as the code has it", blocks=7
    ),
    _system(
        "gated-cnn-attention",
        _BIASES.format(1_267_106),
        _TANH,
        "the attention sees the features of a frame, as in the paper, not its probabilities, as in the code",
        pooling="attention",
    ),
    _system(
        "gated-cnn-half",
        "64 channels instead of 128, and the sigmoid GRU alone, for FSDKaggle2019",
        "its front-end is not told; this is the paper's",
        num_classes=80,
        channels=64,
        gated_recurrence=False,
    ),
)
