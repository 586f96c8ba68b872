"""The layers that the config-driven network has and torch.nn has not. Maps are (batch, channel, mel, time)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tonearm.gpu_augment.functional.dropblock import drop_block_features, dropblock_gamma
from tonearm.models.recomputing import Recomputed

PoolMode = Literal["avg", "max", "sum", "mul"]


class SwiGLU(nn.Module):
    """silu(a) · b, where a and b are the halves of the channel axis (axis 1): the output has half the channels.

    Reference:
        Shazeer: GLU Variants Improve Transformer, 2020, equation 5, with the two linear maps left to the layer before.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Half of the channels: (batch, channel, …) to (batch, channel / 2, …)."""
        gate, value = x.chunk(2, dim=1)
        return F.silu(gate) * value


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "lrelu": nn.LeakyReLU,
    "swiglu": SwiGLU,
}


def channels_after(activation: str, channels: int) -> int:
    """How many of ``channels`` (an even number for swiglu) are left after an activation."""
    return channels // 2 if activation == "swiglu" else channels


def same_conv(in_channels: int, out_channels: int, kernel_size: tuple[int, int]) -> nn.Module:
    """A convolution without bias whose output is as large as its input; an even kernel pads one more at the end."""
    mel, time = kernel_size
    if mel % 2 and time % 2:
        return nn.Conv2d(in_channels, out_channels, kernel_size, padding=(mel // 2, time // 2), bias=False)
    padding = ((time - 1) // 2, time // 2, (mel - 1) // 2, mel // 2)
    return nn.Sequential(nn.ZeroPad2d(padding), nn.Conv2d(in_channels, out_channels, kernel_size, bias=False))


class DropBlock(nn.Module):
    """The DropBlock layer: drops rectangles of each channel's map and scales the rest of a clip up to make good.

    Blocks are drawn for each channel apart, on the map's device from its global generator, as nn.Dropout draws.
    A block longer than the map in time is as long as the map. In eval mode the layer does nothing.

    Args:
        drop_probability: share of the map that all blocks' areas add up to.
        block_size: (mel, time) cells of a block.
        p: probability that anything is dropped at all.
        p_per: whether p is drawn for each clip or once for the batch.

    Reference:
        Ghiasi, Lin, Le: DropBlock, 2018, algorithm 1 (p, beside it, is the seed's).
    """

    def __init__(
        self,
        drop_probability: float,
        *,
        block_size: tuple[int, int],
        p: float = 1.0,
        p_per: Literal["clip", "batch"] = "clip",
    ) -> None:
        super().__init__()
        self.drop_probability, self.block_size, self.p, self.p_per = drop_probability, block_size, p, p_per

    def forward(self, x: Tensor) -> Tensor:
        """A new map like ``x`` in training, ``x`` itself in evaluation."""
        if not self.training or self.p == 0 or self.drop_probability == 0:
            return x
        batch, channels, mel, time = x.shape
        block_mel, block_time = self.block_size[0], min(self.block_size[1], time)
        gamma = dropblock_gamma(self.drop_probability, block_size=(block_mel, block_time), size=(mel, time))
        places = (batch, channels, mel - block_mel + 1, time - block_time + 1)
        seeds = torch.rand(places, device=x.device) < gamma
        if self.p < 1:
            deciders = batch if self.p_per == "clip" else 1
            seeds = seeds & (torch.rand((deciders, 1, 1, 1), device=x.device) < self.p)
        return drop_block_features(x, seeds, block_size=(block_mel, block_time))

    def extra_repr(self) -> str:
        """The settings, for print(model)."""
        return f"{self.drop_probability}, block_size={self.block_size}, p={self.p} per {self.p_per}"


class ResBlock(Recomputed):
    """Two convolutions with a norm each, beside a shortcut convolution; the activation stands between the two.

        before_activation   x ─ conv ─ norm ─ activation ─ conv ─ norm ─ (+) ─
                            └────────── shortcut conv ──────────────────┘
        after_activation    x ─ conv ─ activation ─ norm ─ conv ─ norm ─ (+) ─

    What comes out has no activation; an ``activation`` block after it adds one.

    Args:
        in_channels: channels that arrive.
        channels: filters of the first and of the second convolution.
        activation: a key of ACTIVATIONS; swiglu halves what the second convolution sees.
        norm: on which side of the activation the first norm stands.
        kernel_size: (mel, time) of both convolutions.
        shortcut_kernel_size: (mel, time) of the shortcut's.
    """

    def __init__(
        self,
        in_channels: int,
        channels: tuple[int, int],
        *,
        activation: str,
        norm: Literal["before_activation", "after_activation"],
        kernel_size: tuple[int, int],
        shortcut_kernel_size: tuple[int, int],
    ) -> None:
        super().__init__()
        first, second = channels
        between = channels_after(activation, first)
        norm_first = norm == "before_activation"
        self.main = nn.Sequential(
            same_conv(in_channels, first, kernel_size),
            nn.BatchNorm2d(first) if norm_first else ACTIVATIONS[activation](),
            ACTIVATIONS[activation]() if norm_first else nn.BatchNorm2d(between),
            same_conv(between, second, kernel_size),
            nn.BatchNorm2d(second),
        )
        self.shortcut = same_conv(in_channels, second, shortcut_kernel_size)

    def compute(self, x: Tensor) -> Tensor:
        """(batch, in_channels, mel, time) to (batch, channels[1], mel, time)."""
        main = self.main(x)
        out: Tensor = main + self.shortcut(laid_out_as(main, x))
        return out


def laid_out_as(other: Tensor, x: Tensor) -> Tensor:
    """``x``, in channels_last strides if it has one channel and ``other`` is channels_last.

    A map of one channel lies the same way in both formats; a convolution of width 1 takes its strides at their word and
    would give a contiguous map.
    """
    if x.shape[1] == 1 and other.is_contiguous(memory_format=torch.channels_last):
        return x.clone(memory_format=torch.channels_last)
    return x


class MelNorm(nn.BatchNorm1d):
    """Batch normalisation of each mel band of (batch, channel, mel, time), over the other axes; affine.

    Systems that standardise their input themselves begin with it; their front-ends then leave it alone
    (``features.normalize: none``).
    """

    def forward(self, log_mel: Tensor) -> Tensor:  # noqa: D102
        batch, channels, mel, time = log_mel.shape
        flat = log_mel.transpose(1, 2).reshape(batch, mel, channels * time)
        return super().forward(flat).view(batch, mel, channels, time).transpose(1, 2)


def pool(x: Tensor, *, mode: PoolMode, dim: tuple[int, ...]) -> Tensor:
    """Mean, maximum, their sum or their product over ``dim``, in at least float32: halves overflow in a product."""
    wide = torch.promote_types(x.dtype, torch.float32)
    average = x.mean(dim=dim, dtype=wide)
    if mode == "avg":
        return average
    maximum = x.amax(dim=dim).to(wide)
    if mode == "max":
        return maximum
    return average + maximum if mode == "sum" else average * maximum


class GlobalPool(nn.Module):
    """(batch, channel, mel, time) to (batch, channel); with ``keep_mel`` to (batch, channel · mel)."""

    def __init__(self, mode: PoolMode, *, keep_mel: bool) -> None:
        super().__init__()
        self.mode, self.keep_mel = mode, keep_mel

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``x``, a map; float32 or wider."""
        return pool(x, mode=self.mode, dim=(3,) if self.keep_mel else (2, 3)).flatten(1)


class ToFrames(nn.Module):
    """(batch, channel, mel, time) to (batch, mel · channel, time): every frame a vector of its own."""

    def forward(self, x: Tensor) -> Tensor:
        """A view or a copy of ``x``, a map."""
        return x.transpose(1, 2).flatten(1, 2)


class FramePool(nn.Module):
    """(batch, feature, time) to (batch, feature)."""

    def __init__(self, mode: PoolMode) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``x``, frames; float32 or wider."""
        return pool(x, mode=self.mode, dim=(2,))
