from typing import Any

import pytest
import torch

from tests.models.promises import check_promises, count, maps, random
from tonearm.errors import ConfigError, ShapeError
from tonearm.models.weak_features import SYSTEMS, WeakFeatures

SEED: dict[str, Any] = {"n_mels": 64, "num_frames": 170}


def small(**options: Any) -> WeakFeatures:
    torch.manual_seed(0)
    return WeakFeatures(num_classes=5, in_channels=2, width=2, **options)


def test_parameters() -> None:
    assert [(system.name, count(system)) for system in SYSTEMS] == [
        ("weak-features", 5_002_047),
        ("seed-github", 4_575_672),
    ]


@pytest.mark.parametrize("options", [{}, SEED])
def test_promises(options: dict[str, Any]) -> None:
    check_promises(small(**options), convolutions=13)


def test_a_clips_probability_is_the_mean_of_its_cells() -> None:
    network = small().eval()
    log_mel = maps(network, frames=400)
    cells = network.cells(network.body(log_mel)).sigmoid()
    assert cells.shape == (3, 5, 1, 5)
    torch.testing.assert_close(network(log_mel).sigmoid(), cells.mean(dim=(2, 3)))


def test_the_seeds_form_flattens_probabilities() -> None:
    network = small(**SEED).eval()
    log_mel = maps(network, frames=170)
    cells = network.cells(network.body(log_mel)).sigmoid()
    torch.testing.assert_close(network(log_mel), network.head(cells.flatten(1)))


@pytest.mark.parametrize(("options", "fewest"), [({}, 128), (SEED, 64)])
def test_too_small_maps_are_refused(options: dict[str, Any], fewest: int) -> None:
    with pytest.raises(ConfigError, match=f"n_mels: got {fewest - 1}; .* needs at least {fewest}"):
        small(**{**options, "n_mels": fewest - 1})
    with pytest.raises(ShapeError, match=f"{fewest - 1} frames; WeakFeatures needs at least {fewest}"):
        small(**options)(random(1, 2, options.get("n_mels", 128), fewest - 1))
