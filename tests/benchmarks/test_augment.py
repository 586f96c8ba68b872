from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tonearm import gpu_augment
from tonearm.benchmarks import augment as bench
from tonearm.benchmarks import augment_groups as groups
from tonearm.benchmarks.augment import CEILINGS, bench_augment
from tonearm.benchmarks.augment_material import Material
from tonearm.benchmarks.augment_rows import ROWS, Row
from tonearm.benchmarks.harness import Contestant, Role, measure
from tonearm.benchmarks.report import BenchmarkReport
from tonearm.config import AugmentationConfig, Config
from tonearm.errors import RequestError, RunError
from tonearm.gpu_augment import Augmentation, Chain, Noise, TimeMasking
from tonearm.models import LogMel

WAVEFORM = (
    {"noise": {"p": 0.3}},
    {"time_shift_stretch": {"p": 0.5}},
    {"noise": {"p": 0.3}},
)
SPECGRAM = ({"time_masking": {"p": 0.5, "time_mask_param": 8}},)
TWO_ROWS = (
    Row("Noise", groups.WHITE_NOISE, lambda _: Noise(1.0), note="loud"),
    Row("Masks", groups.TIME_MASKS, lambda _: TimeMasking(8, 1.0), kind="specgram", every_time=False),
)


def config(waveform: tuple[object, ...] = WAVEFORM, specgram: tuple[object, ...] = SPECGRAM) -> Config:
    return Config.model_validate(
        {
            "features": {"n_fft": 256, "win_length": 256, "hop_length": 128, "n_mels": 16},
            "augmentation": {"waveform": waveform, "specgram": specgram},
            "model": {"blocks": ({"pooling": {}},)},
        }
    )


@pytest.fixture(autouse=True)
def short_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(bench, "ROWS", TWO_ROWS)


def small_run(recipe: Config | None = None, **more: Any) -> BenchmarkReport:
    settings = {"batch_size": 2, "sample_rate": 8000, "duration_seconds": 1.5, "repeats": 1, "device": "cpu"}
    return bench_augment(recipe or config(), **(settings | more))


def rows_are(monkeypatch: pytest.MonkeyPatch, *rows: Row) -> None:
    monkeypatch.setattr(bench, "ROWS", rows)


def test_each_effect_then_the_chains_and_their_steps_beside_a_copy() -> None:
    report = small_run(batch_size=4, repeats=2)
    waveform, specgram = CEILINGS.values()
    assert [(result.group, result.name, result.ceiling) for result in report.results] == [
        (groups.CEILINGS, waveform, None),
        (groups.CEILINGS, specgram, None),
        (groups.CEILINGS, "torch.randn", waveform),
        (groups.WHITE_NOISE, "Noise", waveform),
        (groups.TIME_MASKS, "Masks", specgram),
        (groups.CHAINS, "waveform chain", waveform),
        (groups.CHAINS, "waveform chain: sampling", None),
        (groups.CHAINS, "waveform chain: noise, p=0.3", None),
        (groups.CHAINS, "waveform chain: time_shift_stretch, p=0.5", None),
        (groups.CHAINS, "waveform chain: noise, p=0.3 (2)", None),
        (groups.CHAINS, "specgram chain", specgram),
        (groups.CHAINS, "specgram chain: sampling", None),
        (groups.CHAINS, "specgram chain: time_masking, p=0.5", None),
    ]
    by_name = {result.name: result for result in report.results}
    assert by_name["Noise"].note == "loud"
    assert by_name[waveform].note == "0.2 MB in (4, 1, 12000)"
    assert {result.role for result in report.results if result.group == groups.CEILINGS} == {Role.CEILING}
    assert {result.num_clips for result in report.results} == {4}
    assert all(len(result.seconds) == 2 for result in report.results)


def test_without_an_augmentation_there_are_no_chains() -> None:
    assert not any("chain" in result.name for result in small_run(config((), ())).results)


def test_a_chain_may_hold_what_has_no_p_and_crop_what_it_mixes() -> None:
    waveform = ({"crop": {"num_samples": 4000}}, {"chain": {"effects": [{"noise": {}}]}}, {"mixup": {}})
    names = [result.name for result in small_run(config(waveform, ()), only="waveform chain").results]
    labels = ["sampling", "crop", "chain", "mixup, p=1"]
    assert names[3:] == ["waveform chain", *(f"waveform chain: {label}" for label in labels)]


def test_a_part_can_be_measured_alone() -> None:
    report = small_run(only="^white noise|specgram chain$")
    assert [result.name for result in report.results[3:]] == [
        "Noise",
        "specgram chain",
        "specgram chain: sampling",
        "specgram chain: time_masking, p=0.5",
    ]
    assert report.settings["only"] == "^white noise|specgram chain$"
    assert "only" not in small_run(config((), ())).settings


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"duration_seconds": 0.0}, r"duration_seconds 0\.0; both must be positive"),
        ({"only": "nothing"}, "only is 'nothing', which is found in no row"),
        ({"only": "("}, r"only is '\(', which is no regular expression: missing"),
    ],
)
def test_what_makes_no_run_is_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(RequestError, match=f"bench augment: .*{complaint}"):
        small_run(**settings)


class LeaksAcrossTheBatch(Noise):
    """Noise that also lets the first clip of a batch be heard in the others."""

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        return super().effect(clips, parameters, lengths) + 0.01 * clips[:1]


class Idle(Noise):
    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        return clips.clone()


class SameNoise(Noise):
    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        return super().effect(clips, parameters * torch.tensor([1.0, 0.0, 0.0]), lengths)


@pytest.mark.parametrize(
    ("effect", "complaint"),
    [
        (Idle, "at p = 1 it leaves 16 of 16 clips as they were"),
        (SameNoise, "it does the same to all of 16 equal clips"),
        (LeaksAcrossTheBatch, "clip 1 of the batch"),
    ],
)
def test_a_wrong_effect_is_not_timed(
    monkeypatch: pytest.MonkeyPatch, effect: Callable[[float], Augmentation], complaint: str
) -> None:
    rows_are(monkeypatch, Row("Wrong", "group", lambda _: effect(1.0)))
    with pytest.raises(RunError, match=f"Wrong gives a wrong output, so nothing was timed: {complaint}"):
        small_run()


def test_a_wrong_chain_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(effects: AugmentationConfig, *, sample_rate: int) -> tuple[Chain, Chain]:
        return Chain([LeaksAcrossTheBatch(p=1.0) for _ in effects.waveform]), Chain([])

    monkeypatch.setattr(bench, "build_chains", leaky)
    with pytest.raises(RunError, match="waveform chain gives a wrong output, so nothing was timed: clip 1 of"):
        small_run(config(specgram=()))


def test_the_ceiling_copies_the_batch() -> None:
    batch, target = torch.rand(3, 1, 100), torch.zeros(3, 1, 100)
    assert bench._copy("ceiling", batch, target).run() == 3
    assert torch.equal(target, batch)


def test_specgram_effects_get_the_log_mel_of_the_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Material] = []

    def make(on: Material) -> Augmentation:
        given.append(on)
        return TimeMasking(8, 1.0)

    rows_are(monkeypatch, replace(TWO_ROWS[1], make=make))
    small_run()
    (material,) = given
    assert torch.equal(material.specgram, LogMel(config().features, sample_rate=8000)(material.waveform))
    assert material.specgram.std() > 0.1
    assert len({clip.numpy().tobytes() for clip in material.waveform}) == 2


def test_passes_have_a_least_length_and_the_device_is_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def spy(contestants: Sequence[Contestant], **more: object) -> object:
        asked.update(more)
        return measure(contestants, repeats=1)

    monkeypatch.setattr(bench, "MIN_SECONDS", 0.01)
    monkeypatch.setattr(bench, "measure", spy)
    small_run(repeats=3)
    assert (asked["min_seconds"], asked["device"], asked["repeats"]) == (0.01, torch.device("cpu"), 3)


def test_the_global_generator_stays_as_it_is() -> None:
    before = torch.get_rng_state()
    small_run()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_compiled_row_applies_what_was_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def fake(function: Callable[..., Tensor], **more: object) -> Callable[..., Tensor]:
        def run(*arguments: object) -> Tensor:
            compiled.append(more)
            return function(*arguments)

        return run

    monkeypatch.setattr(torch, "compile", fake)
    small_run()
    assert compiled == []
    rows_are(monkeypatch, replace(TWO_ROWS[0], compiled=True))
    small_run()
    assert compiled == [{"fullgraph": True}] * len(compiled) != []


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in ROWS if not row.compiled], ids=lambda row: row.name)
def test_every_row_passes_its_check(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    rows_are(monkeypatch, row)
    recipe = Config.model_validate({"model": {"blocks": ({"pooling": {}},)}})
    report = small_run(recipe, batch_size=3, sample_rate=44100)
    assert report.results[-1].name == row.name


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_every_effect_of_the_library_has_a_row() -> None:
    effects = {
        name
        for name in gpu_augment.__all__
        if isinstance(thing := getattr(gpu_augment, name), type) and issubclass(thing, Augmentation)
    }
    bases = {"Augmentation", "ClipEffect", "PairEffect", "Chain"}
    named = " ".join(row.name for row in ROWS)
    assert [name for name in sorted(effects - bases) if name not in named] == []
