import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from tonearm.config import FeaturesConfig, ModelConfig, load_config
from tonearm.errors import ConfigError, ShapeError
from tonearm.models import BlockNet, LogMel, build_model
from tonearm.models.classifier import with_front_end
from tonearm.models.layers import DropBlock

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL: list[dict[str, Any]] = [
    {"res": [4, 8]},
    {"activation": "relu"},
    {"max_pool": {"kernel_size": [2, 3], "stride": [2, 2]}},
    {"drop": {"drop_probability": 0.1, "block_size": [2, 3]}},
    {"res": [8, 8]},
    {"activation": "swiglu"},
    {"dropout": 0.1},
    {"pooling": {"mode": "sum"}},
    {"dropout": 0.1},
    {"fc": 6},
]


def build(blocks: list[dict[str, Any]], *, n_mels: int = 16, num_classes: int = 6, **options: Any) -> BlockNet:
    res_block = options.pop("res_block", {})
    config = ModelConfig.model_validate({"res_block": res_block, "blocks": blocks})
    net = build_model(config, num_classes=num_classes, n_mels=n_mels, **options)
    assert isinstance(net, BlockNet)
    return net


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def kinds(net: BlockNet) -> list[str]:
    return [type(layer).__name__ for layer in net.layers]


def test_layers_carry_their_place_and_name() -> None:
    assert list(dict(build(SMALL).layers.named_children()))[:3] == ["0_res", "1_activation", "2_max_pool"]


def test_dropout_drops_channels_before_the_pooling_and_features_after_it() -> None:
    assert kinds(build(SMALL))[-4:] == ["Dropout2d", "GlobalPool", "Dropout", "Linear"]


@pytest.mark.parametrize(
    ("blocks", "layers"),
    [
        ([{"pooling": {}}, {"fc": 6}], ["GlobalPool", "Linear"]),
        ([{"pooling": {}}], ["GlobalPool", "Linear"]),
        ([{"pooling": {}}, {"fc": 9}, {"activation": "relu"}], ["GlobalPool", "Linear", "ReLU", "Linear"]),
        ([{"pooling": {"keep": "frames"}}, {"fc": 6}], ["ToFrames", "Conv1d", "FramePool"]),
        ([{"pooling": {"keep": "frames"}}, {"fc": 6}, {"pooling": {}}], ["ToFrames", "Conv1d", "FramePool"]),
        ([{"pooling": {"keep": "frames"}}], ["ToFrames", "Conv1d", "FramePool"]),
        ([{"pooling": {"keep": "frames"}}, {"pooling": {}}], ["ToFrames", "FramePool", "Linear"]),
    ],
)
def test_the_class_layer_is_the_last_fc_or_is_added(blocks: list[dict[str, Any]], layers: list[str]) -> None:
    net = build(blocks)
    assert kinds(net) == layers
    assert net(random(2, 1, 16, 5)).shape == (2, 6)


@pytest.mark.parametrize("mode", ["avg", "max", "sum", "mul"])
@pytest.mark.parametrize(("keep", "features"), [("channel", 4), ("channel_mel", 4 * 16), ("frames", 4 * 16)])
def test_flat_in_every_meaning(mode: str, keep: str, features: int) -> None:
    net = build([{"res": [4, 4]}, {"pooling": {"mode": mode, "keep": keep}}, {"fc": 6}])
    classes = [layer for layer in net.layers if isinstance(layer, nn.Linear | nn.Conv1d)]
    assert classes[0].weight.shape[1] == features
    assert net(random(3, 1, 16, 7)).shape == (3, 6)


JOINED: dict[str, Callable[[Tensor], Tensor]] = {  # frames' scores (frame, batch, class) into one
    "avg": lambda scores: scores.mean(dim=0),
    "max": lambda scores: scores.amax(dim=0),
    "sum": lambda scores: scores.mean(dim=0) + scores.amax(dim=0),
    "mul": lambda scores: scores.mean(dim=0) * scores.amax(dim=0),
}


@pytest.mark.parametrize("mode", JOINED)
@pytest.mark.parametrize("explicit", [False, True])
def test_frames_are_scored_one_by_one_and_pooled_at_the_end(mode: str, explicit: bool) -> None:
    """By the mode that made the frames, or by that of a pooling after them."""
    other = "max" if mode == "avg" else "avg"
    blocks: list[dict[str, Any]] = [{"pooling": {"mode": other if explicit else mode, "keep": "frames"}}, {"fc": 6}]
    net = build(blocks + [{"pooling": {"mode": mode}}] * explicit).eval()
    x = random(2, 1, 16, 5)
    each_frame = torch.stack([scores_of(net, x[..., [frame]]) for frame in range(5)])
    torch.testing.assert_close(net(x), JOINED[mode](each_frame))


def scores_of(net: BlockNet, frame: Tensor) -> Tensor:
    """The scores of one frame before the frames are pooled."""
    scores: Tensor = net.layers[:-1](frame)
    return scores[..., 0]


def test_layers_get_the_numbers_of_their_blocks() -> None:
    drop = {"p": 0.3, "p_per": "batch", "drop_probability": 0.2, "block_size": [2, 3]}
    net = build([{"drop": drop}, {"dropout": 0.15}, {"pooling": {}}, {"dropout": 0.35}])
    layer, on_a_map, _, on_a_vector = list(net.layers)[:4]
    assert isinstance(layer, DropBlock)
    assert (layer.p, layer.p_per, layer.drop_probability, layer.block_size) == (0.3, "batch", 0.2, (2, 3))
    assert isinstance(on_a_map, nn.Dropout2d)
    assert isinstance(on_a_vector, nn.Dropout)
    assert (on_a_map.p, on_a_vector.p) == (0.15, 0.35)


def test_a_block_that_does_not_fit_is_named() -> None:
    cases: list[tuple[list[dict[str, Any]], str]] = [
        (
            [{"res": [4, 8]}, {"max_pool": {"kernel_size": [17, 1]}}],
            r"blocks\.1 \(max_pool\): its kernel_size takes",
        ),
        ([{"drop": {"drop_probability": 0.1, "block_size": [17, 1]}}], r"blocks\.0 \(drop\): its block_size takes 17"),
        ([{"pooling": {}}, {"res": [4, 4]}], r"blocks\.1 \(res\): it works on a map; .* a vector of 1 features"),
        ([{"pooling": {"keep": "frames"}}, {"max_pool": {"kernel_size": [1, 1]}}], r"\(max_pool\): .* frames of 16 "),
        ([{"pooling": {}}, {"pooling": {}}], r"blocks\.1 \(pooling\): there is nothing left to pool"),
        ([{"fc": 6}], r"blocks\.0 \(fc\): it works on a vector; put a pooling block before it"),
        ([{"activation": "swiglu"}], r"blocks\.0 \(activation\): swiglu halves the channels, and 1 is odd"),
        ([{"res": [4, 8]}], r"model\.blocks end with a map of 8 channels × 16 mel × time\. Add a pooling"),
        ([{"pooling": {}}, {"fc": 50}], r"blocks\.1 \(fc\): it gives 50 scores, but there are 6 classes\. Write fc: 6"),
        (
            [{"pooling": {"keep": "frames"}}, {"pooling": {"keep": "frames"}}],
            r"blocks\.1 \(pooling\): .* keep may be channel only, got frames",
        ),
    ]
    for blocks, message in cases:
        with pytest.raises(ConfigError, match=message):
            build(blocks)
    with pytest.raises(ConfigError, match=r"blocks\.0 \(res\): swiglu halves the channels, and 3 is odd"):
        build([{"res": [3, 4]}, {"pooling": {}}], res_block={"activation": "swiglu"})


def test_the_shape_that_arrives_is_in_the_message() -> None:
    with pytest.raises(ConfigError, match=r"What arrives there is a map of 8 channels × 4 mel × time\."):
        build(
            [
                {"res": [4, 8]},
                {"max_pool": {"kernel_size": [4, 1]}},
                {"max_pool": {"kernel_size": [5, 1]}},
            ]
        )


pools = st.lists(
    st.tuples(st.tuples(st.integers(1, 2), st.integers(1, 4)), st.tuples(st.integers(1, 2), st.integers(1, 4))),
    max_size=4,
)


@given(pools=pools)
@settings(max_examples=40, deadline=None)
def test_min_frames_is_exact_and_shapes_are_computed(pools: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
    blocks: list[dict[str, Any]] = [{"max_pool": {"kernel_size": list(k), "stride": list(s)}} for k, s in pools]
    net = build([*blocks, {"pooling": {"keep": "channel_mel"}}], n_mels=64)
    for frames in (net.min_frames, net.min_frames + 7):
        assert net(random(1, 1, 64, frames)).shape == (1, 6)
    if net.min_frames > 1:
        with pytest.raises(ShapeError, match=r"model\.blocks\.\d \(max_pool\): .* needs at least"):
            net(random(1, 1, 64, net.min_frames - 1))


def test_a_clip_that_is_too_short_is_told_where_and_how_long() -> None:
    pool = {"max_pool": {"kernel_size": [1, 4]}}
    net = build([pool, pool, {"pooling": {}}])
    with pytest.raises(
        ShapeError, match=r"model\.blocks\.1 \(max_pool\): 3 of the clip's 15 frames arrive .* at least 16"
    ):
        net(random(1, 1, 16, 15))


@pytest.mark.parametrize("shape", [(1, 16, 20), (1, 2, 16, 20), (1, 1, 15, 20)])
def test_a_wrong_input_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"it may be \(batch, 1, 16, time\)"):
        build(SMALL)(random(*shape))


def test_channels_last_is_kept_through_the_body() -> None:
    net = build(SMALL, in_channels=2).to(memory_format=torch.channels_last)
    seen = []
    for layer in net.layers:
        layer.register_forward_hook(lambda layer, args, out: seen.append(out))
    net(random(2, 2, 16, 20).to(memory_format=torch.channels_last))
    maps = [out for out in seen if out.dim() == 4]
    assert len(maps) == 7
    assert all(out.is_contiguous(memory_format=torch.channels_last) for out in maps)
    assert not any(out.is_contiguous() for out in maps)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_gives_finite_scores_near_those_of_float32(dtype: torch.dtype) -> None:
    net = build(SMALL).eval()
    x = random(4, 1, 16, 20)
    exact = net(x)
    with torch.autocast("cpu", dtype=dtype):
        scores = net(x)
        loss = F.cross_entropy(scores, torch.arange(4))
    loss.backward()
    torch.testing.assert_close(scores.float(), exact, rtol=0.05, atol=0.05)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize("training", [False, True])
def test_compiles_in_one_graph(training: bool) -> None:
    net = build(SMALL).train(training)
    x = random(2, 1, 16, 20)
    compiled = torch.compile(copy.deepcopy(net), fullgraph=True, backend="eager")
    torch.manual_seed(3)
    expected = net(x)
    torch.manual_seed(3)
    torch.testing.assert_close(compiled(x), expected)


def test_checkpointing_is_exact_in_gradients_statistics_and_dropped_blocks() -> None:
    torch.manual_seed(0)
    plain = build(SMALL)
    checkpointed = build(SMALL, gradient_checkpointing=True)
    checkpointed.load_state_dict(plain.state_dict())
    for step in range(2):
        x = random(4, 1, 16, 20, seed=step)
        for net in (plain, checkpointed):
            torch.manual_seed(step)
            F.cross_entropy(net(x), torch.arange(4)).backward()
    for (name, one), other in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad), name
    for (name, statistic), again in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        assert torch.equal(statistic, again), name  # running statistics have seen each batch once


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # Dynamo looks at one when it breaks the graph
def test_a_checkpointed_network_compiles_with_graph_breaks() -> None:
    net = build(SMALL[:2] + SMALL[4:6] + SMALL[7:8], gradient_checkpointing=True)
    twin = copy.deepcopy(net)
    x = random(2, 1, 16, 20)
    torch.compile(twin, backend="eager")(x).sum().backward()
    net(x).sum().backward()
    for one, other in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_checkpointing_keeps_less_for_the_backward_pass() -> None:
    def bytes_kept(net: BlockNet) -> int:
        kept: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            net(random(8, 1, 16, 64)).sum()
        return sum(kept.values())

    blocks: list[dict[str, Any]] = [{"res": [16, 16]}, {"res": [16, 16]}, {"res": [16, 16]}, {"pooling": {}}]
    assert bytes_kept(build(blocks, gradient_checkpointing=True)) < 0.5 * bytes_kept(build(blocks))


@pytest.mark.parametrize("config", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
@pytest.mark.parametrize("dialect", ["en", "ru"])
def test_every_config_we_ship_builds_and_scores_two_channels_of_any_length(config: str, dialect: Any) -> None:
    loaded = with_front_end(load_config(CONFIGS / f"{config}.yaml", seed_dialect=dialect))
    num_classes = {"demo": 12, "esc10": 10}.get(config, 50)
    n_mels = loaded.features.n_mels
    net = build_model(loaded.model, num_classes=num_classes, n_mels=n_mels, in_channels=2).eval()
    for frames in (net.min_frames, net.min_frames + 33):
        assert net(random(1, 2, n_mels, frames)).shape == (1, num_classes)


def test_thirty_two_clips_are_learnt_by_heart() -> None:
    """Four kinds of sound: a low tone, a high one, either of them pulsing; every parameter takes part."""
    torch.manual_seed(0)
    time = torch.arange(8000) / 8000
    pitch = torch.where(torch.arange(32) % 2 == 0, 400.0, 1500.0) + torch.linspace(0, 60, 32)
    pulse = (torch.arange(32) % 4 >= 2)[:, None] * (torch.sin(2 * torch.pi * 6 * time) > 0).float()
    steady = (torch.arange(32) % 4 < 2)[:, None].float()
    waveform = (torch.sin(2 * torch.pi * pitch[:, None] * time) * (pulse + steady))[:, None]
    features = FeaturesConfig(n_fft=512, win_length=512, hop_length=128, n_mels=16)
    log_mel = LogMel(features, sample_rate=8000)
    log_mel.set_normalization(-20.0, 30.0)
    x, targets = log_mel(waveform), torch.arange(32) % 4

    blocks: list[dict[str, Any]] = [
        {"res": [8, 8]},
        {"activation": "gelu"},
        {"max_pool": {"kernel_size": [2, 2]}},
        {"res": [16, 16]},
        {"activation": "gelu"},
        {"pooling": {"mode": "sum"}},
    ]
    net = build(blocks, num_classes=4)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(net(x), targets)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 1.0
    assert losses[-1] < 0.1
