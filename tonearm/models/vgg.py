"""VGG19, with the keys of torchvision's, whose ImageNet weights it can begin with.

    map ─ 16 convolutions 3 × 3 with ReLU, 64 to 512 channels, in 5 stages that end with max pooling 2 × 2
        ─ average to 7 × 7 ─ flatten ─ linear 4096, 4096, num_classes

Reference:
    Simonyan, Zisserman: Very deep convolutional networks for large-scale image recognition, 2014, arXiv 1409.1556,
    table 1, E. On sound: Димитров: Описание работы, 2022, section 3.5. docs/design/seed-systems.md.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from tonearm.errors import ConfigError
from tonearm.models.adaptive import adaptive_average
from tonearm.models.network import Network, System
from tonearm.models.recomputing import Recomputed
from tonearm.models.seed_convnets import check_mels, seed_system
from tonearm.models.state_files import describe, read_state

_STAGES = ((1, 2), (2, 2), (4, 4), (8, 4), (8, 4))  # channels as a multiple of the first stage's, convolutions
_FLAT = 7  # (mel, time) of the map that is flattened
_WHERE = "Use torchvision's VGG19_Weights.IMAGENET1K_V1, https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"


class _Stage(Recomputed):
    """Some layers of a network, computed anew together.

    They stay the network's: a tuple does not register them, so that their keys are torchvision's.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.borrowed = tuple(layers)

    def compute(self, x: Tensor) -> Tensor:
        for layer in self.borrowed:
            x = layer(x)
        return x


class VGG19(Network):
    """VGG19 for maps of any number of channels and any length.

    Args:
        num_classes, in_channels, n_mels: of scores and maps; n_mels at least 32.
        width: channels of the first stage; all others, and the linear layers, are multiples.
    """

    class_layer = "classifier.6"

    def __init__(self, *, num_classes: int, in_channels: int = 1, n_mels: int = 64, width: int = 64) -> None:
        fewest = 2 ** len(_STAGES)
        super().__init__(in_channels=in_channels, n_mels=n_mels, min_frames=fewest)
        check_mels(n_mels, fewest, "seed-vgg19")
        stages: list[list[nn.Module]] = []
        arriving = in_channels
        for multiple, count in _STAGES:
            stage: list[nn.Module] = []
            for _ in range(count):
                stage += [nn.Conv2d(arriving, multiple * width, 3, padding=1), nn.ReLU(inplace=True)]
                arriving = multiple * width
            stages.append([*stage, nn.MaxPool2d(2)])
        self.features = nn.Sequential(*(layer for stage in stages for layer in stage))
        self.stages = nn.Sequential(*(_Stage(stage) for stage in stages))
        self.classifier = nn.Sequential(
            nn.Linear(arriving * _FLAT * _FLAT, 64 * width),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(64 * width, 64 * width),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(64 * width, num_classes),
        )
        for layer in self.features:
            if isinstance(layer, nn.Conv2d):  # without norms a signal only gets through 16 layers if they keep its size
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def scores(self, log_mel: Tensor) -> Tensor:
        """Logits."""
        maps = self.stages(log_mel)
        flat = adaptive_average(adaptive_average(maps, _FLAT, dim=2), _FLAT, dim=3).flatten(1)
        scores: Tensor = self.classifier(flat)
        return scores


def load_imagenet(network: Network, path: Path) -> None:
    """Put torchvision's ImageNet weights of VGG19 into a network, but for the class layer, which keeps its own.

    Where the network does not take three channels, each kernel of the first convolution is the mean of its three
    colours', the same for every channel.

    Args:
        network: a :class:`VGG19`.
        path: the file of weights, a state dict.

    Raises:
        ConfigError: the file is missing or of another network.
        RunError: it is damaged, or holds anything but weights.
    """
    given = read_state(path, where_from=f"{_WHERE}.")
    own = network.state_dict()
    kept = {f"{network.class_layer}.{name}" for name in ("weight", "bias")}
    if set(given) != set(own):
        odd = sorted(set(given) ^ set(own))
        raise ConfigError(f"weights: {path} is of another network than VGG19 ({odd[0]} differs). {_WHERE}.")
    first = "features.0.weight"
    if given[first].shape[1:2] != (3,):
        raise ConfigError(f"weights: {path} is of another network: {first} is {describe(given[first])}. {_WHERE}.")
    if network.in_channels != 3:
        mean = given[first].mean(dim=1, keepdim=True)
        given[first] = mean.expand(-1, network.in_channels, -1, -1)
    for name in given.keys() - kept:
        if given[name].shape != own[name].shape:
            got, expected = tuple(given[name].shape), tuple(own[name].shape)
            raise ConfigError(f"weights: {path} is of another network: {name} is {got}, here {expected}. {_WHERE}.")
    network.load_state_dict({name: own[name] if name in kept else given[name] for name in own})


SYSTEMS: tuple[System, ...] = (
    seed_system(
        "seed-vgg19",
        VGG19,
        "with model.weights the first convolution is the mean over three colours at first, the class layer random",
        section="3.5",
        load_published=load_imagenet,
    ),
)
