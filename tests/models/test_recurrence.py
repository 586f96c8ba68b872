from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from tests.models.promises import random
from tonearm.models.recurrence import Recurrence

MODES: list[Literal["GRU", "LSTM"]] = ["GRU", "LSTM"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_it_is_torchs_layer(mode: Literal["GRU", "LSTM"], bidirectional: bool) -> None:
    ours = Recurrence(mode, 3, 4, bidirectional=bidirectional)
    theirs = getattr(nn, mode)(3, 4, batch_first=True, bidirectional=bidirectional)
    theirs.load_state_dict(ours.state_dict())
    x = random(2, 7, 3)
    torch.testing.assert_close(ours(x), theirs(x)[0])
    assert ours.out_features == ours(x).shape[2]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_an_exported_one_scans_any_number_of_frames_and_clips(
    mode: Literal["GRU", "LSTM"], bidirectional: bool
) -> None:
    layer = Recurrence(mode, 3, 4, bidirectional=bidirectional, initial_state=-1.0).eval()
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    program = torch.export.export(layer, (random(3, 7, 3),), dynamic_shapes=(free,)).module()
    for shape in ((3, 7, 3), (2, 19, 3), (5, 4, 3)):
        x = random(*shape, seed=1)
        torch.testing.assert_close(program(x), layer(x))


@pytest.mark.parametrize("mode", MODES)
def test_a_compiled_one_gives_the_same_gradients_to_all_weights(mode: Literal["GRU", "LSTM"]) -> None:
    layer = Recurrence(mode, 3, 4, bidirectional=True)
    x = random(2, 5, 3)

    def gradients(out: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(out.square().sum(), list(layer.parameters())))

    torch._dynamo.reset()
    # AOT of torch 2.14 cannot differentiate oneDNN's LSTM on a CPU ("expected all tensors_saved_with_vc_check").
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager" if mode == "GRU" else "eager")
    torch.testing.assert_close(gradients(compiled(x)), gradients(layer(x)))


def test_it_stays_in_float32_under_autocast() -> None:
    layer = Recurrence("GRU", 3, 4)
    x = random(2, 5, 3).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.float32
    assert torch.equal(out, layer(x.float()))


@pytest.mark.parametrize("mode", ["GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_shapes_alone_take_the_products_of_the_kernel(mode: Literal["GRU", "LSTM"], bidirectional: bool) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        layer = Recurrence(mode, 5, 3, bidirectional=bidirectional)
        kernel = {"GRU": nn.GRU, "LSTM": nn.LSTM}[mode](5, 3, bidirectional=bidirectional, batch_first=True)
        frames = torch.empty(2, 7, 5)
    counts = []
    for each in (layer, kernel):
        with FlopCounterMode(display=False) as counter:
            out = each(frames)
        assert (out if each is layer else out[0]).shape == (2, 7, 6 if bidirectional else 3)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0
