"""A bank of sounds in one row of memory, for the effects that add recorded noise or convolve with recorded rooms."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tonearm.errors import RequestError, ShapeError
from tonearm.gpu_augment.arguments import check_whole
from tonearm.gpu_augment.functional.excerpts import read_excerpts

_SAMPLE_BYTES = 4  # of float32


class SoundBank(nn.Module):
    """Sounds of any lengths, mono, in one float32 buffer that moves with the module and is not saved with it.

    It is filled once, from any iterable; that is read no further than the bank has room. To fill it from a folder or a
    packed dataset see :mod:`tonearm.dataio.sounds`. Effects that are given the same bank share its memory.

    Args:
        waveforms: the sounds, floating-point tensors or arrays, (time,) or (channel, time); channels are averaged. One
            tensor of several axes is a sound a row.
        sample_rate: of all of them, in Hz.
        max_bytes: room. The first sound that does not fit, and what comes after it, stays out, and ``full`` says so.
        name: what a saved configuration writes in the bank's place.

    Attributes:
        samples: (total,) float32 buffer.
        offsets: (num_sounds,) int64 buffer, where in ``samples`` each sound begins.
        lengths: (num_sounds,) int64 buffer, samples of each sound.
        host_lengths: ``lengths`` once more, always on the CPU.
        longest: samples of the longest sound.
        sample_rate: in Hz.
        full: whether a sound stayed out.

    Raises:
        RequestError: no sound at all, or one that is silent, empty, not finite, larger than the bank, or of another
            type or shape. The message has its number; the first is 0.

    Example:
        >>> bank = SoundBank([torch.ones(3), torch.arange(4.0).reshape(2, 2)], sample_rate=8000, name="office")
        >>> bank
        SoundBank('office': 2 sounds, 0.000625 s at 8000 Hz, 20 bytes)
        >>> bank.read(torch.tensor([0, 1]), torch.tensor([0, 1]), 4)
        tensor([[1., 1., 1., 1.],
                [2., 1., 2., 1.]])
    """

    samples: Tensor
    offsets: Tensor
    lengths: Tensor

    def __init__(
        self,
        waveforms: Iterable[Tensor | NDArray[Any]],
        *,
        sample_rate: int,
        max_bytes: int = 256 << 20,
        name: str = "",
    ) -> None:
        super().__init__()
        check_whole("sample_rate", sample_rate, at_least=1, unit=" Hz")
        check_whole("max_bytes", max_bytes, at_least=_SAMPLE_BYTES)
        if not isinstance(name, str):
            raise RequestError(f"name: got {name!r}, may be a text.")
        self.sample_rate, self.max_bytes, self.name = sample_rate, max_bytes, name
        self.full = False
        given: object = waveforms
        one_sound = isinstance(given, str) or (isinstance(given, Tensor | np.ndarray) and given.ndim < 2)
        if one_sound or not isinstance(given, Iterable):
            raise RequestError(f"waveforms: got a {type(given).__name__}, may be a list of sounds, [sound].")
        sounds: list[Tensor] = []
        room = max_bytes // _SAMPLE_BYTES
        for number, waveform in enumerate(waveforms):
            sound = _mono(waveform, number)
            if len(sound) > room:
                self.full = True
                break
            room -= len(sound)
            sounds.append(sound)
        if not sounds and self.full:
            raise RequestError(f"max_bytes: got {max_bytes}, but sound 0 alone takes {_SAMPLE_BYTES * len(sound)}.")
        if not sounds:
            raise RequestError("waveforms: got none, may be one sound or more.")
        self.host_lengths = torch.tensor([len(sound) for sound in sounds], device="cpu")
        self.longest = int(self.host_lengths.max())
        self.register_buffer("samples", torch.cat(sounds), persistent=False)
        self.register_buffer("offsets", self.host_lengths.cumsum(0) - self.host_lengths, persistent=False)
        self.register_buffer("lengths", self.host_lengths.clone(), persistent=False)

    @property
    def num_sounds(self) -> int:
        """How many there are."""
        return len(self.host_lengths)

    def read(self, index: Tensor, start: Tensor, num_samples: int, *, loop: bool = True) -> Tensor:
        """Excerpts, one for each pair of a sound and a place; on a GPU the host does not wait.

        Args:
            index: (n,) int64 on the bank's device, which sounds, below num_sounds.
            start: (n,) int64 on the bank's device, at which of their samples to begin, 0 or more.
            num_samples: of an excerpt.
            loop: whether a sound that ends begins again; else silence follows.

        Returns:
            (n, num_samples) new float32 tensor.
        """
        return read_excerpts(
            self.samples,
            offset=self.offsets[index],
            length=self.lengths[index],
            start=start,
            num_samples=num_samples,
            loop=loop,
        )

    def check_device(self, device: torch.device) -> None:
        """Refuse to serve clips on another device.

        Raises:
            ShapeError: saying where the bank is.
        """
        if self.samples.device != device:
            raise ShapeError(
                f"bank: on {self.samples.device}, but the batch is on {device}. Move the augmentation there once, with "
                f".to({str(device)!r})."
            )

    def __repr__(self) -> str:
        total = int(self.host_lengths.sum())
        name = f"{self.name!r}: " if self.name else ""
        full = ", full" if self.full else ""
        return (
            f"SoundBank({name}{self.num_sounds} sounds, {total / self.sample_rate:g} s at {self.sample_rate} Hz, "
            f"{_SAMPLE_BYTES * total} bytes{full})"
        )


def _mono(waveform: object, number: int) -> Tensor:
    """The sound as (time,) float32 on the CPU, or an error that names its number."""
    if not isinstance(waveform, Tensor | np.ndarray):
        raise _refusal(number, f"a {type(waveform).__name__}", "a tensor or an array")
    is_float = waveform.is_floating_point() if isinstance(waveform, Tensor) else waveform.dtype.kind == "f"
    if not is_float:
        raise _refusal(number, f"{waveform.dtype} samples", "floating point: int16 divided by 32768, for one")
    shape = tuple(waveform.shape)
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[0] > shape[1] > 0):  # (time, channel) comes to mind
        raise _refusal(number, f"shape {shape}", "(time,) or (channel, time)")
    if 0 in shape:
        raise _refusal(number, f"shape {shape}", "one sample or more")
    if isinstance(waveform, Tensor):
        sound = waveform.detach().to("cpu", torch.float32)
    else:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
            sound = torch.from_numpy(np.array(waveform, np.float32))
    sound = sound.mean(dim=0) if sound.dim() == 2 else sound
    if not bool(sound.isfinite().all()):
        raise _refusal(number, "NaN or infinite samples", "finite ones")
    if not bool(sound.any()):
        raise _refusal(number, "silence", "a sound; leave this one out")
    return sound


def _refusal(number: int, got: str, may_be: str) -> RequestError:
    return RequestError(f"waveforms: sound {number}: got {got}, may be {may_be}.")
