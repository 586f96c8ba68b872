"""What every network here is, and what a named system is: a network together with what it hears."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from tonearm.config import FeaturesConfig
from tonearm.errors import ShapeError


class Network(nn.Module):
    """Log-mel maps in, one score (logit) a class out.

    A subclass writes :meth:`scores`, and :meth:`explain_short` if it has more to say about a clip that is too short.

    Attributes:
        in_channels, n_mels: of the maps it takes.
        min_frames: the fewest frames it takes.
        class_layer: dotted name of the layer that gives the scores, an nn.Linear or a convolution of width 1; what
            stands before it is the body, which transfer learning keeps.
        takes_waveform: whether it hears the waveform beside its map.
    """

    takes_waveform: ClassVar[bool] = False
    class_layer: str = "head"

    def __init__(self, *, in_channels: int, n_mels: int, min_frames: int = 1) -> None:
        super().__init__()
        self.in_channels, self.n_mels, self.min_frames = in_channels, n_mels, min_frames

    def forward(self, log_mel: Tensor) -> Tensor:
        """Scores (logits), (batch, num_classes), of a (batch, in_channels, n_mels, time) map.

        Raises:
            ShapeError: another shape, or fewer than ``min_frames`` frames.
        """
        self.check_map(log_mel)
        return self.scores(log_mel)

    def scores(self, log_mel: Tensor) -> Tensor:
        """What the network makes of a map of the right shape."""
        raise NotImplementedError

    def check_map(self, log_mel: Tensor) -> None:
        """Refuse what :meth:`scores` cannot take."""
        if log_mel.dim() != 4 or log_mel.shape[1:3] != (self.in_channels, self.n_mels):
            raise ShapeError(
                f"log_mel: got {tuple(log_mel.shape)}; it may be (batch, {self.in_channels}, {self.n_mels}, time)."
            )
        if log_mel.shape[3] < self.min_frames:
            raise ShapeError(self.explain_short(log_mel.shape[3]))

    def explain_short(self, frames: int) -> str:
        """Why a clip of ``frames`` frames is too short, and what helps."""
        return (
            f"log_mel has {frames} frames; {type(self).__name__} needs at least {self.min_frames}: longer clips or a "
            "shorter features.hop_length."
        )

    @property
    def num_classes(self) -> int:
        """How many scores it gives."""
        layer = self.get_submodule(self.class_layer)
        return int(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)  # type: ignore[arg-type]

    def replace_class_layer(self, num_classes: int) -> None:
        """Give the network a new class layer with random weights, for other classes than it was trained on."""
        old = self.get_submodule(self.class_layer)
        weight, has_bias = next(old.parameters()), old.bias is not None
        options = {"bias": has_bias, "device": weight.device, "dtype": weight.dtype}
        if isinstance(old, nn.Linear):
            new: nn.Module = nn.Linear(old.in_features, num_classes, **options)  # type: ignore[arg-type]
        elif isinstance(old, nn.Conv1d | nn.Conv2d) and set(old.kernel_size) == {1}:
            new = type(old)(old.in_channels, num_classes, 1, **options)  # type: ignore[arg-type]
        else:
            raise TypeError(f"{self.class_layer} is {old}; a class layer is linear or a convolution of width 1")
        self.set_submodule(self.class_layer, new.train(old.training))


Build = Callable[..., Network]  # (num_classes=, in_channels=, n_mels=)


@dataclass(frozen=True)
class System:
    """A network that can be built by its name, with the front-end it was made for.

    Attributes:
        name: what users type.
        build: called with num_classes, in_channels and n_mels, all by keyword.
        features: its front-end.
        sample_rate: Hz that ``features`` are meant for.
        num_classes: of the dataset that its printed numbers are for.
        source: authors, title, year; where the numbers stand.
        notes: where ours deviates from the source, one sentence each.
        load_published: puts the weights of a published checkpoint, a file, into a network of this system, whose class
            layer keeps its own where the number of classes differs; None where nothing is published.
    """

    name: str
    build: Build
    features: FeaturesConfig
    sample_rate: int
    num_classes: int
    source: str
    notes: tuple[str, ...] = ()
    load_published: Callable[[Network, Path], None] | None = field(default=None, repr=False)
