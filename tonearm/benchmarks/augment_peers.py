"""The peers of augmentation: which effect of which library stands in which group, and how each is checked and run."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch

from tonearm.benchmarks import augment_groups as groups
from tonearm.benchmarks import augment_physics as physics
from tonearm.benchmarks.augment_material import Material
from tonearm.benchmarks.augment_rows import Kind
from tonearm.benchmarks.harness import Contestant, Role
from tonearm.benchmarks.peer_environment import AUGMENTATION, PEERS_FOLDER, peers_python
from tonearm.benchmarks.peer_process import PeerProcess
from tonearm.benchmarks.sweep import Settings, Value, describe, sweep

PINK_SLOPE_DB = -3.01  # an octave


@dataclass(frozen=True)
class EffectPeer:
    """Another library's effect.

    Attributes:
        name: in the table.
        group: what it is compared within.
        effect: what the script calls it.
        script: in the folder of peers.
        kind: what it takes.
        check: what is wrong with its output, beside that nothing changed.
        may_stay: whether a clip may by chance come out as it was.
        options: further settings.
        axes: settings to sweep.
        note: what a reader of the table has to know.
    """

    name: str
    group: str
    effect: str
    script: str
    kind: Kind = "waveform"
    check: physics.Check = physics.changed
    may_stay: bool = False
    options: Settings = field(default_factory=dict)
    axes: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    note: str = ""

    @property
    def needs_environment(self) -> bool:
        """Whether it runs on packages that tonearm itself does not have."""
        return self.script in ("torch_audiomentations_effects.py", "audiomentations_effects.py")


def effect_peers(material: Material, *, threads: int) -> list[EffectPeer]:
    """Every peer, for checks on these clips and a machine of so many threads."""
    pink = physics.noise_of_slope(PINK_SLOPE_DB, material.sample_rate)
    convolved = physics.convolved_with(material.rir.numpy())
    filtered = physics.treble_removed(material.sample_rate)
    plain = partial(EffectPeer, script="plain_torch.py")
    audio = partial(EffectPeer, script="torchaudio_effects.py")
    masks = partial(audio, kind="specgram", check=physics.masked, may_stay=True, options={"masks": "batch"})
    by_clip = partial(masks, options={"masks": "clip"})
    batched = partial(EffectPeer, script="torch_audiomentations_effects.py")
    single = partial(EffectPeer, script="audiomentations_effects.py", axes={"workers": tuple(sorted({1, threads}))})
    noise = physics.noise_added
    one = "one response for all clips"
    repeated, short = "a second of noise, repeated", "shaped by a filter of 128 points"
    return [
        plain("torch: gather, lerp", groups.STRETCH, "stretch"),
        plain("torch: randn at an SNR", groups.WHITE_NOISE, "white_noise", check=noise),
        single("audiomentations AddGaussianSNR", groups.WHITE_NOISE, "white_noise", check=noise),
        batched(
            "torch-audiomentations AddColoredNoise, flat", groups.WHITE_NOISE, "white_noise", check=noise, note=repeated
        ),
        plain("torch: randn through one FFT, pink", groups.COLOURED_NOISE, "pink_noise", check=pink),
        single("audiomentations AddColorNoise, pink", groups.COLOURED_NOISE, "pink_noise", check=pink, note=short),
        batched(
            "torch-audiomentations AddColoredNoise, pink",
            groups.COLOURED_NOISE,
            "pink_noise",
            check=pink,
            note=repeated,
        ),
        single("audiomentations AddBackgroundNoise", groups.BACKGROUND_NOISE, "background_noise", check=noise),
        plain("torch: FFT of a fast length", groups.REVERB, "reverb", check=convolved, note=one),
        audio("torchaudio fftconvolve", groups.REVERB, "fftconvolve", check=convolved, note=one),
        single("audiomentations ApplyImpulseResponse", groups.REVERB, "reverb", check=convolved, note=one),
        audio("torchaudio phase vocoder", groups.TIME_STRETCH, "time_stretch", note="one rate, 1.25, for all clips"),
        single("audiomentations TimeStretch", groups.TIME_STRETCH, "time_stretch"),
        batched("torch-audiomentations PitchShift", groups.PITCH_SHIFT, "pitch_shift"),
        single("audiomentations PitchShift", groups.PITCH_SHIFT, "pitch_shift"),
        batched("torch-audiomentations LowPassFilter", groups.LOWPASS, "low_pass", check=filtered),
        batched("torch-audiomentations BandPassFilter", groups.BANDPASS, "band_pass", check=filtered),
        masks("torchaudio TimeMasking, iid", groups.TIME_MASKS, "time_masking"),
        by_clip("torchaudio TimeMasking, clip by clip", groups.TIME_MASKS, "time_masking"),
        masks("torchaudio FrequencyMasking, iid", groups.FREQUENCY_MASKS, "frequency_masking"),
        by_clip("torchaudio FrequencyMasking, clip by clip", groups.FREQUENCY_MASKS, "frequency_masking"),
        masks("torchaudio SpecAugment, iid", groups.SPEC_AUGMENT, "spec_augment"),
        by_clip("torchaudio SpecAugment, clip by clip", groups.SPEC_AUGMENT, "spec_augment"),
    ]


def peer_contestants(
    stack: ExitStack,
    peers: Sequence[EffectPeer],
    material: Material,
    folder: Path,
    *,
    ceilings: Mapping[Kind, str],
    pass_seconds: float,
    device: torch.device,
    announce: Callable[[str], None],
) -> list[Contestant]:
    """The peers as contestants: a process for each script, ended by ``stack``; the settings are swept.

    Args:
        stack: ends the processes.
        peers: to measure.
        material: what ``write_material`` left in ``folder``.
        folder: of the clips.
        ceilings: names, by what an effect takes.
        pass_seconds: how long a pass lasts at least.
        device: where the batch lies.
        announce: told what is about to run.
    """
    environment = peers_python(AUGMENTATION, announce=announce) if any(p.needs_environment for p in peers) else None
    arguments = {
        "--folder": folder,
        "--device": device,
        "--sample-rate": material.sample_rate,
        "--threads": torch.get_num_threads(),
        "--pass-seconds": pass_seconds,
    }
    words = [str(word) for argument in arguments.items() for word in argument]
    processes: dict[str, PeerProcess] = {}
    contestants = []
    for peer in peers:
        if peer.script not in processes:
            announce(f"starting {peer.script}")
            python = environment if peer.needs_environment and environment else Path(sys.executable)
            command: list[str | Path] = [python, PEERS_FOLDER / peer.script, *words]
            processes[peer.script] = stack.enter_context(closing(PeerProcess(peer.script, command)))
        announce(f"sweeping the settings of {peer.name}")
        process = processes[peer.script]
        settings = {"effect": peer.effect, **peer.options, **sweep(peer.axes, partial(_rate, process, peer))}
        contestants.append(_contestant(peer, process, settings, material, ceilings[peer.kind]))
    return contestants


def _rate(process: PeerProcess, peer: EffectPeer, settings: Settings) -> float:
    process.open({"effect": peer.effect, **peer.options, **settings})
    done = process.run_pass()
    return done.num_clips / done.seconds


def _contestant(
    peer: EffectPeer, process: PeerProcess, settings: Settings, material: Material, ceiling: str
) -> Contestant:
    def check() -> str | None:
        process.open(settings)
        before, after = material.batch(peer.kind).cpu().numpy(), process.augmented()
        return physics.first_fault(
            before, after, physics.mostly_changed if peer.may_stay else physics.changed, peer.check
        )

    versions = ", ".join(f"{package} {version}" for package, version in process.versions.items())
    return Contestant(
        peer.name,
        process.run_pass,
        role=Role.PEER,
        group=peer.group,
        ceiling=ceiling,
        check=check,
        prepare=lambda: process.open(settings),
        note="; ".join(filter(None, [peer.note, describe(peer.axes, settings), versions])),
    )
