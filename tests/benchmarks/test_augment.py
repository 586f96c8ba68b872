import pytest
import torch
from torch import Tensor

from tonearm.benchmarks import augment as bench
from tonearm.benchmarks.augment import bench_augment, difference_from_singles, idleness
from tonearm.benchmarks.harness import Role, measure
from tonearm.config import AugmentationConfig, Config
from tonearm.errors import RequestError, RunError
from tonearm.gpu_augment import Chain, Noise, Reverb, TimeMasking
from tonearm.models import LogMel
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

    def spy(name: str, chain: Chain, *more: object, **named: object) -> object:
        chains[name] = chain
        return original(name, chain, *more, **named)  # type: ignore[arg-type]

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


def test_the_clips_checked_are_those_that_an_effect_touches() -> None:
    batch = torch.rand(64, 1, 1000, generator=torch_generator("test"))
    for effect in (LeaksAcrossTheBatch(p=0.05), Nan(p=0.05)):
        # the first effect touches other clips than the second
        complaint = difference_from_singles(Chain([Noise(p=0.1), effect]), batch)
        assert "of the batch is" in str(complaint)


def leave(self: Noise, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
    return clips.clone()


def leave_half(self: Noise, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
    return torch.where(parameters[:, :1, None] < 15, clips, EFFECT(self, clips, parameters, lengths))


def same_noise(self: Noise, clips: Tensor, parameters: Tensor, lengths: Tensor | None) -> Tensor:
    return EFFECT(self, clips, parameters * torch.tensor([1.0, 0.0, 0.0]), lengths)


EFFECT = Noise.effect


@pytest.mark.parametrize(
    ("effect", "complaint"),
    [
        (leave, "at p = 1 it leaves 16 of 16 clips as they were"),
        (leave_half, "at p = 1 it leaves"),
        (same_noise, "it does the same to all of 16 equal clips"),
    ],
)
def test_an_effect_that_does_nothing_or_the_same_to_all_is_not_timed(
    monkeypatch: pytest.MonkeyPatch, effect: object, complaint: str
) -> None:
    monkeypatch.setattr(Noise, "effect", effect)
    with pytest.raises(RunError, match=f"noise, p=1 gives a wrong output, so nothing was timed: {complaint}"):
        bench_augment(config(specgram=()), batch_size=1, sample_rate=8000, duration_seconds=1.5, repeats=1)


def test_a_mask_may_by_chance_have_no_width_but_not_always() -> None:
    specgram = torch.rand(1, 16, 40, generator=torch_generator("test"))
    narrow = Chain([TimeMasking(1, p=1.0)])
    assert "it leaves" in str(idleness(narrow, specgram, every_time=True))
    assert idleness(narrow, specgram, every_time=False) is None
    assert "leaves 16 of 16" in str(idleness(Chain([TimeMasking(0, p=1.0)]), specgram, every_time=False))


def test_effects_of_one_level_only_are_not_idle() -> None:
    clip = torch.rand(1, 4000, generator=torch_generator("test"))
    room = Reverb(p=1.0, sample_rate=8000, min_rt60_seconds=0.3, max_rt60_seconds=0.3, min_drr_db=5.0, max_drr_db=5.0)
    for effect in (Noise(p=1.0, min_snr_db=20.0, max_snr_db=20.0), room):
        assert idleness(Chain([effect]), clip, every_time=True) is None


def test_the_ceiling_copies_the_batch() -> None:
    batch, target = torch.rand(3, 1, 100, generator=torch_generator("test")), torch.zeros(3, 1, 100)
    assert bench._copy("ceiling", batch, target).run() == 3
    assert torch.equal(target, batch)


def test_specgram_effects_get_the_log_mel_of_the_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: dict[str, Tensor] = {}
    original = bench._contestants

    def spy(kind: bench.Kind, entries: bench.Entries, batch: Tensor, sample_rate: int) -> object:
        batches[kind] = batch
        return original(kind, entries, batch, sample_rate)

    monkeypatch.setattr(bench, "_contestants", spy)
    bench_augment(config(), batch_size=2, sample_rate=8000, duration_seconds=1.5, repeats=1)
    log_mel = LogMel(config().features, sample_rate=8000)(batches["waveform"])
    assert torch.equal(batches["specgram"], log_mel)
    assert log_mel.std() > 0.1


def test_passes_have_a_least_length_and_the_device_is_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def spy(contestants: object, **more: object) -> object:
        asked.update(more)
        return measure(contestants, repeats=1)  # type: ignore[arg-type]

    monkeypatch.setattr(bench, "MIN_SECONDS", 0.125)
    monkeypatch.setattr(bench, "measure", spy)
    bench_augment(config(specgram=()), batch_size=1, sample_rate=8000, duration_seconds=1.5, repeats=3)
    assert (asked["min_seconds"], asked["device"], asked["repeats"]) == (0.125, torch.device("cpu"), 3)


def test_a_wrong_effect_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(effects: AugmentationConfig, *, sample_rate: int) -> tuple[Chain, Chain]:
        return Chain([LeaksAcrossTheBatch(p=1.0)]), Chain([])

    monkeypatch.setattr(bench, "build_chains", leaky)
    with pytest.raises(RunError, match="noise, p=1 gives a wrong output, so nothing was timed: clip 1 of the batch"):
        bench_augment(config(specgram=()), batch_size=2, sample_rate=8000, duration_seconds=1.5, repeats=1)


def test_a_wrong_chain_of_right_effects_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(effects: AugmentationConfig, *, sample_rate: int) -> tuple[Chain, Chain]:
        effect = Noise if effects.waveform[0].value.p == 1.0 else LeaksAcrossTheBatch
        return Chain([effect(p=1.0)]), Chain([])

    monkeypatch.setattr(bench, "build_chains", leaky)
    with pytest.raises(RunError, match="waveform chain gives a wrong output, so nothing was timed: clip 1 of"):
        bench_augment(config(specgram=()), batch_size=2, sample_rate=8000, duration_seconds=1.5, repeats=1)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(RequestError, match="has no augmentation"):
        bench_augment(config((), ()))
    with pytest.raises(RequestError, match="batch_size is 0"):
        bench_augment(config(), batch_size=0)
