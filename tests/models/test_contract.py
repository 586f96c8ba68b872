"""What every network promises, on a reduced form of each."""

import copy

import pytest
import torch
from torch import Tensor, nn

from tests.models.cases import CASES, Case, inputs
from tonearm.errors import ShapeError
from tonearm.models import Network, find_system
from tonearm.models.recomputing import Recomputed, set_gradient_checkpointing

each_network = pytest.mark.parametrize("name", CASES)
CONVOLUTIONAL = (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d)
HALVES = {torch.bfloat16: 1.0, torch.float16: 0.25}  # of a case's tolerance; float16 has three bits of mantissa more


def made(name: str, *, num_classes: int = 5, in_channels: int = 1) -> tuple[Case, Network]:
    torch.manual_seed(0)
    return CASES[name], CASES[name].build(num_classes=num_classes, in_channels=in_channels)


def settled(case: Case, net: Network) -> Network:
    """In eval mode, with running statistics of the test's own inputs: fresh ones are of no input at all."""
    norms = [each for each in net.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(*inputs(case, net, batch=4))
    for norm in norms:
        norm.momentum = 0.1
    return net.eval()


@each_network
@pytest.mark.parametrize("in_channels", [1, 2])
def test_a_batch_is_the_stack_of_its_clips_at_any_length(name: str, in_channels: int) -> None:
    case, net = made(name, in_channels=in_channels)
    settled(case, net)
    for frames in (net.min_frames, net.min_frames + 1, max(3 * net.min_frames + 5, 131)):
        batch = inputs(case, net, batch=3, frames=frames)
        with torch.no_grad():
            scores = net(*batch)
            single = torch.cat([net(*(each[clip : clip + 1] for each in batch)) for clip in range(3)])
        assert scores.shape == (3, 5)
        assert scores.dtype == torch.float32
        torch.testing.assert_close(scores, single, rtol=1e-4, atol=1e-4)


@each_network
def test_what_is_no_map_or_too_short_is_refused(name: str) -> None:
    case, net = made(name)
    log_mel, *others = inputs(case, net)
    for wrong in (log_mel[0], log_mel[:, :, 1:], log_mel.expand(-1, 3, -1, -1)):
        with pytest.raises(ShapeError, match=rf"it may be \(batch, 1, {net.n_mels}, time\)"):
            net(wrong, *others)
    with pytest.raises(ShapeError, match="at least"):
        net(log_mel[..., : net.min_frames - 1], *others)


@each_network
def test_the_body_stays_channels_last(name: str) -> None:
    case, net = made(name)
    net.to(memory_format=torch.channels_last)
    strayed, seen = [], 0

    def look(layer: nn.Module, _: object, out: Tensor) -> None:
        nonlocal seen
        if min(out.shape[1:]) > 1:  # else both formats are the same bytes
            seen += 1
            if not out.is_contiguous(memory_format=torch.channels_last):
                strayed.append(layer)

    for layer in net.modules():
        if isinstance(layer, CONVOLUTIONAL):
            layer.register_forward_hook(look)
    batch = [each.contiguous(memory_format=torch.channels_last) if each.dim() == 4 else each for each in
             inputs(case, net, frames=max(64, 2 * net.min_frames))]  # fmt: skip
    net(*batch)
    assert not strayed
    assert seen >= 1 or not any(isinstance(each, nn.Conv2d) for each in net.modules())


@each_network
@pytest.mark.parametrize("dtype", HALVES)
def test_autocast_gives_about_the_same_scores_and_finite_gradients(name: str, dtype: torch.dtype) -> None:
    case, net = made(name)
    settled(case, net)
    batch = inputs(case, net)
    with torch.no_grad():
        expected = net(*batch)
    with torch.autocast("cpu", dtype=dtype):
        scores = net(*batch)
    assert (scores - expected).abs().max() <= HALVES[dtype] * case.bf16 * expected.abs().max()
    net.train()
    with torch.autocast("cpu", dtype=dtype):
        loss = net(*batch).float().square().mean()
    loss.backward()
    assert all(each.grad is not None and each.grad.isfinite().all() for each in net.parameters())


@each_network
@pytest.mark.parametrize("training", [True, False])
def test_compiles_as_one_graph(name: str, training: bool) -> None:
    case, net = made(name)
    settled(case, net).train(training)
    batch = inputs(case, net)
    twin = copy.deepcopy(net)
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    torch.manual_seed(1)
    scores = compiled(*batch)
    torch.manual_seed(1)
    torch.testing.assert_close(scores, twin(*batch))


@each_network
def test_checkpointing_is_exact_and_keeps_less(name: str) -> None:
    case, plain = made(name)
    checkpointed = copy.deepcopy(plain)
    set_gradient_checkpointing(checkpointed)
    assert any(isinstance(each, Recomputed) for each in checkpointed.modules())
    kept = []
    for net in (plain, checkpointed):
        for step in range(2):
            torch.manual_seed(step)
            sizes: dict[int, int] = {}

            def keep(tensor: Tensor, sizes: dict[int, int] = sizes) -> Tensor:
                sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
                return tensor

            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                scores = net.train()(*inputs(case, net, seed=step))
            scores.square().mean().backward()
        kept.append(sum(sizes.values()))
    for (key, one), other in zip(plain.named_parameters(), checkpointed.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None, key
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0, msg=key)
    for (key, statistic), again in zip(plain.named_buffers(), checkpointed.buffers(), strict=True):
        torch.testing.assert_close(statistic, again, rtol=0, atol=0, msg=key)
    assert kept[1] < kept[0]
    set_gradient_checkpointing(checkpointed, False)
    assert not any(each.checkpointed for each in checkpointed.modules() if isinstance(each, Recomputed))


@each_network
def test_checkpointing_does_not_leak(name: str) -> None:
    import gc

    case, net = made(name)
    set_gradient_checkpointing(net)

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(each), Tensor) for each in gc.get_objects())  # asking an object wakes some

    counts = []
    for step in range(4):
        net(*inputs(case, net, seed=step)).square().mean().backward()
        net.zero_grad(set_to_none=True)
        counts.append(tensors())
    assert counts[-1] == counts[1]


@each_network
def test_a_new_class_layer_keeps_the_body(name: str) -> None:
    case, net = made(name)
    settled(case, net)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.replace_class_layer(9)
    assert net(*inputs(case, net)).shape == (2, net.num_classes) == (2, 9)
    changed = [key for key, value in net.state_dict().items() if not torch.equal(value, before[key])]
    assert all(key.startswith(f"{net.class_layer}.") for key in changed)
    assert changed


@pytest.mark.slow
def test_the_default_network_learns_the_same_under_inductor() -> None:
    torch.manual_seed(0)
    net = find_system("se-resnet-m").build(num_classes=5)
    net.dropout.p = 0.0  # inductor draws its own random numbers
    twin = copy.deepcopy(net)
    log_mel = 10 * torch.randn(2, 1, 128, 64) - 20
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True)
    losses = [each(log_mel).square().mean() for each in (compiled, twin)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)
    for loss in losses:
        loss.backward()
    for (name, one), other in zip(net.named_parameters(), twin.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None, name
        scale = float(other.grad.abs().max())
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3 * scale, msg=name)
