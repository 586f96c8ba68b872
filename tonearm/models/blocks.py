"""The config-driven network: a list of blocks in, a module with computed shapes out.

What flows from block to block is first a map (batch, channel, mel, time); ``pooling`` makes of it a vector
(batch, feature), or frames (batch, feature, time) that the following blocks treat one by one. The number of mel bins is
known when the network is built, the number of frames is not: any number from ``min_frames`` up will do.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor, nn

from tonearm.config import BlockConfig, MaxPoolConfig, ModelConfig, PoolingConfig, ResBlockConfig
from tonearm.errors import ConfigError
from tonearm.models.layers import (
    ACTIVATIONS,
    DropBlock,
    FramePool,
    GlobalPool,
    PoolMode,
    ResBlock,
    ToFrames,
    channels_after,
)
from tonearm.models.network import Network


@dataclass(frozen=True)
class _Arriving:
    """What arrives at a block. ``mel`` counts in a map alone; ``mode`` is the frames' pooling, for the end."""

    stage: Literal["map", "frames", "vector"]
    channels: int
    mel: int = 0
    mode: PoolMode = "avg"

    def __str__(self) -> str:
        match self.stage:
            case "map":
                return f"a map of {self.channels} channels × {self.mel} mel × time"
            case "frames":
                return f"frames of {self.channels} features"
            case "vector":
                return f"a vector of {self.channels} features"


@dataclass(frozen=True)
class _TimePool:
    """A block that shortens the time axis, for counting frames."""

    label: str
    kernel: int
    stride: int


class BlockNet(Network):
    """The network that :func:`build_blocks` builds. A clip that is too short names the block it does not fit."""

    def __init__(
        self,
        layers: "OrderedDict[str, nn.Module]",
        *,
        in_channels: int,
        n_mels: int,
        pools: Sequence[_TimePool],
        class_layer: str,
    ) -> None:
        min_frames = 1
        for pool in reversed(pools):
            min_frames = (min_frames - 1) * pool.stride + pool.kernel
        super().__init__(in_channels=in_channels, n_mels=n_mels, min_frames=min_frames)
        self._pools = tuple(pools)
        self.class_layer = f"layers.{class_layer}"
        self.layers = nn.Sequential(layers)

    def scores(self, log_mel: Tensor) -> Tensor:
        """What the blocks make of a map."""
        scores: Tensor = self.layers(log_mel)
        return scores

    def explain_short(self, frames: int) -> str:
        """At which block a clip of ``frames`` frames no longer fits."""
        arriving = frames
        for pool in self._pools:
            if arriving < pool.kernel:
                return (
                    f"{pool.label}: {arriving} of the clip's {frames} frames arrive there and its kernel takes "
                    f"{pool.kernel}. This network needs at least {self.min_frames} frames: longer clips, a shorter "
                    "features.hop_length or less pooling."
                )
            arriving = (arriving - pool.kernel) // pool.stride + 1
        return super().explain_short(frames)


def build_blocks(config: ModelConfig, *, num_classes: int, n_mels: int, in_channels: int = 1) -> BlockNet:
    """The network of a configuration, with random weights from torch's global generator.

    The class layer is the last block when that is an ``fc`` (only a pooling of frames may follow it); its size must be
    ``num_classes``. Without one a linear layer is added. If frames are left at the end, they are pooled over time.

    Args:
        config: ``model`` of a configuration.
        num_classes: scores to give.
        n_mels: mel bins of the input.
        in_channels: audio channels of the input.

    Raises:
        ConfigError: a block that does not fit what arrives at it; the message gives its place, name and that shape.

    Example:
        >>> config = ModelConfig.model_validate({"blocks": [{"res": [8, 16]}, {"pooling": {"mode": "avg"}}]})
        >>> build_blocks(config, num_classes=10, n_mels=64).layers.head
        Linear(in_features=16, out_features=10, bias=True)
    """
    arriving = _Arriving("map", in_channels, n_mels)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    pools: list[_TimePool] = []
    class_layer: str | None = None  # the label of an fc with nothing but pooling after it
    class_layer_name = "head"
    for place, block in enumerate(config.blocks):
        label = f"model.blocks.{place} ({block.name})"
        if block.max_pool is not None:
            stride = block.max_pool.stride or block.max_pool.kernel_size
            pools.append(_TimePool(label, block.max_pool.kernel_size[1], stride[1]))
        try:
            layer, leaving = _build(block, arriving, config.res_block)
        except ConfigError as error:
            raise ConfigError(f"{label}: {error}. What arrives there is {arriving}.") from error
        if block.name == "fc":
            class_layer, class_layer_name = label, f"{place}_{block.name}"
        elif block.name != "pooling":
            class_layer, class_layer_name = None, "head"
        layers[f"{place}_{block.name}"] = layer
        arriving = leaving

    if arriving.stage == "map":
        raise ConfigError(f"model.blocks end with {arriving}. Add a pooling block.")
    if class_layer is None:
        layers["head"] = _linear(arriving, num_classes)
    elif arriving.channels != num_classes:
        raise ConfigError(
            f"{class_layer}: it gives {arriving.channels} scores, but there are {num_classes} classes. Write "
            f"fc: {num_classes}, or leave this block out: a layer of the right size is added."
        )
    if arriving.stage == "frames":
        layers["pool_frames"] = FramePool(arriving.mode)
    return BlockNet(layers, in_channels=in_channels, n_mels=n_mels, pools=pools, class_layer=class_layer_name)


def _build(block: BlockConfig, arriving: _Arriving, res_block: ResBlockConfig) -> tuple[nn.Module, _Arriving]:
    """One block's layer and what leaves it."""
    if block.name in ("res", "max_pool", "drop") and arriving.stage != "map":
        raise ConfigError("it works on a map; put it before the pooling")
    if block.res is not None:
        _check_halves(res_block.activation, block.res[0])
        options = res_block.model_dump()
        layer = ResBlock(arriving.channels, block.res, **options)
        return layer, replace(arriving, channels=block.res[1])
    if block.max_pool is not None:
        return _max_pool(block.max_pool, arriving)
    if block.activation is not None:
        _check_halves(block.activation, arriving.channels)
        channels = channels_after(block.activation, arriving.channels)
        return ACTIVATIONS[block.activation](), replace(arriving, channels=channels)
    if block.drop is not None:
        _check_mel("block_size", block.drop.block_size[0], arriving)
        return DropBlock(**block.drop.model_dump()), arriving
    if block.dropout is not None:
        return (nn.Dropout2d(block.dropout) if arriving.stage == "map" else nn.Dropout(block.dropout)), arriving
    if block.pooling is not None:
        return _pooling(block.pooling, arriving)
    if arriving.stage == "map":
        raise ConfigError("it works on a vector; put a pooling block before it")
    return _linear(arriving, block.value), replace(arriving, channels=block.value)


def _max_pool(options: MaxPoolConfig, arriving: _Arriving) -> tuple[nn.Module, _Arriving]:
    kernel, stride = options.kernel_size, options.stride or options.kernel_size
    _check_mel("kernel_size", kernel[0], arriving)
    return nn.MaxPool2d(kernel, stride), replace(arriving, mel=(arriving.mel - kernel[0]) // stride[0] + 1)


def _pooling(options: PoolingConfig, arriving: _Arriving) -> tuple[nn.Module, _Arriving]:
    mode = options.mode
    if arriving.stage == "vector":
        raise ConfigError("there is nothing left to pool")
    if arriving.stage == "frames":
        if options.keep != "channel":
            raise ConfigError(f"frames are pooled over time, so keep may be channel only, got {options.keep}")
        return FramePool(mode), _Arriving("vector", arriving.channels)
    flat = arriving.channels * arriving.mel
    if options.keep == "frames":
        return ToFrames(), _Arriving("frames", flat, mode=mode)
    if options.keep == "channel_mel":
        return GlobalPool(mode, keep_mel=True), _Arriving("vector", flat)
    return GlobalPool(mode, keep_mel=False), _Arriving("vector", arriving.channels)


def _linear(arriving: _Arriving, out_features: int) -> nn.Module:
    """A linear layer; on frames a convolution of width 1, which is one on each frame."""
    if arriving.stage == "frames":
        return nn.Conv1d(arriving.channels, out_features, 1)
    return nn.Linear(arriving.channels, out_features)


def _check_mel(name: str, size: int, arriving: _Arriving) -> None:
    if size > arriving.mel:
        raise ConfigError(f"its {name} takes {size} mel")


def _check_halves(activation: str, channels: int) -> None:
    if channels_after(activation, 2) == 1 and channels % 2:
        raise ConfigError(f"{activation} halves the channels, and {channels} is odd")
