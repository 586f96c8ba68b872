import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.models.promises import check_promises, count, maps, random
from tonearm.errors import ShapeError
from tonearm.models.mobilenet import SYSTEMS, MobileNet, SeparableConv


def small() -> MobileNet:
    torch.manual_seed(0)
    return MobileNet(num_classes=5, in_channels=2, n_mels=16, width=2)


def test_parameters() -> None:
    assert count(SYSTEMS[0]) == 3_287_024


def test_promises() -> None:
    check_promises(small(), convolutions=27)


@pytest.mark.parametrize("frames", [1, 49, 50, 51, 100, 101, 233])
def test_a_clips_probability_is_the_mean_of_windows_scored_one_by_one(frames: int) -> None:
    network = small().eval()
    log_mel = maps(network, frames=frames)

    def probability(window: Tensor) -> Tensor:
        filled = functional.pad(window, (0, 100 - window.shape[3]))
        scores: Tensor = network.head(network.body(filled).mean(dim=(2, 3)))
        return scores.sigmoid()

    each = [probability(log_mel[..., begin : begin + 100]) for begin in range(0, frames, 50)]
    torch.testing.assert_close(network(log_mel).sigmoid(), torch.stack(each).mean(dim=0))


@pytest.mark.parametrize(("size", "first"), [((8, 8), 0), ((9, 9), -1), ((8, 9), None)])
def test_strides_begin_where_tensorflows_do(size: tuple[int, int], first: int | None) -> None:
    """ "SAME": as many outputs as ⌈size / 2⌉, zeros shared out with the odd one at the end."""
    block = SeparableConv(1, 1, size=size, stride=2)
    conv = block.layers[1]
    assert isinstance(conv, nn.Conv2d)
    nn.init.ones_(conv.weight)
    x = random(1, 1, *size)
    got = conv(block.layers[0](x))[0, 0]
    assert got.shape == (-(-size[0] // 2), -(-size[1] // 2))
    begin = [0 if each % 2 == 0 else -1 for each in size]
    if first is not None:
        assert begin == [first, first]
    rows, columns = slice(max(begin[0], 0), begin[0] + 3), slice(max(begin[1], 0), begin[1] + 3)
    torch.testing.assert_close(got[0, 0], x[0, 0, rows, columns].sum())


def test_windows_of_the_source() -> None:
    features = SYSTEMS[0].features
    assert features.win_length == round(0.025 * SYSTEMS[0].sample_rate)
    assert features.hop_length * 100 == SYSTEMS[0].sample_rate


def test_no_frames_are_refused() -> None:
    with pytest.raises(ShapeError, match="has 0 frames; MobileNet needs at least 1"):
        small()(random(1, 2, 16, 0))
