import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from typer.testing import CliRunner

from tonearm.benchmarks import matrix_rate, model, model_trials
from tonearm.benchmarks.benched_system import DEFAULT_SYSTEMS, benched_system
from tonearm.benchmarks.harness import Contestant, Measurement, Role, measure
from tonearm.benchmarks.matrix_rate import MatrixProduct, rate_text
from tonearm.benchmarks.model import bench_model
from tonearm.benchmarks.model_rows import Pass, Row, rows_of
from tonearm.benchmarks.model_trials import BenchedSystem, LeftOut
from tonearm.benchmarks.peak_memory import peak_growth
from tonearm.benchmarks.report import BenchmarkReport, load_report
from tonearm.commands.bench import app
from tonearm.config import FeaturesConfig
from tonearm.errors import ConfigError, RequestError, RunError
from tonearm.models import Network, System

CPU = torch.device("cpu")


class Small(Network):
    """A convolution, a norm, dropout, and a class layer: 16 · 9 + 2 · 16 + 3 · 16 + 3 weights."""

    def __init__(self, *, num_classes: int, in_channels: int = 1, n_mels: int = 16) -> None:
        super().__init__(in_channels=in_channels, n_mels=n_mels)
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Dropout(0.1)
        )
        self.head = nn.Linear(16, num_classes)

    def scores(self, log_mel: Tensor) -> Tensor:
        scores: Tensor = self.head(self.body(log_mel).mean(dim=(2, 3)))
        return scores


class Listening(Small):
    """Hears the waveform as well."""

    takes_waveform: ClassVar[bool] = True

    def forward(self, log_mel: Tensor, waveform: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(log_mel) + waveform.mean(dim=(1, 2))[:, None]


SMALL = System(
    name="small",
    build=Small,
    features=FeaturesConfig(n_fft=256, win_length=256, hop_length=128, n_mels=16),
    sample_rate=8000,
    num_classes=3,
    source="this test",
)
FRAMES = 8000 // 128 + 1
MULTI_ADDS = 16 * FRAMES * 9 * 16 + 16 * 3


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "MIN_SECONDS", 0.0)
    monkeypatch.setattr(matrix_rate, "SIZES", {"cpu": 96})


def small_run(*systems: System, **more: Any) -> BenchmarkReport:
    settings: dict[str, Any] = {"batch_size": 2, "duration_seconds": 1.0, "repeats": 2}
    return bench_model(systems or (SMALL,), **(settings | more))


def bench(system: System = SMALL) -> BenchedSystem:
    return BenchedSystem(system, batch_size=2, duration_seconds=1.0, device=CPU)


def row(
    what: Pass = Pass.FORWARD, precision: str = "fp32", *, channels_last: bool = False, compiled: bool = False
) -> Row:
    return Row("small", what, precision, channels_last, compiled)


def test_each_pass_in_what_a_cpu_has_beside_the_rate_of_its_dtype() -> None:
    report = small_run()
    expected: list[tuple[str, Role, str | None]] = []
    for what in ("forward", "forward and backward"):
        ceilings = {of: f"ceiling: small {what}, all at the {of} matrix rate" for of in ("fp32", "bf16")}
        expected += [(name, Role.CEILING, None) for name in ceilings.values()]
        expected += [
            (f"small {what}, {precision} {layout} eager", Role.OWN, ceilings[precision])
            for precision in ("fp32", "bf16")
            for layout in ("contiguous", "channels_last")
        ]
    assert [(each.name, each.role, each.ceiling) for each in report.results] == expected
    assert {each.num_clips for each in report.results if each.role is Role.OWN} == {2}
    assert [report.settings[key] for key in ("batch_size", "duration_seconds", "device")] == [2, 1.0, "cpu"]
    assert report.settings["left_out"] == (
        f"compiled ({model.NOT_ASKED_FOR}); fp16 (train.precision fp16 needs a GPU; on a CPU it may be fp32 or bf16)"
    )


def test_flops_are_twice_the_multi_adds_and_three_times_that_with_backward() -> None:
    groups = list(dict.fromkeys(each.group for each in small_run(only="fp32").results))
    assert groups == [
        f"small, forward: {2 * MULTI_ADDS / 1e9:.3g} GFLOP a clip, 227 parameters",
        f"small, forward and backward: {6 * MULTI_ADDS / 1e9:.3g} GFLOP a clip, 227 parameters",
    ]


def test_the_share_of_a_made_up_matrix_rate() -> None:
    product = MatrixProduct("bf16", CPU)
    assert product.flop == 2 * 96**3
    # 4 products in a second, then in two: a network with 1/10 of a product a clip could do 40 clips/s, then 20
    measured = Measurement("product", Role.CEILING, "", None, "", 4, (1.0, 2.0))
    ceiling = product.ceiling(measured, name="c", group="g", num_clips=5, flop_per_clip=product.flop // 10)
    assert [5 / seconds for seconds in ceiling.seconds] == pytest.approx([40, 20], rel=1e-4)
    network = Measurement("network", Role.OWN, "g", "c", "", 5, (0.5, 0.5))
    assert network.ratio_to(ceiling).median == pytest.approx((10 / 40 + 10 / 20) / 2, rel=1e-4)
    assert ceiling.note == f"{rate_text(3 * product.flop)} in a product of bf16 matrices, 96 × 96"
    assert (ceiling.name, ceiling.group, ceiling.num_clips, ceiling.role) == ("c", "g", 5, Role.CEILING)


def test_rates_have_three_digits() -> None:
    assert [rate_text(rate) for rate in (1.234e9, 999.4e9, 1.5e12)] == ["1.23 GFLOP/s", "999 GFLOP/s", "1.5 TFLOP/s"]


def test_a_wrong_product_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    contestant = MatrixProduct("fp32", CPU).contestant("product")
    assert measure([contestant], repeats=1)[0].num_clips == 1
    monkeypatch.setattr(torch, "mm", lambda left, right, *, out: out.copy_(left))
    with pytest.raises(RunError, match=r"product gives a wrong output, so nothing was timed: its first row is off by"):
        measure([contestant], repeats=1)


def test_notes_tell_the_rate_beside_the_plain_row_and_the_memory() -> None:
    plain, other = (each for each in small_run(only="forward, fp32").results if each.role is Role.OWN)
    assert plain.note == f"{rate_text(plain.clips_per_second.median * 2 * MULTI_ADDS)}; peak 0 MB"
    ratio = other.measurement().ratio_to(plain.measurement()).median
    assert other.note.startswith(f"{ratio:.3g} × fp32 contiguous eager; ")


def test_only_filters_by_name() -> None:
    report = small_run(only="backward, bf16 channels_last")
    assert [each.name for each in report.results if each.role is Role.OWN] == [
        "small forward and backward, bf16 channels_last eager"
    ]
    assert report.settings["only"] == "backward, bf16 channels_last"
    assert report.settings["left_out"] == f"compiled ({model.NOT_ASKED_FOR})"  # and fp16 was not wanted


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"duration_seconds": 0.0}, r"duration_seconds 0\.0; both must be positive"),
        ({"only": "nothing"}, "only is 'nothing', which is found in no row's name, such as 'small forward, fp32"),
        ({"only": "("}, r"only is '\(', which is no regular expression: missing"),
        ({"systems": ()}, "the systems are none; name each once"),
        ({"systems": (SMALL, SMALL)}, "the systems are small, small; name each once"),
    ],
)
def test_what_makes_no_run_is_refused(settings: dict[str, Any], complaint: str) -> None:
    asked: dict[str, Any] = {"systems": (SMALL,), "batch_size": 2}
    with pytest.raises(RequestError, match=f"bench model: .*{complaint}"):
        bench_model(**(asked | settings))


def test_every_row_that_a_cpu_runs_passes_its_trial() -> None:
    tried = bench()
    for each in rows_of("small"):
        if not each.compiled:
            trial = tried.try_out(each)
            assert (trial.loss_scale > 1) == (each.precision == "fp16" and each.what is Pass.TRAINING)
            assert trial.compile_seconds == 0


def test_a_changed_weight_is_found() -> None:
    tried = bench()
    for what in Pass:
        with torch.no_grad():
            tried._networks[True, what].get_parameter("head.weight")[0] *= 3
        tried.try_out(row(what))  # the other format has weights of its own
    with pytest.raises(LeftOut, match=r"its scores are .*% off those of fp32 contiguous eager; 0\.1% is allowed"):
        tried.try_out(row(channels_last=True))
    with pytest.raises(LeftOut, match=r"the norm of its gradients is .* times that of fp32 .*; 0\.5 to 2 is allowed"):
        tried.try_out(row(Pass.TRAINING, channels_last=True))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_gradients_of_the_right_norm_that_point_elsewhere_are_found(precision: str) -> None:
    def negated(_: nn.Module, __: object, scores: Tensor) -> Tensor:
        return 2 * scores.detach() - scores

    tried = bench()
    tried._networks[True, Pass.TRAINING].register_forward_hook(negated)
    with pytest.raises(LeftOut, match=r"its gradients are (199|200)\.\d\d% off those of fp32 .*; \d+\.0% is allowed"):
        tried.try_out(row(Pass.TRAINING, precision, channels_last=True))


class Dropping(Small):
    """Drops channels as a module, then half of a map by the function, then clips by a draw of its own."""

    def __init__(self, *, num_classes: int, in_channels: int = 1, n_mels: int = 16) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels, n_mels=n_mels)
        self.body.append(nn.Dropout2d(0.3))

    def scores(self, log_mel: Tensor) -> Tensor:
        x = functional.dropout(self.body(log_mel), 0.5, self.training)
        if self.training:
            x = x * torch.rand(len(x), 1, 1, 1)
        scores: Tensor = self.head(x.mean(dim=(2, 3)))
        return scores


def test_dropout_makes_no_gradient_wrong() -> None:
    dropping = bench(replace(SMALL, build=Dropping))
    assert dropping._gradient_error(row(Pass.TRAINING, channels_last=True)) < 1e-5
    assert dropping._networks[False, Pass.TRAINING].get_parameter("head.weight").grad is None


def test_a_compiled_row_is_judged_by_the_norm_of_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = bench()
    monkeypatch.setattr(tried, "_gradient_error", lambda _: float("nan"))
    for compiled, complaint in ((False, "its gradients are nan% off"), (True, None)):
        each = row(Pass.TRAINING, compiled=compiled)
        tried._compiled[False, Pass.TRAINING] = tried._networks[False, Pass.TRAINING]
        fault = tried._fault_of_gradients(each)
        assert fault is None if complaint is None else complaint in str(fault)


def test_what_is_not_finite_is_found() -> None:
    tried = bench()
    tried._networks[False, Pass.FORWARD].get_parameter("head.bias").data.fill_(float("nan"))
    with pytest.raises(LeftOut, match="its scores are not finite"):
        tried.try_out(row())
    with pytest.raises(LeftOut, match=r"its gradients are not finite\."):
        tried.try_out(row(Pass.TRAINING, "bf16"))
    with pytest.raises(LeftOut, match=r"its gradients are not finite at any loss scale\."):
        tried.try_out(row(Pass.TRAINING, "fp16"))


def test_the_loss_scale_is_halved_until_gradients_are_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_trials, "LARGEST_LOSS_SCALE", 2.0**40)
    tried = bench()
    fp16 = row(Pass.TRAINING, "fp16")
    scale = tried.try_out(fp16).loss_scale
    assert 1 < scale < 2.0**40
    tried.forward_backward(fp16)  # what is timed has the scale in it
    assert tried._networks[False, Pass.TRAINING].get_parameter("head.weight").grad.norm() > scale / 100  # type: ignore[union-attr]


def test_a_training_pass_leaves_no_gradients_and_the_forward_pass_as_it_was() -> None:
    tried = bench()
    before = tried.forward(row())
    assert tried.pass_of(row(Pass.TRAINING))() == 2
    network = tried._networks[False, Pass.TRAINING]
    assert all(weight.grad is None for weight in network.parameters())
    assert network.get_buffer("body.1.num_batches_tracked") > tried._networks[False, Pass.FORWARD].get_buffer(
        "body.1.num_batches_tracked"
    )
    assert torch.equal(tried.forward(row()), before)


def test_weights_are_shared_by_passes_and_lie_in_their_format() -> None:
    networks = bench()._networks
    weights = {key: network.get_parameter("body.0.weight") for key, network in networks.items()}
    for channels_last in (False, True):
        assert weights[channels_last, Pass.FORWARD] is weights[channels_last, Pass.TRAINING]
    assert [network.training for network in networks.values()] == [False, True, False, True]


def test_a_network_that_hears_the_waveform_gets_it() -> None:
    report = small_run(replace(SMALL, build=Listening), only="fp32")
    assert len([each for each in report.results if each.role is Role.OWN]) == 4


def out_of_memory_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    forward = BenchedSystem.forward

    def run_out(self: BenchedSystem, of: Row) -> Tensor:
        if name in of.name:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\nand much more")
        return forward(self, of)

    monkeypatch.setattr(BenchedSystem, "forward", run_out)


def test_a_row_without_memory_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_at(monkeypatch, "forward, bf16 channels_last")
    report = small_run(only="forward, .*eager")
    assert [each.name for each in report.results if each.role is Role.OWN] == [
        "small forward, fp32 contiguous eager",
        "small forward, fp32 channels_last eager",
        "small forward, bf16 contiguous eager",
    ]
    assert str(report.settings["left_out"]).endswith(
        "small forward, bf16 channels_last eager (out of memory: CUDA out of memory. Tried to allocate 9 GiB)"
    )


def test_a_system_without_memory_is_left_out_and_the_next_one_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_memory_at(monkeypatch, "small")
    with pytest.raises(RunError, match=r"every row was left out, so nothing was timed: small \(out of memory"):
        small_run(only="fp32.*eager")
    report = small_run(SMALL, replace(SMALL, name="tiny"), only="fp32.*eager")
    assert {each.name.split()[0] for each in report.results if each.role is Role.OWN} == {"tiny"}
    assert "small (out of memory" in str(report.settings["left_out"])


def test_the_allocator_of_a_cpu_is_out_of_memory_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Tensor:
        return torch.empty(2**60)

    tried = bench()
    monkeypatch.setattr(tried, "forward", refuse)
    with pytest.raises(LeftOut, match=r"^out of memory: .*can't allocate memory"):
        tried.try_out(row())


def test_a_bug_of_ours_goes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = bench()
    for error, each in (
        (KeyError("no such key"), row()),
        (RuntimeError("shapes cannot be multiplied"), row()),
        (RunError("cannot go on"), row(precision="bf16")),
    ):

        def fail(_: Row, error: Exception = error) -> Tensor:
            raise error

        monkeypatch.setattr(tried, "forward", fail)
        with pytest.raises(type(error), match=str(error.args[0])):
            tried.try_out(each)


def test_a_network_with_a_bug_ends_the_run() -> None:
    class Wrong(Small):
        def scores(self, log_mel: Tensor) -> Tensor:
            return super().scores(log_mel) @ log_mel.new_ones(4, 4)

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        small_run(SMALL, replace(SMALL, name="wrong", build=Wrong), only="fp32.*eager")


@pytest.mark.parametrize(
    "said", ["CUDA error: out of memory", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"]
)
def test_cuda_is_out_of_memory_in_other_words_as_well(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def fail(_: Row) -> Tensor:
        raise RuntimeError(said)

    tried = bench()
    monkeypatch.setattr(tried, "forward", fail)
    with pytest.raises(LeftOut, match=f"^out of memory: {re.escape(said)}$"):
        tried.try_out(row())


def test_a_compiler_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Row) -> Tensor:
        raise RuntimeError(
            "C++ compile error\n\nCommand:\ng++ a.cpp\n\na.cpp:46:50: error: no member named 'to'\nand so on"
        )

    tried = bench()
    monkeypatch.setattr(tried, "forward", fail)
    with pytest.raises(LeftOut, match=r"^RuntimeError: C\+\+ compile error: no member named 'to'$"):
        tried.try_out(row(channels_last=True))


def test_what_torch_compile_did_not_compile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda network, **_: network)
    with pytest.raises(LeftOut, match="torch.compile compiled nothing"):
        bench().try_out(row(compiled=True))


@pytest.fixture
def nothing_compiled() -> Iterator[None]:
    yield
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_compiled")
def test_a_compiled_row_is_compiled() -> None:
    report = small_run(only="fp32 channels_last compiled", compiled=True)
    forward, training = (each for each in report.results if each.role is Role.OWN)
    for each in (forward, training):
        assert "compiled in " in each.note
    assert "left_out" not in report.settings


def test_the_peak_is_what_lies_there_at_once() -> None:
    def run() -> None:
        for _ in range(2):
            held = torch.empty(1_000_000)
            torch.empty(500_000).fill_(1)
            del held

    assert peak_growth(run, CPU) == 6_000_000


def test_a_trial_counts_weights_and_input_too() -> None:
    tried = bench()
    there = tried._bytes_there(row())
    assert there >= 4 * (227 + 2 * 16 * FRAMES)
    # the map after the convolution, at least
    assert tried.try_out(row()).peak_bytes >= there + 4 * 2 * 16 * 16 * FRAMES


def test_passes_have_a_least_length_and_the_device_is_synchronised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def spy(contestants: list[Contestant], **more: object) -> list[Measurement]:
        asked.update(more)
        return measure(contestants, repeats=1)

    monkeypatch.setattr(model, "MIN_SECONDS", 0.01)
    monkeypatch.setattr(model, "measure", spy)
    small_run(repeats=3, only="forward, fp32")
    assert (asked["min_seconds"], asked["device"], asked["repeats"]) == (0.01, CPU, 3)


def test_the_global_generator_stays_as_it_is() -> None:
    before = torch.get_rng_state()
    small_run(only="forward, fp32")
    assert torch.equal(torch.get_rng_state(), before)


def test_systems_are_named_as_in_the_catalog_or_by_a_configuration(tmp_path: Path) -> None:
    assert benched_system("erann-4x2-3").num_classes == 527
    esc50 = benched_system("esc50")
    assert (esc50.name, esc50.num_classes, esc50.sample_rate, esc50.features.hop_length) == ("esc50", 50, 44100, 882)
    build: Callable[..., Network] = partial(esc50.build, num_classes=50)
    with torch.device("meta"):
        assert build().num_classes == 50
    named = tmp_path / "named.yaml"
    named.write_text("model: erann-4x2-3\nfeatures: {hop_length: 300}\n")
    system = benched_system(str(named))
    assert (system.sample_rate, system.num_classes, system.features.hop_length) == (44100, 527, 300)
    headless = tmp_path / "headless.yaml"
    headless.write_text("model: {blocks: [{res: [4, 4]}, {pooling: {}}]}\n")
    assert benched_system(str(headless)).num_classes == 50
    assert [benched_system(name).name for name in DEFAULT_SYSTEMS] == list(DEFAULT_SYSTEMS)
    with pytest.raises(ConfigError, match="nowhere: no such model.* Nor is it a configuration"):
        benched_system("nowhere")


def test_on_the_command_line(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "sample_rate: 8000\n"
        "features: {n_fft: 256, win_length: 256, hop_length: 128, n_mels: 16}\n"
        "model: {blocks: [{res: [4, 4]}, {activation: relu}, {pooling: {}}, {fc: 5}]}\n"
    )
    words = ["model", str(recipe), "--duration-seconds", "1", "--batch-size", "2", "--repeats", "1", "--device", "cpu"]
    done = CliRunner().invoke(
        app, [*words, "--only", "forward, fp32", "--out", str(tmp_path / "out.json")], catch_exceptions=False
    )
    assert done.exit_code == 0
    assert "fp32 channels_last eager" in done.output
    report = load_report(tmp_path / "out.json")
    assert report.benchmark == "model"
    assert len(report.results) == 3
