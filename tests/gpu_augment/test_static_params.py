"""Parameters written into memory that stays where it is, as a captured CUDA graph needs them."""

import pytest
import torch

from tests.gpu_augment.cases import AUGMENTATIONS, batch_for, seeded, waveform_chain
from tonearm.errors import ShapeError
from tonearm.gpu_augment import Noise, TimeShiftStretch

GRAPH_ROUNDING = 2e-6  # the same kernels; a library may take another one while a graph is captured


def test_what_another_draw_says_is_taken_over_into_the_same_memory():
    chain, batch = waveform_chain(0.5), batch_for("waveform chain", 8)
    static, fresh = (chain.sample(8, 1000, generator=seeded(seed), gather_sizes=(8,)) for seed in (1, 2))
    where = [(step.clips.data_ptr(), step.rows.data_ptr()) for step in static.steps]
    expected = chain.apply(batch, fresh)
    assert not torch.equal(chain.apply(batch, static), expected)
    static.copy_(fresh)
    assert torch.equal(chain.apply(batch, static), expected)
    assert [(step.clips.data_ptr(), step.rows.data_ptr()) for step in static.steps] == where


def test_parameters_that_do_not_fit_are_refused_and_nothing_is_changed():
    static = Noise(1.0).sample(4, 100)
    before = static.steps[0].rows.clone()
    for other in (Noise(1.0).sample(5, 100), Noise(1.0).sample(4, 99), Noise(0.0).sample(4, 100)):
        with pytest.raises(ShapeError, match=r"params: got Params.*gather_sizes=\(4,\)\) always has it"):
            static.copy_(other)
    with pytest.raises(ShapeError, match=r"TimeShiftStretch 4\]\), may be like Params.*Noise 4"):
        static.copy_(TimeShiftStretch(1.0).sample(4, 100))
    assert torch.equal(static.steps[0].rows, before)


def test_a_draw_that_fills_up_does_not_go_where_none_was_filled_up():
    """Else the clips that only fill the set would come out changed."""
    static, padded = Noise(1.0).sample(8, 100), Noise(0.5).sample(8, 100, gather_sizes=(8,))
    with pytest.raises(ShapeError, match=r"Noise 8, padded\]\), may be like Params.*Noise 8\]\)"):
        static.copy_(padded)


@pytest.mark.gpu
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_a_captured_graph_replays_with_new_parameters(name):
    augmentation, batch = AUGMENTATIONS[name](0.5).to("cuda"), batch_for(name, 8).cuda()
    num_samples = batch.shape[-1]

    def draw(seed):
        return augmentation.sample(8, num_samples, device="cuda", generator=seeded(seed), gather_sizes=(8,))

    static = draw(1)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # plans and workspaces are made before the capture
        for _ in range(3):
            augmentation.apply(batch, static)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = augmentation.apply(batch, static)
    for seed in (2, 3):
        fresh = draw(seed)
        static.copy_(fresh)
        graph.replay()
        torch.testing.assert_close(captured, augmentation.apply(batch, fresh), rtol=0, atol=GRAPH_ROUNDING)
