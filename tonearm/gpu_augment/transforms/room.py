"""The effects that put a clip into a room, as modules; they take (batch, channel, time)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range, check_whole, is_number
from tonearm.gpu_augment.bank import SoundBank
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.counter import keys_from_uniforms
from tonearm.gpu_augment.functional.image_source import MIN_DISTANCE, eyring_absorption, image_source_rir
from tonearm.gpu_augment.functional.reverb import convolve, synthetic_rir


class Reverb(ClipEffect):
    """Put each clip into a made-up room of its own: direct path first, then exponentially decaying noise.

    Nothing is shifted, and a response's energy is 1, which keeps the level of broadband sounds on average. All channels
    of a clip hear the same response. See :func:`~tonearm.gpu_augment.functional.synthetic_rir`.

    Args:
        p: probability of a clip to be touched.
        sample_rate: in Hz.
        min_rt60_seconds: driest room, as the time in which its tail falls by 60 dB; uniform up to the next.
        max_rt60_seconds: liveliest room. Responses are this long.
        min_drr_db: farthest source, as direct-to-reverberant ratio in dB; uniform up to the next.
        max_drr_db: nearest source.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 4

    def __init__(
        self,
        p: float = 0.5,
        *,
        sample_rate: int,
        min_rt60_seconds: float = 0.1,
        max_rt60_seconds: float = 1.0,
        min_drr_db: float = 0.0,
        max_drr_db: float = 15.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_whole("sample_rate", sample_rate, at_least=1, unit=" Hz")
        _check_rt60(min_rt60_seconds, max_rt60_seconds)
        check_range("min_drr_db", min_drr_db, "max_drr_db", max_drr_db)
        self.sample_rate = sample_rate
        self.min_rt60_seconds, self.max_rt60_seconds = min_rt60_seconds, max_rt60_seconds
        self.min_drr_db, self.max_drr_db = min_drr_db, max_drr_db

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """RT60 in seconds, direct-to-reverberant ratio in dB, and the tail's key."""
        rt60_seconds = self.min_rt60_seconds + uniforms[:, :1] * (self.max_rt60_seconds - self.min_rt60_seconds)
        drr_db = self.min_drr_db + uniforms[:, 1:2] * (self.max_drr_db - self.min_drr_db)
        return torch.cat([rt60_seconds, drr_db, keys_from_uniforms(uniforms[:, 2:])], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Make the rooms where the clips lie, and put the clips into them."""
        rir = synthetic_rir(
            parameters[:, 2:].to(torch.int32),
            rt60_seconds=parameters[:, 0],
            drr_db=parameters[:, 1],
            sample_rate=self.sample_rate,
            num_samples=math.ceil(self.max_rt60_seconds * self.sample_rate),
        )
        return convolve(clips, rir[:, None], lengths=lengths)


class BankReverb(ClipEffect):
    """Put each clip into a measured room: convolve it with a response from a bank, all being as likely.

    A response counts from its largest sample on, which is taken for the direct path: so events stay where they were,
    and the few samples before it, and the way from the source, are left out. Its energy from there on is made 1, which
    keeps the level of broadband sounds on average. All channels of a clip hear the same response.

        y(t) = Σ_k h(k) · x(t - k),    h(k) = r(d + k) / sqrt(Σ_j r(d + j)²),    d where |r| is largest

    Args:
        bank: the responses; they must have the clips' sample rate.
        p: probability of a clip to be touched.
        max_rir_seconds: where to cut responses off. None: nowhere, so the longest decides how long all take on a GPU.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range, or the bank is none.

    Reference:
        Ko, Peddinti, Povey, Seltzer, Khudanpur: A study on data augmentation of reverberant speech for robust speech
        recognition, 2017 (measured responses as augmentation).

    Example:
        >>> decay = torch.logspace(0, -3, 8000)
        >>> bank = SoundBank([decay * torch.randn(8000), decay[::2] * torch.randn(4000)], sample_rate=16_000)
        >>> BankReverb(bank, p=1.0)(torch.rand(8, 1, 16_000)).shape
        torch.Size([8, 1, 16000])
    """

    num_parameter_draws = 1
    starts: Tensor
    counts: Tensor
    gains: Tensor

    def __init__(
        self,
        bank: SoundBank,
        p: float = 0.5,
        *,
        max_rir_seconds: float | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        if not isinstance(bank, SoundBank):
            raise RequestError(f"bank: got a {type(bank).__name__}, may be a SoundBank.")
        if max_rir_seconds is not None and not (is_number(max_rir_seconds) and 0 < max_rir_seconds < math.inf):
            raise RequestError(f"max_rir_seconds: got {max_rir_seconds!r}, may be a number of seconds, or None.")
        self.bank, self.max_rir_seconds = bank, max_rir_seconds
        starts, counts, gains = _direct_paths(bank, max_rir_seconds)
        self.longest = int(counts.max())
        device = bank.samples.device
        self.register_buffer("starts", starts.to(device), persistent=False)
        self.register_buffer("counts", counts.to(device), persistent=False)
        self.register_buffer("gains", gains.to(device), persistent=False)

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The response's number."""
        return (uniforms * self.bank.num_sounds).floor()

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Find the responses where they lie, and put the clips into their rooms."""
        self.bank.check_device(clips.device)
        index = parameters[:, 0].long()
        counts, longest = self.counts[index], self.longest
        if blocks.on_cpu(clips):
            longest = int(counts.max())
        rir = self.bank.read(index, self.starts[index], longest, loop=False) * self.gains[index][:, None]
        if self.max_rir_seconds is not None:
            rir = torch.where(torch.arange(longest, device=rir.device) < counts[:, None], rir, 0.0)
        return convolve(clips, rir[:, None], lengths=lengths)


class ImageSourceReverb(ClipEffect):
    """Put each clip into an empty box-shaped room of its own, with the reflections that such a room has.

    Sides, and the places of source and microphone (half a metre off the walls, or in the middle half where sides are
    shorter than two metres), are uniform. The walls take what gives the room its reverberation time (Eyring); where
    images end, decaying noise goes on. Nothing is shifted: the direct sound lies at 0. A response's energy is 1, which
    keeps the level of broadband sounds on average. All channels of a clip hear the same response. See
    :func:`~tonearm.gpu_augment.functional.image_source_rir`.

    Args:
        p: probability of a clip to be touched.
        sample_rate: in Hz.
        min_room_meters: shortest sides, (x, y, height).
        max_room_meters: longest sides.
        min_rt60_seconds: driest room, as the time in which sound falls by 60 dB; uniform up to the next.
        max_rt60_seconds: liveliest room. Responses are this long.
        max_order: how many times sound is mirrored before noise takes over.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.

    Reference:
        Allen, Berkley: Image method for efficiently simulating small-room acoustics, 1979.
    """

    num_parameter_draws = 12

    def __init__(
        self,
        p: float = 0.5,
        *,
        sample_rate: int,
        min_room_meters: tuple[float, float, float] = (3.0, 3.0, 2.5),
        max_room_meters: tuple[float, float, float] = (10.0, 8.0, 4.0),
        min_rt60_seconds: float = 0.2,
        max_rt60_seconds: float = 0.8,
        max_order: int = 10,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_whole("sample_rate", sample_rate, at_least=1, unit=" Hz")
        _check_sides("min_room_meters", min_room_meters)
        _check_sides("max_room_meters", max_room_meters)
        for low, high in zip(min_room_meters, max_room_meters, strict=True):
            check_range("min_room_meters", low, "max_room_meters", high)
        _check_rt60(min_rt60_seconds, max_rt60_seconds)
        check_whole("max_order", max_order, at_least=0)
        self.sample_rate = sample_rate
        self.min_room_meters, self.max_room_meters = min_room_meters, max_room_meters
        self.min_rt60_seconds, self.max_rt60_seconds = min_rt60_seconds, max_rt60_seconds
        self.max_order = max_order

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """Sides, source and microphone in m, RT60 in seconds, and the noise's key."""
        shortest = torch.tensor(self.min_room_meters, dtype=torch.float64, device="cpu")
        longest = torch.tensor(self.max_room_meters, dtype=torch.float64, device="cpu")
        sides = shortest + uniforms[:, :3] * (longest - shortest)
        margin = (sides / 4).clamp(max=0.5)
        source, microphone = (margin + place * (sides - 2 * margin) for place in uniforms[:, 3:9].split(3, dim=1))
        rt60_seconds = self.min_rt60_seconds + uniforms[:, 9:10] * (self.max_rt60_seconds - self.min_rt60_seconds)
        return torch.cat([sides, source, microphone, rt60_seconds, keys_from_uniforms(uniforms[:, 10:])], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Make the rooms where the clips lie, and put the clips into them."""
        room, source, microphone = parameters[:, :9].split(3, dim=1)
        rir = image_source_rir(
            room,
            source,
            microphone,
            absorption=eyring_absorption(room, parameters[:, 9]),
            sample_rate=self.sample_rate,
            num_samples=math.ceil(self.max_rt60_seconds * self.sample_rate),
            max_order=self.max_order,
            keys=parameters[:, 10:].to(torch.int32),
        )
        rir = rir / torch.linalg.vector_norm(rir, dim=1, keepdim=True)
        return convolve(clips, rir[:, None], lengths=lengths)


def _check_rt60(min_rt60_seconds: float, max_rt60_seconds: float) -> None:
    check_range("min_rt60_seconds", min_rt60_seconds, "max_rt60_seconds", max_rt60_seconds)
    if not min_rt60_seconds > 0:
        raise RequestError(f"min_rt60_seconds: got {min_rt60_seconds}, may be more than 0.")


def _check_sides(name: str, sides: object) -> None:
    if not (
        isinstance(sides, Sequence)
        and len(sides) == 3
        and all(is_number(side) and 4 * MIN_DISTANCE <= side < math.inf for side in sides)
    ):
        raise RequestError(f"{name}: got {sides!r}, may be three numbers, each {4 * MIN_DISTANCE} m or more.")


def _direct_paths(bank: SoundBank, max_rir_seconds: float | None) -> tuple[Tensor, Tensor, Tensor]:
    """For each response, where its largest sample is, how many samples are taken from there on, and 1 / their norm."""
    most = bank.longest if max_rir_seconds is None else math.ceil(max_rir_seconds * bank.sample_rate)
    starts, counts, norms = [], [], []
    for sound in bank.samples.cpu().split(bank.host_lengths.tolist()):
        start = int(sound.abs().argmax())
        taken = sound[start : start + most]
        starts.append(start)
        counts.append(len(taken))
        norms.append(torch.linalg.vector_norm(taken, dtype=torch.float64))
    begins, sizes = (torch.tensor(numbers, device="cpu") for numbers in (starts, counts))
    return begins, sizes, torch.stack(norms).reciprocal().float()
