import pickle
import re
import zipfile
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tonearm.errors import ConfigError, RunError
from tonearm.models.panns import CNN14, FEATURES, SAMPLE_RATE, SYSTEMS, Pann, ResNet38
from tonearm.models.panns_checkpoints import load_published, published_name
from tonearm.models.wavegram import SYSTEMS as WAVEGRAM_SYSTEMS
from tonearm.models.wavegram import WavegramLogmelCNN14

CHANNELS = (4, 6, 8, 8, 10, 12)
DEPTHS = (2, 1, 2, 1)
RESNET_CHANNELS = (4, 6, 8, 8, 12)
WAVE_CHANNELS = (4, 4, 32, 64)
CLASSES = 7
# The same sums in another order, float32.
ROUNDING: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}

State = dict[str, Any]
load = partial(load_published, features=FEATURES, sample_rate=SAMPLE_RATE)


# --- The release's state: names and shapes as in its pytorch/models.py, numbers random.


def random(*shape: int) -> Tensor:
    return torch.randn(shape)


def conv(name: str, *shape: int) -> State:
    return {f"{name}.weight": random(*shape) / (shape[1] * shape[-1]) ** 0.5}


def norm(name: str, channels: int) -> State:
    return {
        f"{name}.weight": 0.5 + torch.rand(channels),
        f"{name}.bias": 0.3 * random(channels),
        f"{name}.running_mean": 0.3 * random(channels),
        f"{name}.running_var": 0.5 + torch.rand(channels),
        f"{name}.num_batches_tracked": torch.tensor(600_000),
    }


def conv_block(name: str, arriving: int, leaving: int, *kernel: int) -> State:
    return {
        **conv(f"{name}.conv1", leaving, arriving, *kernel),
        **conv(f"{name}.conv2", leaving, leaving, *kernel),
        **norm(f"{name}.bn1", leaving),
        **norm(f"{name}.bn2", leaving),
    }


def front_end(n_mels: int = 64) -> State:
    window = librosa.filters.get_window("hann", 1024, fftbins=True)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(513), np.arange(1024)) / 1024) * window
    mel = librosa.filters.mel(sr=32_000, n_fft=1024, n_mels=n_mels, fmin=50, fmax=14_000)
    return {
        "spectrogram_extractor.stft.conv_real.weight": torch.tensor(turns.real, dtype=torch.float32)[:, None],
        "spectrogram_extractor.stft.conv_imag.weight": torch.tensor(turns.imag, dtype=torch.float32)[:, None],
        "logmel_extractor.melW": torch.tensor(mel.T, dtype=torch.float32),
    }


def ends(channels: int, n_mels: int = 64) -> State:
    return {
        **front_end(n_mels),
        **norm("bn0", n_mels),
        "fc1.weight": random(channels, channels) / 2,
        "fc1.bias": random(channels),
        "fc_audioset.weight": random(CLASSES, channels),
        "fc_audioset.bias": random(CLASSES),
    }


def cnn14_state(n_mels: int = 64) -> State:
    state = ends(CHANNELS[-1], n_mels)
    for place, (arriving, leaving) in enumerate(zip((1, *CHANNELS[:-1]), CHANNELS, strict=True), start=1):
        state |= conv_block(f"conv_block{place}", arriving, leaving, 3, 3)
    return state


def resnet38_state() -> State:
    state = ends(RESNET_CHANNELS[-1]) | conv_block("conv_block1", 1, RESNET_CHANNELS[0], 3, 3)
    arriving = RESNET_CHANNELS[0]
    for group, (leaving, depth) in enumerate(zip(RESNET_CHANNELS, DEPTHS, strict=False), start=1):
        for place in range(depth):
            name = f"resnet.layer{group}.{place}"
            state |= conv_block(name, arriving, leaving, 3, 3)
            if group > 1 and place == 0:
                state |= conv(f"{name}.downsample.1", leaving, arriving, 1, 1) | norm(f"{name}.downsample.2", leaving)
            arriving = leaving
    return state | conv_block("conv_block_after1", arriving, RESNET_CHANNELS[-1], 3, 3)


def wavegram_state() -> State:
    state = cnn14_state() | conv_block("conv_block2", 2 * CHANNELS[0], CHANNELS[1], 3, 3)
    state |= conv("pre_conv0", WAVE_CHANNELS[0], 1, 11) | norm("pre_bn0", WAVE_CHANNELS[0])
    for place, (arriving, leaving) in enumerate(pairwise(WAVE_CHANNELS), start=1):
        state |= conv_block(f"pre_block{place}", arriving, leaving, 3)
    return state | conv_block("pre_block4", WAVE_CHANNELS[-1] // 32, CHANNELS[0], 3, 3)


# --- The release's forward in evaluation, from such a state. Its maps are (batch, channel, time, mel).


def twin_norm(x: Tensor, state: State, name: str) -> Tensor:
    mean, variance, weight, bias = (
        state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    shape = (1, -1) + (1,) * (x.dim() - 2)
    normed = (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
    scaled: Tensor = normed * weight.view(shape) + bias.view(shape)
    return scaled


def twin_block(x: Tensor, state: State, name: str, pool: tuple[int, int] = (2, 2)) -> Tensor:
    for place in (1, 2):
        x = F.conv2d(x, state[f"{name}.conv{place}.weight"], padding=1)
        x = twin_norm(x, state, f"{name}.bn{place}").relu()
    return F.avg_pool2d(x, pool)


def twin_bn0(log_mel: Tensor, state: State) -> Tensor:
    x = log_mel.transpose(2, 3)  # ours to theirs
    return twin_norm(x.transpose(1, 3), state, "bn0").transpose(1, 3)


def twin_head(x: Tensor, state: State) -> Tensor:
    x = x.mean(dim=3)
    x = x.amax(dim=2) + x.mean(dim=2)
    x = F.linear(x, state["fc1.weight"], state["fc1.bias"]).relu()
    return F.linear(x, state["fc_audioset.weight"], state["fc_audioset.bias"])


def twin_cnn14(state: State, log_mel: Tensor) -> Tensor:
    x = twin_bn0(log_mel, state)
    for place in range(1, 6):
        x = twin_block(x, state, f"conv_block{place}")
    return twin_head(twin_block(x, state, "conv_block6", (1, 1)), state)


def twin_resnet38(state: State, log_mel: Tensor) -> Tensor:
    x = twin_block(twin_bn0(log_mel, state), state, "conv_block1")
    for group, depth in enumerate(DEPTHS, start=1):
        for place in range(depth):
            name = f"resnet.layer{group}.{place}"
            shortcut = x
            if f"{name}.downsample.1.weight" in state:
                x = F.avg_pool2d(x, 2)
                shortcut = F.conv2d(F.avg_pool2d(shortcut, 2), state[f"{name}.downsample.1.weight"])
                shortcut = twin_norm(shortcut, state, f"{name}.downsample.2")
            x = F.conv2d(x, state[f"{name}.conv1.weight"], padding=1)
            x = F.conv2d(twin_norm(x, state, f"{name}.bn1").relu(), state[f"{name}.conv2.weight"], padding=1)
            x = (twin_norm(x, state, f"{name}.bn2") + shortcut).relu()
    return twin_head(twin_block(F.avg_pool2d(x, 2), state, "conv_block_after1", (1, 1)), state)


def twin_wavegram(state: State, log_mel: Tensor, waveform: Tensor) -> Tensor:
    a = F.conv1d(waveform, state["pre_conv0.weight"], stride=5, padding=5)
    a = twin_norm(a, state, "pre_bn0").relu()
    for place in (1, 2, 3):
        a = F.conv1d(a, state[f"pre_block{place}.conv1.weight"], padding=1)
        a = twin_norm(a, state, f"pre_block{place}.bn1").relu()
        a = F.conv1d(a, state[f"pre_block{place}.conv2.weight"], padding=2, dilation=2)
        a = F.max_pool1d(twin_norm(a, state, f"pre_block{place}.bn2").relu(), 4)
    a = a.reshape(a.shape[0], -1, 32, a.shape[-1]).transpose(2, 3)
    a = twin_block(a, state, "pre_block4", (2, 1))
    x = torch.cat((twin_block(twin_bn0(log_mel, state), state, "conv_block1"), a), dim=1)
    for place in range(2, 6):
        x = twin_block(x, state, f"conv_block{place}")
    return twin_head(twin_block(x, state, "conv_block6", (1, 1)), state)


def build_cnn14(num_classes: int = CLASSES, n_mels: int = 64) -> CNN14:
    return CNN14(num_classes=num_classes, n_mels=n_mels, channels=CHANNELS)


def build_resnet38() -> ResNet38:
    return ResNet38(num_classes=CLASSES, channels=RESNET_CHANNELS, depths=DEPTHS)


def build_wavegram() -> WavegramLogmelCNN14:
    return WavegramLogmelCNN14(num_classes=CLASSES, channels=CHANNELS, wave_channels=WAVE_CHANNELS)


LOG_MEL = (2, 1, 64, 101)  # 100 hops: the release takes an even number alone
FAMILY: list[tuple[Callable[[], Pann], Callable[[], State], Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = [
    (build_cnn14, cnn14_state, twin_cnn14, (LOG_MEL,)),
    (build_resnet38, resnet38_state, twin_resnet38, (LOG_MEL,)),
    (build_wavegram, wavegram_state, twin_wavegram, (LOG_MEL, (2, 1, 32_000))),
]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file as published."""

    def write(state: object, *, new: bool = True, **beside: object) -> Path:
        path = tmp_path / "Cnn14_mAP=0.431.pth"
        torch.save({"iteration": 600_000, "model": state, **beside}, path, _use_new_zipfile_serialization=new)
        return path

    return write


def expect(path: Path, error: type[Exception], *words: str, network: Pann | None = None) -> None:
    """Loading is refused in one line that has these words, and the network stays as it is."""
    network = network or build_cnn14()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(error) as raised:
        load(network, path)
    message = str(raised.value)
    for word in (str(path), *words):
        assert word in message
    assert "\n" not in message
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize(("build", "make_state", "twin", "shapes"), FAMILY)
@pytest.mark.parametrize("new", [True, False], ids=["zip", "before 1.6"])
def test_a_published_checkpoint_scores_as_the_release_does(
    build: Callable[[], Pann], make_state: Any, twin: Any, shapes: Any, new: bool, write: Any
) -> None:
    state = make_state()
    network = build().eval()
    inputs = [random(*shape) for shape in shapes]
    before = network(*inputs)
    load(network, write(state, new=new))
    expected = twin(state, *inputs)
    torch.testing.assert_close(network(*inputs), expected, **ROUNDING)
    assert expected.std() > 100 * ROUNDING["atol"]
    assert not torch.allclose(before, expected, rtol=0.1)


@pytest.mark.parametrize(("build", "make_state", "_", "__"), FAMILY)
def test_every_entry_is_put_somewhere(build: Any, make_state: Any, _: Any, __: Any, write: Any) -> None:
    state, network = make_state(), build()
    load(network, write(state))
    names = {published_name(key): key for key in network.state_dict()}
    assert set(names) == set(state) - set(front_end())
    for name, key in names.items():
        own = network.state_dict()[key]
        assert torch.equal(own.transpose(2, 3) if own.dim() == 4 else own, state[name])


def test_the_full_systems_have_the_releases_names_and_shapes() -> None:
    with torch.device("meta"):
        networks = {
            system.name: system.build(num_classes=527, in_channels=1, n_mels=system.features.n_mels)
            for system in (*SYSTEMS, *WAVEGRAM_SYSTEMS)
        }
    shapes = {
        name: {published_name(key): tuple(value.shape) for key, value in network.state_dict().items()}
        for name, network in networks.items()
    }
    assert shapes["cnn14"]["conv_block6.conv1.weight"] == (2048, 1024, 3, 3)
    assert shapes["cnn14-128"]["bn0.running_var"] == (128,)
    assert shapes["cnn14"]["fc_audioset.weight"] == (527, 2048)
    assert shapes["resnet38"]["resnet.layer3.5.conv2.weight"] == (256, 256, 3, 3)
    assert shapes["resnet38"]["resnet.layer4.0.downsample.1.weight"] == (512, 256, 1, 1)
    assert "resnet.layer1.0.downsample.1.weight" not in shapes["resnet38"]
    assert shapes["resnet38"]["conv_block_after1.bn2.bias"] == (2048,)
    assert shapes["wavegram-logmel-cnn14"]["pre_conv0.weight"] == (64, 1, 11)
    assert shapes["wavegram-logmel-cnn14"]["pre_bn0.running_mean"] == (64,)
    assert shapes["wavegram-logmel-cnn14"]["pre_block3.conv2.weight"] == (128, 128, 3)
    assert shapes["wavegram-logmel-cnn14"]["pre_block4.conv1.weight"] == (64, 4, 3, 3)
    assert shapes["wavegram-logmel-cnn14"]["conv_block2.conv1.weight"] == (128, 128, 3, 3)


def test_a_system_loads_by_itself(write: Any) -> None:
    by_name = {system.name: system for system in SYSTEMS}
    assert by_name["cnn14"].load_published is not None
    assert by_name["cnn14-128"].load_published is not None
    network = build_cnn14()
    by_name["cnn14"].load_published(network, write(cnn14_state()))
    assert network.input_norm.num_batches_tracked == 600_000
    wide = build_cnn14(n_mels=128)
    by_name["cnn14-128"].load_published(wide, write(cnn14_state(n_mels=128)))
    assert wide.input_norm.running_var is not None
    assert not torch.equal(wide.input_norm.running_var, torch.ones(128))


def test_other_classes_keep_their_own_layer(write: Any) -> None:
    state, network = cnn14_state(), build_cnn14(num_classes=5)
    weight, bias = network.head.weight.clone(), network.head.bias.clone()
    load(network, write(state))
    assert torch.equal(network.head.weight, weight)
    assert torch.equal(network.head.bias, bias)
    assert torch.equal(network.embedding.weight, state["fc1.weight"])


def test_parameters_still_learn_after_loading(write: Any) -> None:
    network = build_cnn14().to(memory_format=torch.channels_last)
    load(network, write(cnn14_state()))
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.blocks[3].conv1.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]
    network(random(*LOG_MEL)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before 1.6"])
def test_a_samplers_numpy_arrays_are_left_out(new: bool, write: Any) -> None:
    indexes = [np.arange(5), np.arange(3, dtype=np.int32)]
    sampler = {
        "indexes_per_class": indexes,
        "pointers_of_classes": [0, 3],
        "queue": [np.int64(4)],
        "x": np.zeros((2, 2)),
    }
    state = cnn14_state()
    path = write(state, new=new, sampler=sampler)
    network, allowed = build_cnn14(), set(torch.serialization.get_safe_globals())
    load(network, path)
    assert torch.equal(network.embedding.bias, state["fc1.bias"])
    assert set(torch.serialization.get_safe_globals()) == allowed  # nothing stays so


def test_numpy_before_its_second_version(write: Any) -> None:
    path = write(cnn14_state(), new=False, sampler=np.arange(4))
    old = path.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert b"cnumpy.core.multiarray\n" in old
    path.write_bytes(old)
    load(build_cnn14(), path)


def test_a_checkpoint_without_a_front_end_is_taken(write: Any) -> None:
    state = {key: value for key, value in cnn14_state().items() if key not in front_end()}
    load(build_cnn14(), write(state))


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("logmel_extractor.melW", lambda mel: mel * 1.001, ("off by 0.001 of its largest value",)),
        ("logmel_extractor.melW", lambda mel: mel.T, ("got (64, 513) torch.float32, expected (513, 64)",)),
        ("logmel_extractor.melW", lambda mel: mel[:, :32], ("got (513, 32)",)),
        ("logmel_extractor.melW", lambda mel: mel.long(), ("torch.int64",)),
        ("spectrogram_extractor.stft.conv_real.weight", lambda real: real.roll(1, 2), ("largest value",)),
        ("spectrogram_extractor.stft.conv_imag.weight", lambda imag: -imag, ("off by 2 of",)),
        ("spectrogram_extractor.stft.conv_real.weight", lambda real: real[:257, :, :512], ("got (257, 1, 512)",)),
    ],
)
def test_another_front_end_is_refused(key: str, change: Any, words: tuple[str, ...], write: Any) -> None:
    state = cnn14_state()
    state[key] = change(state[key])
    expect(write(state), ConfigError, f"{key} is of another front-end", "expected", *words)


def test_htks_mel_scale_is_another_front_end(write: Any) -> None:
    state = cnn14_state()
    mel = librosa.filters.mel(sr=32_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000, htk=True)
    state["logmel_extractor.melW"] = torch.tensor(mel.T)
    expect(write(state), ConfigError, "logmel_extractor.melW is of another front-end")


def without(state: State, *keys: str) -> State:
    return {key: value for key, value in state.items() if key not in keys}


def test_missing_unknown_and_foreign_keys(write: Any) -> None:
    state = cnn14_state()
    expect(
        write(without(state, "conv_block3.bn2.running_var")),
        ConfigError,
        "not the checkpoint of a CNN14: conv_block3.bn2.running_var is missing. ",
    )
    expect(
        write(without(state, "fc_audioset.weight", "fc_audioset.bias")),
        ConfigError,
        "fc_audioset.weight and 1 more are missing",
    )
    expect(write({**state, "att_block.att.weight": random(7, 12, 1)}), ConfigError, "att_block.att.weight is unknown")
    expect(
        write(resnet38_state()), ConfigError, "conv_block2.conv1.weight and", "missing and resnet.layer1.0.conv1.weight"
    )
    expect(write(state), ConfigError, "not the checkpoint of a ResNet38", network=build_resnet38())


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        (
            "conv_block2.conv2.weight",
            lambda value: value[:5],
            "conv_block2.conv2.weight does not fit this CNN14: got (5, 6, 3, 3) torch.float32, expected (6, 6, 3, 3)",
        ),
        ("bn0.weight", lambda value: value.long(), "got (64,) torch.int64, expected (64,) torch.float32"),
        ("bn0.num_batches_tracked", lambda value: value.float(), "got () torch.float32, expected () torch.int64"),
        ("fc_audioset.weight", lambda value: value[:, :11], "got (7, 11) torch.float32, expected (7, 12)"),
        ("fc_audioset.weight", lambda value: value[0, 0], "got () torch.float32, expected (0, 12)"),
        ("fc_audioset.bias", lambda value: value[:5], "got (5,) torch.float32, expected (7,)"),
        ("fc1.bias", lambda value: value.tolist(), "fc1.bias: got list, expected a dense tensor"),
        ("fc1.bias", lambda value: value.to_sparse(), "fc1.bias: got (12,) torch.float32, expected a dense tensor"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*sparse tensor")
@pytest.mark.parametrize("num_classes", [CLASSES, 5])
def test_what_does_not_fit(key: str, change: Any, words: str, num_classes: int, write: Any) -> None:
    state = cnn14_state()
    state[key] = change(state[key])
    error = RunError if "dense" in words else ConfigError
    expect(write(state), error, words, network=build_cnn14(num_classes))


def test_no_file(tmp_path: Path) -> None:
    expect(tmp_path / "none.pth", ConfigError, "model.weights: ", "no such file", "zenodo.org/records/3987831")
    expect(tmp_path, ConfigError, "no such file")


@pytest.mark.parametrize("content", [[], {"state_dict": {}}, {"model": [1]}, {"model": None}, torch.zeros(3)])
def test_other_things_that_torch_saved(content: object, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save(content, path)
    expect(path, RunError, "holds no tensors by name in a dict under 'model'")


@pytest.mark.parametrize("junk", [b"", b"\x80", b"<!DOCTYPE html><html>", b"PK\x03\x04" + bytes(100), bytes(1000)])
def test_junk(junk: bytes, tmp_path: Path) -> None:
    path = tmp_path / "junk.pth"
    path.write_bytes(junk)
    expect(path, RunError, "damaged, or not a checkpoint (")


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before 1.6"])
def test_a_download_that_broke_off(new: bool, write: Any) -> None:
    path = write(cnn14_state(), new=new)
    whole = path.read_bytes()
    for share in (0.0005, 0.01, 0.5, 0.999):
        path.write_bytes(whole[: int(share * len(whole))])
        expect(path, RunError, "damaged, or not a checkpoint (")


def test_a_flipped_byte_is_found_by_the_checksum(write: Any) -> None:
    path = write(cnn14_state())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    expect(path, RunError, "damaged", "checksum of")


class _Hostile:
    """What calls a function of its choice when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


@pytest.mark.parametrize("new", [True, False], ids=["zip", "before 1.6"])
def test_a_file_that_would_run_something(new: bool, write: Any, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    path = write(cnn14_state(), new=new, sampler=_Hostile(open, str(touched), "w"))
    expect(path, RunError, "holds io.open, which is neither a tensor nor a plain value and is not loaded")
    path.write_bytes(pickle.dumps(_Hostile(open, str(touched), "w")))
    expect(path, RunError)
    assert not touched.exists()


def test_numpys_own_constructors_are_never_called(write: Any) -> None:
    """A dtype's state can lie about what an array holds, so that numpy would follow numbers as pointers."""
    path = write(cnn14_state(), new=False, sampler=np.array([None, None], dtype=object))
    state = re.search(rb"N\(?J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3f", path.read_bytes())
    assert state is not None
    lying = path.read_bytes()
    path.write_bytes(lying[: state.end() - 1] + b"\x00" + lying[state.end() :])  # its flags, 63 of an object
    load(build_cnn14(), path)


def test_a_module_instead_of_its_state(write: Any) -> None:
    expect(write(nn.Linear(2, 2)), RunError, "holds torch.nn.modules.linear.Linear")


def test_an_archive_with_nothing_of_torch_in_it(tmp_path: Path) -> None:
    path = tmp_path / "archive.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    expect(path, RunError, "damaged, or not a checkpoint (")
