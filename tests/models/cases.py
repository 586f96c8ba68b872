"""Every kind of network in a reduced form, for the tests that hold for all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from tonearm.config import FeaturesConfig, ModelConfig
from tonearm.models import find_system
from tonearm.models.blocks import build_blocks
from tonearm.models.gated_cnn import GatedCNN
from tonearm.models.mobilenet import MobileNet
from tonearm.models.network import Network
from tonearm.models.panns import CNN14, ResNet38
from tonearm.models.se_resnet import SEResNet
from tonearm.models.seed_convnets import AdvancedModel, SimpleModel
from tonearm.models.seed_recurrent import CRNNA, LSTMNet
from tonearm.models.vgg import VGG19
from tonearm.models.wavegram import WavegramLogmelCNN14
from tonearm.models.weak_features import WeakFeatures
from tonearm.strict_model import check

BLOCKS = check(
    ModelConfig,
    {
        "res_block": {"activation": "gelu"},
        "blocks": [
            {"res": [8, 16]},
            {"activation": "relu"},
            {"max_pool": {"kernel_size": [4, 4]}},
            {"res": [16, 32]},
            {"drop": {"drop_probability": 0.1, "block_size": [3, 3]}},
            {"activation": "lrelu"},
            {"dropout": 0.1},
            {"pooling": {"mode": "sum"}},
        ],
    },
    where="test",
)


@dataclass(frozen=True)
class Case:
    """A reduced network and the front-end of the system that it is reduced from.

    Attributes:
        build: called with num_classes, and perhaps in_channels, by keyword.
        features, sample_rate: of the system.
        learning_rate: at which Adam fits 32 clips in 100 steps.
        bf16: how far scores in bfloat16 may be off, relative to the largest: twice what was seen, untrained.
    """

    build: Callable[..., Network]
    features: FeaturesConfig
    sample_rate: int
    learning_rate: float = 3e-3
    bf16: float = 0.13


def _of(
    system: str,
    build: Callable[..., Network],
    *,
    learning_rate: float = 3e-3,
    bf16: float = 0.13,
    hop_length: int | None = None,
) -> Case:
    """``hop_length`` instead of the system's own, where a second has too few frames for it."""
    found = find_system(system)
    features = found.features.model_copy(update={"hop_length": hop_length or found.features.hop_length})
    return Case(partial(build, n_mels=features.n_mels), features, found.sample_rate, learning_rate, bf16)


CASES: dict[str, Case] = {
    "blocks": Case(
        partial(build_blocks, BLOCKS, n_mels=64),
        FeaturesConfig(n_fft=2048, win_length=2048, hop_length=1024, n_mels=64),
        44_100,
    ),
    "se-resnet": _of("se-resnet-m", partial(SEResNet, width=8)),
    "erann": _of("erann-1x4-1", find_system("erann-1x4-1").build),
    "cnn14": _of("cnn14", partial(CNN14, channels=(8, 16, 32, 64))),
    "cnn14-128": _of("cnn14-128", partial(CNN14, channels=(8, 16, 32, 64))),
    "resnet38": _of("resnet38", partial(ResNet38, channels=(8, 16, 32, 64, 64), depths=(1, 1, 2, 1))),
    "wavegram": _of("wavegram-logmel-cnn14", partial(WavegramLogmelCNN14, channels=(8, 16, 32, 64))),
    "gated-cnn": _of("gated-cnn", partial(GatedCNN, channels=16, hidden_size=16)),
    "gated-cnn-half": _of(
        "gated-cnn-half", partial(GatedCNN, channels=16, hidden_size=32, gated_recurrence=False), learning_rate=2e-2
    ),
    "mobilenet": _of("mobilenet-fsd2019", partial(MobileNet, width=4, window_frames=40), bf16=0.5),
    "weak-features": _of("weak-features", partial(WeakFeatures, width=8), bf16=0.5, hop_length=256),
    "seed-simple": _of("seed-simple", partial(SimpleModel, num_frames=172, channels=4)),
    "seed-advanced": _of(
        "seed-advanced", partial(AdvancedModel, num_frames=276), learning_rate=4e-2, bf16=0.25, hop_length=160
    ),
    "seed-lstm": _of("seed-lstm", LSTMNet, learning_rate=2e-2),
    "seed-crnn-a": _of("seed-crnn-a", CRNNA),
    "seed-vgg19": _of("seed-vgg19", partial(VGG19, width=16), learning_rate=3e-4),
    "seed-github": _of("seed-github", partial(WeakFeatures, width=4, num_frames=172), learning_rate=3e-2, bf16=0.25),
}


def inputs(case: Case, net: Network, *, batch: int = 2, frames: int | None = None, seed: int = 0) -> tuple[Tensor, ...]:
    """Maps of about the level of a recording's, and waveforms of that length where the network hears them."""
    generator = torch.Generator().manual_seed(seed)
    frames = max(net.min_frames, 50) if frames is None else frames
    log_mel = 10 * torch.randn(batch, net.in_channels, net.n_mels, frames, generator=generator) - 20
    if not net.takes_waveform:
        return (log_mel,)
    num_samples = (frames - 1) * case.features.hop_length
    return log_mel, torch.randn(batch, net.in_channels, num_samples, generator=generator) / 10
