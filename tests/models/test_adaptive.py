import pytest
import torch
from torch.nn import functional

from tests.models.promises import random
from tonearm.models.adaptive import adaptive_average


@pytest.mark.parametrize("length", [1, 2, 6, 7, 8, 13, 14, 50])
def test_it_is_torchs_adaptive_pooling(length: int) -> None:
    x = random(2, 3, 4, length)
    torch.testing.assert_close(adaptive_average(x, 7, dim=3), functional.adaptive_avg_pool2d(x, (4, 7)))
    torch.testing.assert_close(
        adaptive_average(x.transpose(2, 3), 7, dim=2), functional.adaptive_avg_pool2d(x.transpose(2, 3), (7, 4))
    )


def test_a_map_of_that_size_is_left_as_it_is() -> None:
    x = random(2, 3, 4, 26)
    assert torch.equal(adaptive_average(x, 26, dim=3), x)


def test_halves_are_added_up_in_float32_also_under_autocast() -> None:
    x = torch.full((1, 1, 1, 4096), 60_000.0, dtype=torch.float16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert adaptive_average(x, 1, dim=3).item() == 60_000.0
    assert adaptive_average(x.double(), 1, dim=3).dtype == torch.float64
