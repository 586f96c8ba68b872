import copy
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, export

from tonearm.config import load_config
from tonearm.errors import ConfigError, ShapeError
from tonearm.models.features import LogMel
from tonearm.models.network import Network, System
from tonearm.models.panns import CNN14, FEATURES, SAMPLE_RATE, SYSTEMS, Pann, ResidualBlock, ResNet38
from tonearm.models.recomputing import set_gradient_checkpointing
from tonearm.models.wavegram import SYSTEMS as WAVEGRAM_SYSTEMS
from tonearm.models.wavegram import WavegramLogmelCNN14
from tonearm.training.augmentation import build_chains

CONFIG = Path(__file__).parents[2] / "configs" / "esc50-cnn14.yaml"
ALL = {system.name: system for system in (*SYSTEMS, *WAVEGRAM_SYSTEMS)}
CHANNELS = (4, 6, 8, 8, 10, 12)
# Two orders of adding the same float32 numbers, on maps of some thousand cells.
ROUNDING: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


def small_cnn14(in_channels: int = 1) -> CNN14:
    return CNN14(num_classes=5, in_channels=in_channels, channels=CHANNELS)


def small_resnet38(in_channels: int = 1) -> ResNet38:
    return ResNet38(num_classes=5, in_channels=in_channels, channels=(4, 6, 8, 8, 12), depths=(2, 1, 2, 1))


def small_wavegram(in_channels: int = 1) -> WavegramLogmelCNN14:
    return WavegramLogmelCNN14(num_classes=5, in_channels=in_channels, channels=CHANNELS, wave_channels=(4, 4, 32, 64))


SMALL: list[Callable[..., Pann]] = [small_cnn14, small_resnet38, small_wavegram]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def heard(network: Network, *, batch: int = 2, frames: int = 96) -> tuple[Tensor, ...]:
    """What the network takes, of clips of so many frames."""
    log_mel = 10 * random(batch, network.in_channels, network.n_mels, frames) - 40
    if not network.takes_waveform:
        return (log_mel,)
    return log_mel, 0.1 * random(batch, network.in_channels, 320 * (frames - 1), seed=1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("cnn14", 80_753_615),
        ("cnn14-128", 80_753_743),  # printed as 80,753,615; the norm of 128 bands has 128 more than that of 64
        ("resnet38", 73_783_247),
        ("wavegram-logmel-cnn14", 81_065_487),
    ],
)
def test_parameters_are_as_published(name: str, parameters: int) -> None:
    system = ALL[name]
    with torch.device("meta"):
        network = system.build(num_classes=527)
        scores = network(*heard(network, batch=3, frames=1001))
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert scores.shape == (3, 527)
    assert (network.num_classes, network.n_mels, network.min_frames) == (527, system.features.n_mels, 32)


@pytest.mark.parametrize("n_mels", [64, 128])
def test_the_front_end_is_librosas(n_mels: int) -> None:
    system = ALL["cnn14" if n_mels == 64 else "cnn14-128"]
    time = torch.arange(SAMPLE_RATE, dtype=torch.float64) / SAMPLE_RATE
    waveform = 0.5 * (2 * math.pi * (100 * time + 6000 * time**2)).sin() + 0.01 * random(SAMPLE_RATE)
    waveform[:8000] = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mel = librosa.feature.melspectrogram(
            y=waveform.float().numpy(), sr=SAMPLE_RATE, n_fft=1024, hop_length=320, n_mels=n_mels, fmin=50,
            fmax=14_000, htk=False, norm="slaney", center=True, pad_mode="reflect", power=2.0,
        )  # fmt: skip
    expected = torch.from_numpy(np.asarray(librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None)))
    got = LogMel(system.features, sample_rate=system.sample_rate)(waveform.float()[None, None])[0, 0]
    assert got.shape == expected.shape == (n_mels, 101)
    assert (got == -100).any()  # the floor, in the silence
    torch.testing.assert_close(got, expected.float(), rtol=0, atol=2e-3)  # dB: float32 transforms near the floor


@pytest.mark.parametrize("build", SMALL)
@pytest.mark.parametrize("in_channels", [1, 2])
def test_clips_of_any_length_from_32_frames_on(build: Callable[..., Pann], in_channels: int) -> None:
    network = build(in_channels).eval()
    for frames in (32, 33, 63, 64, 101):
        assert network(*heard(network, frames=frames)).shape == (2, 5)
    with pytest.raises(ShapeError, match=r"log_mel has 31 frames; \w+ needs at least 32: longer clips"):
        network(*heard(network, frames=31))
    with pytest.raises(ShapeError, match=rf"log_mel: got \(2, 3, 64, 96\); it may be \(batch, {in_channels}, 64, time"):
        network(random(2, 3, 64, 96), *heard(network)[1:])


@pytest.mark.parametrize("build", SMALL)
def test_each_clip_is_judged_by_itself(build: Callable[..., Pann]) -> None:
    network = build().eval()
    batch = heard(network, batch=3)
    singles = torch.cat([network(*(part[place, None] for part in batch)) for place in range(3)])
    torch.testing.assert_close(network(*batch), singles, **ROUNDING)


@pytest.mark.parametrize(("network", "too_few"), [(CNN14, 31), (ResNet38, 31), (WavegramLogmelCNN14, 30)])
def test_too_few_mel_bands(network: type[Pann], too_few: int) -> None:
    with (
        torch.device("meta"),
        pytest.raises(ConfigError, match=rf"n_mels: got {too_few}; .* 5 times, so it may be 32 or more"),
    ):
        network(num_classes=5, n_mels=too_few)  # type: ignore[call-arg]


def test_the_wavegram_needs_bands_that_divide_its_channels() -> None:
    with (
        torch.device("meta"),
        pytest.raises(ConfigError, match="n_mels: got 80; the wavegram's 128 channels .* half of it must divide 128"),
    ):
        WavegramLogmelCNN14(num_classes=5, n_mels=80)
    with torch.device("meta"):
        assert WavegramLogmelCNN14(num_classes=5, n_mels=128).wavegram.last.conv1.in_channels == 2


def test_the_head_is_the_mean_over_mel_and_the_mean_and_maximum_over_time() -> None:
    network = small_cnn14().eval()
    nn.init.eye_(network.embedding.weight)
    nn.init.eye_(network.head.weight)
    x = torch.zeros(1, 12, 2, 4)
    x[0, 0, :, 1] = torch.tensor([2.0, 6.0])  # a mean of 4 over mel, then 1 + 4 over time
    x[0, 1] = -1.0  # the ReLU's
    x[0, 2, 0] = 3.0  # 1.5 everywhere
    assert network.classify(x).tolist() == [[5.0, 0.0, 3.0, 0.0, 0.0]]


@pytest.mark.parametrize("build", SMALL)
def test_dropout_is_for_training_alone(build: Callable[..., Pann]) -> None:
    network = build()
    batch = heard(network)
    assert not torch.equal(network(*batch), network(*batch))
    network.eval()
    assert torch.equal(network(*batch), network(*batch))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (small_cnn14, [0.2] * 6 + [0.5] * 2),
        (small_resnet38, [0.2] + [0.1] * 6 + [0.2] * 2 + [0.5] * 2),
        (small_wavegram, [0.2] * 7 + [0.5] * 2),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_where_the_release_has_it(
    build: Callable[..., Pann], expected: list[float], training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[float, bool]] = []

    def note(x: Tensor, p: float, training: bool) -> Tensor:
        drawn.append((p, training))
        return x

    monkeypatch.setattr(nn.functional, "dropout", note)
    network = build().train(training)
    network(*heard(network))
    assert drawn == [(p, training) for p in expected]


@pytest.mark.parametrize("build", SMALL)
def test_weights_begin_as_released(build: Callable[..., Pann]) -> None:
    network = build()
    residual_norms = {module.norm2 for module in network.modules() if isinstance(module, ResidualBlock)}
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            size = math.prod(module.weight.shape[2:])
            bound = (6 / ((module.weight.shape[0] + module.weight.shape[1]) * size)) ** 0.5
            assert module.weight.abs().max() <= bound
            assert module.weight.std() > 0.7 * bound / 3**0.5
            assert module.bias is None or not module.bias.any()
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert (module.weight == (0 if module in residual_norms else 1)).all()
            assert not module.bias.any()
    assert len(residual_norms) == (6 if isinstance(network, ResNet38) else 0)


def test_a_new_residual_block_is_its_shortcut() -> None:
    x = random(2, 4, 8, 8)
    torch.testing.assert_close(ResidualBlock(4, 4, halve=False).eval()(x), x.relu())
    halving = ResidualBlock(4, 6, halve=True).eval()
    torch.testing.assert_close(halving(x), halving.shortcut(nn.functional.avg_pool2d(x, 2)).relu())


@pytest.mark.parametrize("build", SMALL)
@pytest.mark.parametrize("in_channels", [1, 2])
def test_every_map_stays_channels_last(build: Callable[..., Pann], in_channels: int) -> None:
    network = build(in_channels).to(memory_format=torch.channels_last)
    kept: dict[str, bool] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: object, out: Tensor) -> None:
            kept[name] = out.is_contiguous(memory_format=torch.channels_last) and min(out.shape[1:]) > 1

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(note(name))
    log_mel, *waveform = heard(network)
    network(log_mel.to(memory_format=torch.channels_last), *waveform).sum().backward()
    assert len(kept) >= 20
    assert all(kept.values()), [name for name, still in kept.items() if not still]


@pytest.mark.parametrize("build", SMALL)
def test_checkpointing_changes_nothing(build: Callable[..., Pann]) -> None:
    plain = build()
    for norm in (module.norm2 for module in plain.modules() if isinstance(module, ResidualBlock)):
        nn.init.ones_(norm.weight)
    checkpointed = copy.deepcopy(plain)
    set_gradient_checkpointing(checkpointed)
    for network in (plain, checkpointed):
        torch.manual_seed(1)
        network(*heard(network)).square().sum().backward()
    for (name, own), other in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        assert own.grad is not None
        assert other.grad is not None
        assert own.grad.any(), name
        assert torch.equal(own.grad, other.grad), name
    for (name, value), again in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        assert torch.equal(value, again), name


@pytest.mark.parametrize("build", SMALL)
def test_bfloat16_is_near_float32_and_pools_in_float32(build: Callable[..., Pann]) -> None:
    network = build().eval()
    expected = network(*heard(network))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = network(*heard(network))
    assert got.dtype == torch.bfloat16
    # Eight bits of mantissa through a dozen layers.
    torch.testing.assert_close(got.float(), expected, rtol=0, atol=0.1 * expected.abs().max().item())

    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(*heard(network)).float().square().sum().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("build", SMALL)
def test_compiles_in_one_graph(build: Callable[..., Pann]) -> None:
    network = build().eval()
    compiled = torch.compile(network, fullgraph=True, backend="eager", dynamic=True)
    for frames in (96, 131):
        torch.testing.assert_close(compiled(*heard(network, frames=frames)), network(*heard(network, frames=frames)))


@pytest.mark.parametrize("build", SMALL)
def test_exports_with_any_batch_and_time(build: Callable[..., Pann]) -> None:
    network = build().eval()
    exported = export(network, heard(network), dynamic_shapes=_dynamic(network)).module()
    for batch, frames in ((1, 64), (3, 97), (2, 130)):  # 0/1 specialisation: the last map has two frames or more
        example = heard(network, batch=batch, frames=frames)
        torch.testing.assert_close(exported(*example), network(*example), **ROUNDING)


def _dynamic(network: Network) -> tuple[dict[int, object], ...]:
    if network.takes_waveform:
        return {0: Dim.AUTO, 3: Dim.AUTO}, {0: Dim.AUTO, 2: Dim.AUTO}
    return ({0: Dim("batch"), 3: Dim("time", min=64)},)


def test_map_and_waveform_of_the_same_clips_fit_at_any_length() -> None:
    network = small_wavegram().eval()
    front_end = LogMel(FEATURES, sample_rate=SAMPLE_RATE)
    # all remainders of 320 that matter, around an odd and an even number of hops
    for samples in (hops * 320 + rest for hops in (31, 32, 33, 60) for rest in (0, 1, 5, 314, 315, 316, 319)):
        waveform = 0.1 * random(1, 1, samples)
        assert network(front_end(waveform), waveform).isfinite().all()


def test_a_frame_that_the_wavegram_lacks_is_silent_in_it() -> None:
    network = small_wavegram().eval()
    maps: list[Tensor] = []
    network.blocks[1].register_forward_pre_hook(lambda _, arriving: maps.append(arriving[0]))
    network(random(1, 1, 64, 34), random(1, 1, 33 * 320))  # 17 frames of the map, 16 of the wavegram
    wavegram = maps[0][:, CHANNELS[0] :]
    assert wavegram.shape == (1, CHANNELS[0], 32, 17)
    assert not wavegram[..., 16].any()
    assert wavegram[..., 15].any()
    assert torch.equal(wavegram[..., :16], network.wavegram(random(1, 1, 33 * 320)))


@pytest.mark.parametrize("in_channels", [1, 2])
def test_waveforms_that_do_not_belong_to_the_map(in_channels: int) -> None:
    network = small_wavegram(in_channels)
    log_mel, waveform = heard(network)
    expected = rf"beside a log_mel of \(2, {in_channels}, 64, 96\) it may be \(2, {in_channels}, time\)"
    for wrong in (waveform[:1], waveform[:, :0], waveform[:, 0], waveform[:, :, :, None]):
        with pytest.raises(ShapeError, match=rf"waveform: got \({', '.join(map(str, wrong.shape))}\); {expected}"):
            network(log_mel, wrong)
    with pytest.raises(ShapeError, match=r"got 16000 samples, .* makes 50 frames, .* of 96; it may be 50 or 51"):
        network(log_mel, waveform[..., :16_000])
    with pytest.raises(ShapeError, match=r"got 32000 samples, .* makes 100 frames, .* of 96; it may be 100 or 101"):
        network(log_mel, random(2, in_channels, 32_000))


def test_systems_say_where_they_are_from() -> None:
    assert list(ALL) == ["cnn14", "cnn14-128", "resnet38", "wavegram-logmel-cnn14"]
    for system in ALL.values():
        assert isinstance(system, System)
        assert (system.sample_rate, system.num_classes, system.features.normalize) == (32_000, 527, "none")
        assert "1912.10211" in system.source
        assert system.load_published is not None
    assert "80,753,743" in ALL["cnn14-128"].notes[-1]


def test_the_fine_tuning_recipe_names_what_there_is() -> None:
    config = load_config(CONFIG)
    assert config.model.name is not None
    assert config.model.weights == "Cnn14_mAP=0.431.pth"
    assert config.sample_rate == ALL[config.model.name].sample_rate
    assert not config.features.model_fields_set  # the named system's
    waveform, specgram = build_chains(config.augmentation, sample_rate=SAMPLE_RATE)
    assert (len(waveform.effects), len(specgram.effects)) == (1, 1)
    assert (config.train.lr, config.train.batch_size, config.train.weight_decay) == (1e-4, 32, 0)
