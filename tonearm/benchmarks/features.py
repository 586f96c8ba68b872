"""The front-end, measured: waveforms to log-mel spectrograms, beside torchaudio's and the bare Fourier transform.

Before the clock starts, ours and torchaudio's are compared with torchaudio's in double precision.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from tonearm.benchmarks.environment import current_environment
from tonearm.benchmarks.harness import Contestant, Role, measure
from tonearm.benchmarks.report import BenchmarkReport, build_report
from tonearm.config import FeaturesConfig
from tonearm.errors import RequestError
from tonearm.gpu_augment.workers import side_by_side
from tonearm.models.features import LogMel
from tonearm.seeding import torch_generator

MIN_SECONDS = 0.25  # of a timed pass
CHECKED_CLIPS = 2
FULL_SCALE_TOLERANCE = 1e-5  # of the loudest cell
HEARD = 1e-6  # of the loudest cell of a frame: 60 dB below it float32 has some four digits left
DECIBEL_TOLERANCE = 0.01
GRADIENT_TOLERANCE = 1e-3  # of its norm, which the quietest cells make: there 1 / mel is large, and so is its error
BLOCK_SAMPLES = 2**18  # of the windows that the bare transform finds ready: a megabyte


@dataclass(frozen=True)
class FrontEnd:
    """What one group of rows computes.

    Attributes:
        name: of the group.
        sample_rate: Hz.
        features: only options that torchaudio's MelSpectrogram has as well, with a floor of 1e-10 and in dB.
    """

    name: str
    sample_rate: int
    features: FeaturesConfig


FRONT_ENDS = (
    FrontEnd("default, 44.1 kHz, n_fft 1380", 44_100, FeaturesConfig()),
    FrontEnd("44.1 kHz, n_fft 1440", 44_100, FeaturesConfig(n_fft=1440)),
    FrontEnd(
        "PANNs, 32 kHz, n_fft 1024",
        32_000,
        FeaturesConfig(
            n_fft=1024, win_length=1024, hop_length=320, n_mels=64, f_min=50, f_max=14_000, mel_scale="slaney",
            mel_norm="area",
        ),
    ),
    FrontEnd(
        "esc10, 44.1 kHz, n_fft 2048", 44_100, FeaturesConfig(n_fft=2048, win_length=2048, hop_length=1024, n_mels=64)
    ),
)  # fmt: skip


def bench_features(
    *,
    batch_size: int = 32,
    duration_seconds: float = 5.0,
    repeats: int = 7,
    device: torch.device | str = "cpu",
    announce: Callable[[str], None] = lambda _: None,
) -> BenchmarkReport:
    """Measure clips/s of the front-ends, as they run in evaluation and with the gradient of the waveform.

    The ceiling of each is the real Fourier transform alone, of windows that lie ready: on a CPU in blocks that stay in
    a core's cache, on a GPU all at once.

    Args:
        batch_size: clips of noise.
        duration_seconds: of each clip.
        repeats: timed passes of each.
        device: where the batch lies.
        announce: told what is about to run.

    Returns:
        The report, settings included.

    Raises:
        RequestError: numbers that make no batch.
        RunError: ours or torchaudio's output is not the spectrogram.
    """
    if batch_size < 1 or not duration_seconds > 0:
        raise RequestError(
            f"bench features: batch_size is {batch_size} and duration_seconds {duration_seconds}; both must be "
            "positive."
        )
    device = torch.device(device)
    environment = current_environment(device)
    contestants = []
    for front_end in FRONT_ENDS:
        shape = (batch_size, 1, round(duration_seconds * front_end.sample_rate))
        waveform = 0.1 * torch.randn(shape, generator=torch_generator("bench features", front_end.name))
        contestants += _rows(front_end, waveform.to(device))
    measurements = measure(contestants, repeats=repeats, min_seconds=MIN_SECONDS, device=device, announce=announce)
    return build_report(
        "features",
        measurements,
        settings={"batch_size": batch_size, "duration_seconds": duration_seconds, "device": str(device)},
        environment=environment,
    )


def _rows(front_end: FrontEnd, waveform: Tensor) -> list[Contestant]:
    ours = LogMel(front_end.features, sample_rate=front_end.sample_rate).to(waveform.device)
    theirs = torchaudio_log_mel(front_end).to(waveform.device)
    ceiling = f"ceiling: rfft alone, {front_end.name}"
    differentiated = f"{front_end.name}, with the gradient"

    def row(label: str, module: nn.Module, role: Role) -> Contestant:
        def run() -> int:
            with torch.no_grad():
                return len(module(waveform))

        return Contestant(
            f"{label}, {front_end.name}",
            run,
            role,
            front_end.name,
            ceiling,
            check=lambda: _wrong(module, front_end, waveform[:CHECKED_CLIPS]),
        )

    def gradient_row(label: str, module: nn.Module, role: Role) -> Contestant:
        wanted = waveform.clone().requires_grad_()

        def run() -> int:
            torch.autograd.grad(module(wanted).sum(), wanted)
            return len(wanted)

        return Contestant(
            f"{label}, {differentiated}",
            run,
            role,
            differentiated,
            ceiling,
            check=lambda: _wrong_gradient(module, front_end, waveform[:CHECKED_CLIPS]),
        )

    frames = len(waveform) * ours.frames(waveform.shape[-1])
    return [
        Contestant(
            ceiling,
            _bare_transform(len(waveform), frames, ours.n_fft, waveform.device),
            Role.CEILING,
            front_end.name,
            note=f"{frames} transforms of {ours.n_fft}",
        ),
        row("ours", ours, Role.OWN),
        row("torchaudio", theirs, Role.PEER),
        gradient_row("ours", ours, Role.OWN),
        gradient_row("torchaudio", theirs, Role.PEER),
    ]


def torchaudio_log_mel(front_end: FrontEnd) -> nn.Module:
    """Its MelSpectrogram, and the decibels with our floor after it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it will drop one day
        from torchaudio.transforms import MelSpectrogram

    features = front_end.features
    mel_spectrogram = MelSpectrogram(
        front_end.sample_rate,
        n_fft=features.n_fft,
        win_length=features.win_length,
        hop_length=features.hop_length,
        n_mels=features.n_mels,
        f_min=features.f_min,
        f_max=features.f_max,
        norm="slaney" if features.mel_norm == "area" else None,
        mel_scale=features.mel_scale,
    )
    return nn.Sequential(mel_spectrogram, _Decibels(features.floor))


class _Decibels(nn.Module):
    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, mel: Tensor) -> Tensor:
        return 10.0 * mel.clamp(min=self.floor).log10()


def _wrong(module: nn.Module, front_end: FrontEnd, waveform: Tensor) -> str | None:
    """What is wrong with a front-end's output beside torchaudio's in double precision, if anything is."""
    expected = torchaudio_log_mel(front_end).to(waveform.device, torch.float64)(waveform.double())
    with torch.no_grad():
        got = module(waveform).double()
    if got.shape != expected.shape:
        return f"its shape is {tuple(got.shape)}, not {tuple(expected.shape)}."
    power, expected_power = 10 ** (got / 10), 10 ** (expected / 10)
    apart = float((power - expected_power).abs().max() / expected_power.max())
    if not apart <= FULL_SCALE_TOLERANCE:
        return f"it is {apart:.2g} of full scale away from torchaudio in double precision."
    heard = expected_power > HEARD * expected_power.amax(dim=2, keepdim=True)
    decibels = float((got - expected)[heard].abs().max())
    return None if decibels <= DECIBEL_TOLERANCE else f"it is {decibels:.2g} dB away from torchaudio."


def _wrong_gradient(module: nn.Module, front_end: FrontEnd, waveform: Tensor) -> str | None:
    """What is wrong with the waveform's gradient beside torchaudio's in double precision, if anything is."""
    double = torchaudio_log_mel(front_end).to(waveform.device, torch.float64)
    expected = _gradient_of_sum(double, waveform.double())
    got = _gradient_of_sum(module, waveform).double()
    apart = float((got - expected).norm() / expected.norm())
    if apart <= GRADIENT_TOLERANCE:
        return None
    return f"its gradient is {apart:.2g} of its norm away from torchaudio in double precision."


def _gradient_of_sum(module: nn.Module, waveform: Tensor) -> Tensor:
    wanted = waveform.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(module(wanted).sum(), wanted)
    return gradient


def _bare_transform(clips: int, frames: int, n_fft: int, device: torch.device) -> Callable[[], int]:
    """As many transforms as ``clips`` clips have ``frames`` frames in all."""
    if device.type != "cpu":
        windows = torch.randn(frames, n_fft, device=device)

        def at_once() -> int:
            torch.fft.rfft(windows)
            return clips

        return at_once
    threads = torch.get_num_threads()
    rounds = math.ceil(frames * n_fft / BLOCK_SAMPLES / threads)
    length = math.ceil(frames / (rounds * threads))  # as long for every thread
    block = torch.randn(length, n_fft)

    def transform(windows: Tensor) -> None:
        torch.fft.rfft(windows)

    tasks = [partial(transform, block[: min(length, frames - start)]) for start in range(0, frames, length)]

    def block_by_block() -> int:
        side_by_side(tasks)
        return clips

    return block_by_block
