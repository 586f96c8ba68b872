import pytest
import torch
from torch import Tensor, nn

from tonearm.config import FeaturesConfig
from tonearm.models.count import count_costs, count_parameters
from tonearm.models.network import Network, System


class Tiny(Network):
    """A convolution 1 → 4 of 3 × 3 that keeps the size, an activation, a mean and a linear layer."""

    def __init__(self, *, num_classes: int, in_channels: int = 1, n_mels: int = 8) -> None:
        super().__init__(in_channels=in_channels, n_mels=n_mels)
        self.conv = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.head = nn.Linear(4, num_classes)

    def scores(self, log_mel: Tensor) -> Tensor:
        scores: Tensor = self.head(torch.relu(self.conv(log_mel)).mean(dim=(2, 3)))
        return scores


FEATURES = FeaturesConfig(n_fft=64, win_length=64, hop_length=32, n_mels=8)
SYSTEM = System("tiny", Tiny, FEATURES, sample_rate=320, num_classes=5, source="test")
FRAMES = 51  # 5 s · 320 / 32 + 1


def test_costs_of_a_network_small_enough_to_count_by_hand() -> None:
    costs = count_costs(SYSTEM, duration_seconds=5, batch_size=3)
    weights = 4 * 9 + 4 + 4 * 5 + 5
    assert costs.parameters == weights
    assert costs.multi_adds == 8 * FRAMES * 4 * 9 + 4 * 5
    # kept: the map, what leaves the ReLU, and the means that the linear layer sees; 3 clips of each, 4 bytes a number
    kept = 3 * (8 * FRAMES + 4 * 8 * FRAMES + 4)
    assert costs.training_bytes == 4 * (kept + 4 * weights)


def test_longer_clips_larger_batches_and_more_classes_cost_more() -> None:
    base = count_costs(SYSTEM, duration_seconds=5, batch_size=2)
    assert count_costs(SYSTEM, duration_seconds=10, batch_size=2).multi_adds > 1.9 * base.multi_adds
    assert count_costs(SYSTEM, duration_seconds=5, batch_size=4).training_bytes > base.training_bytes
    assert count_costs(SYSTEM, duration_seconds=5, num_classes=6).parameters == base.parameters + 5


def test_frozen_weights_are_no_parameters() -> None:
    net = Tiny(num_classes=2)
    net.conv.requires_grad_(False)
    assert count_parameters(net) == 4 * 2 + 2


@pytest.mark.slow
def test_the_counted_memory_is_what_a_step_keeps() -> None:
    from torch.profiler import ProfilerActivity, profile

    from tonearm.models import find_system

    system = find_system("erann-1x2-1")
    costs = count_costs(system, duration_seconds=1, batch_size=4)
    net = system.build(num_classes=system.num_classes)
    log_mel = torch.zeros(4, 1, 128, 128)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        scores = net(log_mel)
    kept = sum(event.self_cpu_memory_usage for event in watched.events())
    del scores
    counted = costs.training_bytes - 4 * 4 * costs.parameters
    assert kept == pytest.approx(counted - log_mel.nbytes, rel=0.05)
