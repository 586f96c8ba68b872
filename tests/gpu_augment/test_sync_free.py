"""apply never waits for the device, however large the batch, and compiles; shown on a CPU as far as a CPU can."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.gpu_augment.cases import AUGMENTATIONS, EFFECTS, batch_for, seeded
from tonearm.gpu_augment import Augmented, Params
from tonearm.gpu_augment.functional import blocks

# CPU and GPU differ in the last bits of log, cos and FFT, on values of a few units.
DEVICE_ROUNDING = 2e-5

# Ops that make the host wait for the device (sizes or values that depend on data), or that draw there.
FORBIDDEN = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique",
    "_unique2",
    "item",
    "is_pinned",
    "_pin_memory",
}

every_augmentation = pytest.mark.parametrize("name", AUGMENTATIONS)


class Recorder(TorchDispatchMode):
    """Counts ops; refuses those that wait, and any whose tensors lie on more than one device."""

    def __init__(self) -> None:
        super().__init__()
        self.ops: list[str] = []
        self.copies = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.ops.append(name)
        devices = {leaf.device for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)}
        if len(devices) > 1:
            self.copies += 1
        if name in FORBIDDEN or (name == "index" and any(t.dtype == torch.bool for t in tree_leaves(args[1]))):
            raise AssertionError(f"{name} makes the host wait for the device")
        return result


@pytest.fixture
def gpu_path(monkeypatch):
    """The whole batch at once, as on a GPU."""
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", True)


def drawn(name: str, batch_size: int, *, on: int, **sample_options) -> tuple[torch.Tensor, Params]:
    """A batch and parameters with which each effect touches exactly ``on`` clips."""
    batch = batch_for(name, batch_size)
    params = AUGMENTATIONS[name](1.0).sample(batch_size, batch.shape[-1], generator=seeded(1), **sample_options)
    steps = tuple(replace(step, clips=step.clips[:on], rows=step.rows[:on]) for step in params.steps)
    return batch, Params(batch_size, params.num_samples, steps)


def test_the_recorder_notices_what_it_is_for():
    x = torch.ones(3)
    with Recorder() as recorder:
        x.to("meta")
    assert recorder.copies == 1
    for waits in (lambda: x.sum().item(), lambda: x[x > 0], lambda: (x > 0).nonzero()):
        with pytest.raises(AssertionError, match="makes the host wait"), Recorder():
            waits()


@every_augmentation
@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("gather_sizes", [None, (4, 8)])
def test_apply_does_nothing_that_waits(name, with_lengths, gather_sizes, gpu_path):
    batch, params = drawn(name, 8, on=4, gather_sizes=gather_sizes)
    lengths = torch.full((8,), 30) if with_lengths else None
    augmentation = AUGMENTATIONS[name](1.0)
    with Recorder() as recorder:
        augmentation.apply(batch, params, lengths)
    assert recorder.copies == 0 and recorder.ops


@pytest.mark.parametrize("name", [*EFFECTS, "waveform chain", "specgram chain"])
def test_64_clips_take_as_many_ops_as_4(name, gpu_path):
    counts = []
    augmentation = AUGMENTATIONS[name](1.0)
    for batch_size in (4, 64):
        batch, params = drawn(name, batch_size, on=batch_size // 2 + 1)
        with Recorder() as recorder:
            augmentation.apply(batch, params)
        counts.append(len(recorder.ops))
    assert counts[0] == counts[1]


@every_augmentation
def test_on_a_cuda_device_all_stays_there(name):
    """On pretended CUDA tensors: every op must take and give tensors of that device, none may need a value."""
    batch, params = drawn(name, 8, on=4, gather_sizes=(4, 8))
    augmentation = AUGMENTATIONS[name](1.0)
    with fake_cuda() as fake:
        steps = tuple(replace(step, clips=fake(step.clips), rows=fake(step.rows)) for step in params.steps)
        lengths = fake(torch.full((8,), 30))
        augmentation._apply(fake)  # banks and tapes are there too
        with Recorder() as recorder:
            out = augmentation.apply(fake(batch), Params(8, params.num_samples, steps), lengths)
        assert isinstance(out, Augmented)
        assert out.waveform.device.type == "cuda" and out.waveform.shape == batch.shape
        assert recorder.copies == 0


@every_augmentation
@pytest.mark.parametrize("whole", [False, True])
def test_it_does_not_matter_where_tensors_are_made_by_default(name, whole, monkeypatch):
    """As after torch.set_default_device: parameters are still drawn on the host, all else lies where the batch does."""
    monkeypatch.setattr(blocks, "ALWAYS_WHOLE", whole)
    batch, lengths = batch_for(name, 8), torch.full((8,), 30)
    augmentation = AUGMENTATIONS[name](0.7)
    expected = augmentation.apply(batch, augmentation.sample(8, batch.shape[-1], generator=seeded(1)), lengths)
    generator = seeded(1)
    with torch.device("meta"):
        params = augmentation.sample(8, batch.shape[-1], generator=generator)
        got = augmentation.apply(batch, params, lengths)
    assert torch.equal(got.waveform, expected.waveform)


@contextmanager
def fake_cuda() -> Iterator:
    with FakeTensorMode(allow_non_fake_inputs=False):
        yield lambda like: torch.empty(like.shape, dtype=like.dtype, device="cuda")


@pytest.mark.parametrize("name", ["waveform chain", "specgram chain", "Noise"])
def test_all_parameters_of_a_chain_go_over_in_one_copy(name):
    _, params = drawn(name, 8, on=4)
    with Recorder() as recorder:
        moved = params.to("meta")
    assert recorder.copies == 1
    assert moved.device.type == "meta"
    for step, there in zip(params.steps, moved.steps, strict=True):
        assert there.clips.shape == step.clips.shape and there.clips.dtype == step.clips.dtype
        assert there.rows.shape == step.rows.shape and there.rows.dtype == step.rows.dtype


def test_parameters_survive_the_packing():
    _, params = drawn("waveform chain", 8, on=4)

    class Elsewhere(Params):
        device = torch.device("meta")  # so that a copy to the CPU is not skipped

    moved = Elsewhere(8, 1000, params.steps).to("cpu")
    for step, there in zip(params.steps, moved.steps, strict=True):
        assert torch.equal(there.clips, step.clips) and torch.equal(there.rows, step.rows)
    assert params.to("cpu") is params


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@every_augmentation
def test_apply_compiles_without_a_break(name, backend):
    torch._dynamo.reset()
    augmentation = AUGMENTATIONS[name](1.0)
    compiled = torch.compile(augmentation.apply, fullgraph=True, backend=backend)
    for on in (4, 5, 6, 0):
        batch, params = drawn(name, 8, on=on)
        expected = augmentation.apply(batch, params)
        torch.testing.assert_close(compiled(batch, params), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["waveform chain", "specgram chain"])
def test_fixed_gather_sizes_make_one_graph_of_many_draws(name):
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounter()
    augmentation = AUGMENTATIONS[name](0.4)
    compiled = torch.compile(augmentation.apply, fullgraph=True, backend=counter, dynamic=False)
    batch, lengths = batch_for(name, 8), torch.full((8,), 30)
    for seed in range(6):
        params = augmentation.sample(8, batch.shape[-1], generator=seeded(seed), gather_sizes=(8,))
        expected = augmentation.apply(batch, params, lengths)
        torch.testing.assert_close(compiled(batch, params, lengths), expected, rtol=0, atol=2e-6)
    assert counter.frame_count == 1


@pytest.mark.gpu
@every_augmentation
def test_a_gpu_never_waits_and_agrees_with_the_cpu(name):
    batch = batch_for(name, 16)
    augmentation = AUGMENTATIONS[name](0.6, generator=seeded(3))  # so that each draw below gives the same counts
    on_cpu = augmentation.sample(16, batch.shape[-1], generator=seeded(3))
    lengths = torch.full((16,), 900 if batch.dim() == 3 else 40)
    expected = augmentation.apply(batch, on_cpu, lengths).waveform
    there, lengths_there = batch.cuda(), lengths.cuda()
    augmentation = augmentation.cuda()
    warm_up = augmentation.sample(16, batch.shape[-1], generator=seeded(3), device="cuda")
    augmentation.apply(there, warm_up, lengths_there)  # plans of the first FFT may wait
    torch.cuda.synchronize()
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        params = augmentation.sample(16, batch.shape[-1], generator=seeded(3), device="cuda")
        got = augmentation.apply(there, params, lengths_there).waveform
        augmentation(there, lengths_there)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=DEVICE_ROUNDING)
