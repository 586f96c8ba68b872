import pytest
import torch
from torch import Tensor

from tonearm.benchmarks import augment as bench
from tonearm.benchmarks.augment import bench_augment, difference_from_singles
from tonearm.benchmarks.harness import Role
from tonearm.config import AugmentationConfig, Config
from tonearm.errors import RequestError, RunError
from tonearm.gpu_augment import Chain, Noise
from tonearm.seeding import torch_generator

WAVEFORM = (
    {"noise": {"p": 0.3}},
    {"time_shift_stretch": {"p": 0.5}},
    {"noise": {"p": 0.2}},
)
SPECGRAM = ({"time_masking": {"p": 0.5, "time_mask_param": 8}},)


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


def test_each_effect_alone_then_the_chain_beside_a_copy() -> None:
    report = bench_augment(config(), batch_size=4, sample_rate=8000, duration_seconds=1.5, repeats=2)
    assert [(result.name, result.ceiling) for result in report.results] == [
        ("noise, p=1", "ceiling: copy, waveform"),
        ("time_shift_stretch, p=1", "ceiling: copy, waveform"),
        ("noise, p=1 (2)", "ceiling: copy, waveform"),
        ("waveform chain", "ceiling: copy, waveform"),
        ("ceiling: copy, waveform", None),
        ("time_masking, p=1", "ceiling: copy, specgram"),
        ("specgram chain", "ceiling: copy, specgram"),
        ("ceiling: copy, specgram", None),
    ]
    by_name = {result.name: result for result in report.results}
    assert by_name["waveform chain"].note == "p: noise 0.3, time_shift_stretch 0.5, noise 0.2"
    assert by_name["ceiling: copy, waveform"].note == "0.2 MB in (4, 1, 12000)"
    assert by_name["ceiling: copy, specgram"].role is Role.CEILING
    assert {result.num_clips for result in report.results} == {4}


def test_without_specgram_effects_there_is_no_specgram() -> None:
    report = bench_augment(config(specgram=()), batch_size=2, sample_rate=8000, duration_seconds=1.5, repeats=1)
    assert not any("specgram" in result.name for result in report.results)


def test_effects_run_on_every_clip_whatever_their_own_p(monkeypatch: pytest.MonkeyPatch) -> None:
    chains: dict[str, Chain] = {}
    original = bench._contestant

    def spy(name: str, chain: Chain, *more: object) -> object:
        chains[name] = chain
        return original(name, chain, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(bench, "_contestant", spy)
    bench_augment(config(), batch_size=2, sample_rate=8000, duration_seconds=1.5, repeats=1)
    probabilities = {name: [effect.p for effect in chain.effects] for name, chain in chains.items()}
    assert probabilities["noise, p=1 (2)"] == [1.0]
    assert probabilities["waveform chain"] == [0.3, 0.5, 0.2]


class LeaksAcrossTheBatch(Noise):
    """Noise that also lets the first clip of a batch be heard in the others."""

    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        return super().effect(clips, parameters, lengths) + 0.01 * clips[:1]


class Nan(Noise):
    def effect(self, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
        return clips * torch.nan


def test_a_batch_that_is_not_the_stack_of_its_clips_is_found() -> None:
    batch = torch.rand(3, 1, 1000, generator=torch_generator("test"))
    assert difference_from_singles(Chain([Noise(p=1.0)]), batch) is None
    assert "clip 1 of the batch is" in str(difference_from_singles(Chain([LeaksAcrossTheBatch(p=1.0)]), batch))
    assert "clip 0 of the batch is nan off" in str(difference_from_singles(Chain([Nan(p=1.0)]), batch))


def test_a_wrong_effect_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(effects: AugmentationConfig, *, sample_rate: int) -> tuple[Chain, Chain]:
        return Chain([LeaksAcrossTheBatch(p=1.0)]), Chain([])

    monkeypatch.setattr(bench, "build_chains", leaky)
    with pytest.raises(RunError, match="noise, p=1 gives a wrong output, so nothing was timed: clip 1 of the batch"):
        bench_augment(config(specgram=()), batch_size=2, sample_rate=8000, duration_seconds=1.5, repeats=1)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(RequestError, match="has no augmentation"):
        bench_augment(config((), ()))
    with pytest.raises(RequestError, match="batch_size is 0"):
        bench_augment(config(), batch_size=0)
