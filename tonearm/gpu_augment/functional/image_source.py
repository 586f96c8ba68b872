"""Room impulse responses of empty box-shaped rooms, from the mirror images of the source.

A sound that comes by way of walls arrives as if from the source's image, mirrored in each of them in turn. Along one
axis of length L, with the source at s, image i (any whole number) has been mirrored |i| times:

        i      -2        -1        0         1         2
        ───┼─────────┼─────────┼─────────┼─────────┼─────────┼──
          -2L       -L         0         L        2L        3L
        at   s - 2L     -s         s       2L - s    s + 2L
"""

import math

import torch
from torch import Tensor

from tonearm.gpu_augment.functional import blocks
from tonearm.gpu_augment.functional.counter import gaussian
from tonearm.gpu_augment.functional.fft_length import fast_fft_length

SPEED_OF_SOUND = 343.0  # in m/s, at 20 °C
MIN_DISTANCE = 0.1  # in m; nearer than that no source gets
HALF_SINC = 8  # samples on each side to which an arrival between two samples spreads
_UNITS = 2**40  # in which arrivals are added up, as parts of the direct sound


def eyring_absorption(room: Tensor, rt60_seconds: Tensor, *, speed_of_sound: float = SPEED_OF_SOUND) -> Tensor:
    """The share of energy that walls, all alike, must take for a room to have a reverberation time.

        α = 1 - exp(-24 · ln 10 · V / (c · S · RT60)),    V volume, S surface

    Args:
        room: (batch, 3) lengths of the sides, in m.
        rt60_seconds: (batch,) seconds in which sound falls by 60 dB, above 0.
        speed_of_sound: in m/s.

    Returns:
        (batch,) within (0, 1).

    Reference:
        Eyring: Reverberation time in "dead" rooms, 1930.

    Example:
        >>> eyring_absorption(torch.tensor([[5.0, 4.0, 3.0]]), torch.tensor([0.5]))
        tensor([0.1859])
    """
    return -torch.expm1(-24.0 * math.log(10.0) / (speed_of_sound * rt60_seconds) * _volume_to_surface(room))


def image_source_rir(
    room: Tensor,
    source: Tensor,
    microphone: Tensor,
    *,
    absorption: Tensor,
    sample_rate: int,
    num_samples: int,
    max_order: int = 10,
    keys: Tensor | None = None,
    high_pass_hz: float | None = 100.0,
    speed_of_sound: float = SPEED_OF_SOUND,
) -> Tensor:
    """Responses of box-shaped rooms between a source and a microphone, both of which are alike in all directions.

        h(t) = Σ_images (1 - α)^(mirrored / 2) · d₀/d · δ(t - (d - d₀) / c),    d distance, d₀ the direct one

    So the direct sound has level 1 and lies at index 0. An arrival between two samples is a sinc in a Hann window, 8
    samples to each side. As no wall inverts a sound, arrivals, once there are many, add up to a swell that is no sound;
    a high-pass takes it away. Images beyond ``max_order`` are missing. If keys are given, decaying noise takes over
    from when the first of these would arrive, with the energy that images have on average: of 4π·d₀²·c/V a second,
    what Eyring's decay leaves.

    Sums are kept in whole numbers (parts of 2^-40), so that their order does not matter: a GPU, too, repeats itself to
    the bit. There is no gradient.

    Args:
        room: (batch, 3) lengths of the sides, in m.
        source: (batch, 3) its place, within the room, in m.
        microphone: (batch, 3) its place; nearer to the source than 0.1 m counts as 0.1 m.
        absorption: (batch,) α, share of the energy that a wall takes, within (0, 1).
        sample_rate: in Hz.
        num_samples: length of a response; it is cut off there.
        max_order: how many times images have been mirrored at most. Their number grows with its third power: 1561 at
            10.
        keys: (batch, 2) int32, of the noise. None: no noise, and images as far as they go.
        high_pass_hz: corner of the high-pass, of second order. None: none.
        speed_of_sound: in m/s.

    Returns:
        (batch, num_samples) float32 on the room's device.

    Reference:
        Allen, Berkley: Image method for efficiently simulating small-room acoustics, 1979, eq. 10 and the high-pass of
        its appendix (there arrivals are rounded to whole samples).

    Example:
        >>> room, source, microphone = torch.tensor([[[5.0, 4.0, 3.0]], [[1.0, 2.0, 1.5]], [[3.0, 2.0, 1.5]]])
        >>> walls = {"absorption": torch.tensor([0.5]), "sample_rate": 34_300, "high_pass_hz": None}
        >>> rir = image_source_rir(room, source, microphone, **walls, num_samples=250)
        >>> rir[0, [0, 200]].round(decimals=4)  # the wall behind the source: 2 m farther, half as loud, -3 dB
        tensor([1.0000, 0.3536])
    """
    room, source, microphone = room.double(), source.double(), microphone.double()
    order, offset = _images(room, source, max_order)
    distance = (offset - microphone[:, None]).square().sum(dim=2).sqrt()
    direct = (source - microphone).square().sum(dim=1).sqrt().clamp(min=MIN_DISTANCE)[:, None]
    distance = distance.clamp(min=MIN_DISTANCE)
    level = direct / distance * (1 - absorption.double())[:, None] ** (order / 2)
    delay = (distance - direct) * (sample_rate / speed_of_sound)
    level = torch.where(order <= max_order, level, 0.0)
    if keys is None:
        return _high_pass(_arrivals(delay, level, num_samples), high_pass_hz, sample_rate)
    # Images of the next order are at least this far away; where the noise begins all others have arrived.
    nearest_missing = max_order / room.reciprocal().square().sum(dim=1, keepdim=True).sqrt()
    change = (nearest_missing - direct).clamp(min=0) * (sample_rate / speed_of_sound)
    early = _arrivals(delay, torch.where(delay < change, level, 0.0), num_samples)
    early = _high_pass(early, high_pass_hz, sample_rate)
    seconds = torch.arange(num_samples, dtype=torch.float64, device=room.device) / sample_rate
    path = seconds * speed_of_sound + direct
    decay = torch.log1p(-absorption.double())[:, None] / (4 * _volume_to_surface(room)[:, None])
    density = 4 * math.pi * direct.square() * speed_of_sound / (room.prod(dim=1, keepdim=True) * sample_rate)
    envelope = (torch.exp(decay * path) * density).sqrt()
    late = torch.arange(num_samples, device=room.device) >= change
    return early + gaussian(keys, num_samples) * torch.where(late, envelope, 0.0).float()


def _volume_to_surface(room: Tensor) -> Tensor:
    """V / S, in m."""
    return room.prod(dim=1) / (2 * (room * room.roll(1, dims=1)).sum(dim=1))


def _images(room: Tensor, source: Tensor, max_order: int) -> tuple[Tensor, Tensor]:
    """How often each image has been mirrored, (images,), and where it is, (batch, images, 3).

    On a GPU, where selecting would have to wait, those of a higher order are among them.
    """
    index = torch.arange(-max_order, max_order + 1, device=room.device)
    grid = torch.cartesian_prod(index, index, index)
    if blocks.on_cpu(room):
        grid = grid[grid.abs().sum(dim=1) <= max_order]
    odd = (grid % 2).double()
    places = (grid + odd) * room[:, None] + (1 - 2 * odd) * source[:, None]
    return grid.abs().sum(dim=1), places


def _arrivals(delay: Tensor, level: Tensor, num_samples: int) -> Tensor:
    """(batch, num_samples) float32, the sum of sounds of ``level`` after ``delay`` samples, both (batch, images)."""
    batch = len(delay)
    whole = delay.floor()
    fraction = (delay - whole).float()[..., None]
    steps = torch.arange(1 - HALF_SINC, HALF_SINC + 1, device=delay.device)
    from_center = steps - fraction
    spread = torch.sinc(from_center) * torch.cos(from_center * (math.pi / 2 / HALF_SINC)).square()
    units = (level[..., None] * spread * _UNITS).round().long()
    # What begins before the response or ends after it goes to one sample more, which is cut off.
    index = whole.long()[..., None] + steps
    index = torch.where((index >= 0) & (index < num_samples), index, num_samples)
    index = index + torch.arange(batch, device=delay.device)[:, None, None] * (num_samples + 1)
    total = torch.zeros(batch * (num_samples + 1), dtype=torch.int64, device=delay.device)
    total.scatter_add_(0, index.flatten(), units.flatten())
    return (total.view(batch, -1)[:, :num_samples].double() / _UNITS).float()


def _high_pass(rir: Tensor, cutoff_hz: float | None, sample_rate: int) -> Tensor:
    """The responses through a recursive filter of second order, by FFT; each starts as it did."""
    num_samples = rir.shape[1]
    if cutoff_hz is None or rir.numel() == 0:
        return rir
    corner = 2 * math.pi * cutoff_hz / sample_rate
    radius = math.exp(-corner)
    rings_on = math.ceil(20 / corner)  # until e^-20 is left of it: so much must not wrap around
    n_fft = fast_fft_length(num_samples + rings_on)
    late = torch.polar(
        torch.ones(n_fft // 2 + 1, dtype=torch.float64, device=rir.device),
        torch.arange(n_fft // 2 + 1, dtype=torch.float64, device=rir.device) * (-2 * math.pi / n_fft),
    )
    gain = (1 - late) * (1 - radius * late) / (1 - 2 * radius * math.cos(corner) * late + (radius * late) ** 2)
    spectrum = torch.fft.rfft(rir, n=n_fft) * gain.to(torch.complex64)
    filtered: Tensor = torch.fft.irfft(spectrum, n=n_fft)[:, :num_samples]
    return filtered
