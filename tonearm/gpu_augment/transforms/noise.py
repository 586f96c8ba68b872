"""The effects that add sounds to a clip, as modules; they take (batch, channel, time)."""

import torch
from torch import Tensor

from tonearm.errors import RequestError
from tonearm.gpu_augment.arguments import check_range, check_whole, is_whole
from tonearm.gpu_augment.bank import SoundBank
from tonearm.gpu_augment.clip_effect import ClipEffect
from tonearm.gpu_augment.functional.colored_noise import check_color, colored_noise
from tonearm.gpu_augment.functional.counter import keys_from_uniforms
from tonearm.gpu_augment.functional.excerpts import add_excerpts
from tonearm.gpu_augment.functional.noise import add_gaussian_noise, add_noise
from tonearm.gpu_augment.functional.noise_tape import add_tape_noise, noise_tape
from tonearm.gpu_augment.functional.sine_hum import add_sine_hum

_SHORTEST_TAPE = 4096  # two periods of the lowest frequency that coloured noise has


def _between(low: float, high: float, uniforms: Tensor) -> Tensor:
    return low + uniforms * (high - low)


class Noise(ClipEffect):
    """Add noise at a random signal-to-noise ratio, uniform in dB.

    The noise is new in each clip, sample and channel. With a tape it is read from a random place of one that was made
    beforehand, several times faster on a CPU: as noise it is the same, but what two clips hear may overlap. See
    :func:`~tonearm.gpu_augment.functional.add_noise`, :func:`~tonearm.gpu_augment.functional.colored_noise` and
    :func:`~tonearm.gpu_augment.functional.add_tape_noise`.

    Args:
        p: probability of a clip to be touched.
        min_snr_db: loudest noise, as signal-to-noise ratio in dB.
        max_snr_db: faintest noise.
        color: "white", "pink", "brown", "blue" or "violet".
        tape_samples: length of the tape, 4 bytes each, at least as long as all channels of a clip together; 0 is none.
            2**22, 95 s at 44.1 kHz, are a good one. It is made when the effect is, and moves with it.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    def __init__(
        self,
        p: float = 0.5,
        min_snr_db: float = 0.0,
        max_snr_db: float = 30.0,
        color: str = "white",
        tape_samples: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_snr_db", min_snr_db, "max_snr_db", max_snr_db)
        check_color(color)
        if not (is_whole(tape_samples, at_least=0) and (tape_samples == 0 or tape_samples >= _SHORTEST_TAPE)):
            raise RequestError(
                f"tape_samples: got {tape_samples!r}, may be 0 for none, or a whole number, {_SHORTEST_TAPE} or more."
            )
        self.min_snr_db, self.max_snr_db, self.color, self.tape_samples = min_snr_db, max_snr_db, color, tape_samples
        self.num_parameter_draws = 2 if tape_samples else 3
        self.tape: Tensor | None
        self.register_buffer("tape", noise_tape(tape_samples, color=color) if tape_samples else None, persistent=False)

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The ratio in dB, and the noise's key or its place on the tape."""
        snr_db = _between(self.min_snr_db, self.max_snr_db, uniforms[:, :1])
        noise = (
            (uniforms[:, 1:] * self.tape_samples).floor() if self.tape_samples else keys_from_uniforms(uniforms[:, 1:])
        )
        return torch.cat([snr_db, noise], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Draw the noise where the clips lie, or find it on the tape, and add it."""
        snr_db, noise = parameters[:, 0], parameters[:, 1:]
        if self.tape is not None:
            return add_tape_noise(clips, self.tape, offset=noise[:, 0].long(), snr_db=snr_db, lengths=lengths)
        keys = noise.to(torch.int32)
        fresh = colored_noise(keys, color=self.color, num_channels=clips.shape[1], num_samples=clips.shape[2])
        return add_noise(clips, fresh, snr_db=snr_db, lengths=lengths)


class GaussianNoise(ClipEffect):
    """Add white noise whose level has nothing to do with the clip's; silence does not stay silence.

    The deviation is uniform between two bounds. See :func:`~tonearm.gpu_augment.functional.add_gaussian_noise`; for a
    level relative to the clip's take :class:`Noise`.

    Args:
        p: probability of a clip to be touched.
        min_deviation: faintest noise, as standard deviation in units of the waveform, 0 or more.
        max_deviation: loudest noise.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.
    """

    num_parameter_draws = 3

    def __init__(
        self,
        p: float = 0.5,
        *,
        min_deviation: float = 0.01,
        max_deviation: float = 0.01,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_range("min_deviation", min_deviation, "max_deviation", max_deviation)
        if min_deviation < 0:
            raise RequestError(f"min_deviation: got {min_deviation}, may be 0 or more.")
        self.min_deviation, self.max_deviation = min_deviation, max_deviation

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The deviation and the noise's key."""
        deviation = _between(self.min_deviation, self.max_deviation, uniforms[:, :1])
        return torch.cat([deviation, keys_from_uniforms(uniforms[:, 1:])], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Draw the noise where the clips lie, and add it."""
        keys = parameters[:, 1:].to(torch.int32)
        return add_gaussian_noise(clips, keys=keys, deviation=parameters[:, 0], lengths=lengths)


class BackgroundNoise(ClipEffect):
    """Add a part of a recorded sound, at a random signal-to-noise ratio, uniform in dB.

    Each clip hears a sound of its own, all sounds being as likely, from a random place on; one that is shorter than the
    batch is wide is looped, a longer one is cut where it fits. Where it happens to be silent, nothing is added; where
    it is faint, the faint is made loud. All channels of a clip hear the same.

        y = x + n · ‖x‖ / ‖n‖ · 10^(-snr_db / 20),    n(t) = sound((start + t) mod its length)

    Args:
        bank: the sounds; they must have the clips' sample rate.
        p: probability of a clip to be touched.
        min_snr_db: loudest background, as signal-to-noise ratio in dB.
        max_snr_db: faintest background.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range, or the bank is none.

    Reference:
        Snyder, Garcia-Romero, Sell, Povey, Khudanpur: X-vectors: Robust DNN embeddings for speaker recognition, 2018
        (recordings of noise added at random ratios).

    Example:
        >>> bank = SoundBank([torch.rand(20_000), torch.rand(50_000)], sample_rate=44_100)
        >>> BackgroundNoise(bank, p=1.0)(torch.rand(8, 1, 44_100)).shape
        torch.Size([8, 1, 44100])
    """

    num_parameter_draws = 3

    def __init__(
        self,
        bank: SoundBank,
        p: float = 0.5,
        *,
        min_snr_db: float = 0.0,
        max_snr_db: float = 30.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        if not isinstance(bank, SoundBank):
            raise RequestError(f"bank: got a {type(bank).__name__}, may be a SoundBank.")
        check_range("min_snr_db", min_snr_db, "max_snr_db", max_snr_db)
        self.bank, self.min_snr_db, self.max_snr_db = bank, min_snr_db, max_snr_db

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The ratio in dB, the sound's number, and where to begin among the places where it fits, as a fraction."""
        snr_db = _between(self.min_snr_db, self.max_snr_db, uniforms[:, :1])
        return torch.cat([snr_db, (uniforms[:, 1:2] * self.bank.num_sounds).floor(), uniforms[:, 2:]], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Find the sounds where they lie, and add them."""
        bank, index = self.bank, parameters[:, 1].long()
        bank.check_device(clips.device)
        length = bank.lengths[index]
        longer = length - clips.shape[2]
        places = torch.where(longer >= 0, longer + 1, length)
        return add_excerpts(
            clips,
            bank.samples,
            offset=bank.offsets[index],
            length=length,
            start=(parameters[:, 2:] * places[:, None]).long(),
            snr_db=parameters[:, 0],
            lengths=lengths,
        )


class SineHum(ClipEffect):
    """Add a sine of random frequency and phase at a random signal-to-noise ratio: the hum of the mains.

    See :func:`~tonearm.gpu_augment.functional.add_sine_hum`.

    Args:
        p: probability of a clip to be touched.
        sample_rate: in Hz.
        min_frequency_hz: lowest hum, uniform up to the next. The mains have 50 or 60 Hz.
        max_frequency_hz: highest hum, below half the sample rate.
        min_snr_db: loudest hum, as signal-to-noise ratio in dB; uniform up to the next.
        max_snr_db: faintest hum.
        generator: see :class:`~tonearm.gpu_augment.Augmentation`.

    Raises:
        RequestError: an argument is out of range.

    Reference:
        Gazneli et al.: End-to-end audio strikes back, 2022. In its code the frequency is 50·u + 3·n Hz, u uniform below
        1 and n normal, much of which nobody hears; the levels are the ones given here.
    """

    num_parameter_draws = 3

    def __init__(
        self,
        p: float = 0.5,
        *,
        sample_rate: int,
        min_frequency_hz: float = 45.0,
        max_frequency_hz: float = 65.0,
        min_snr_db: float = 30.0,
        max_snr_db: float = 35.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator)
        check_whole("sample_rate", sample_rate, at_least=1, unit=" Hz")
        check_range("min_frequency_hz", min_frequency_hz, "max_frequency_hz", max_frequency_hz)
        if not 0 < min_frequency_hz <= max_frequency_hz < sample_rate / 2:
            raise RequestError(
                f"min_frequency_hz, max_frequency_hz: got {min_frequency_hz} and {max_frequency_hz}, may be more than "
                f"0 and less than half the sample rate, {sample_rate / 2:g} Hz."
            )
        check_range("min_snr_db", min_snr_db, "max_snr_db", max_snr_db)
        self.sample_rate = sample_rate
        self.min_frequency_hz, self.max_frequency_hz = min_frequency_hz, max_frequency_hz
        self.min_snr_db, self.max_snr_db = min_snr_db, max_snr_db

    def parameters_from(self, uniforms: Tensor) -> Tensor:
        """The frequency in Hz, the ratio in dB, and the phase in cycles."""
        frequency_hz = _between(self.min_frequency_hz, self.max_frequency_hz, uniforms[:, :1])
        snr_db = _between(self.min_snr_db, self.max_snr_db, uniforms[:, 1:2])
        return torch.cat([frequency_hz, snr_db, uniforms[:, 2:]], dim=1)

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        """Add the sines."""
        frequency_hz, snr_db, phase = parameters.unbind(1)
        return add_sine_hum(
            clips, cycles_per_sample=frequency_hz / self.sample_rate, phase=phase, snr_db=snr_db, lengths=lengths
        )
