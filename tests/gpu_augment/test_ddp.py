"""Inside a model that DistributedDataParallel wraps."""

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tests.gpu_augment.cases import seeded
from tonearm.gpu_augment import Noise


@pytest.fixture
def one_rank(tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_it_trains_and_its_stream_is_saved_with_the_model(one_rank):
    def model(seed: int) -> DistributedDataParallel:
        torch.manual_seed(0)
        return DistributedDataParallel(nn.Sequential(Noise(0.5, generator=seeded(seed)), nn.Conv1d(1, 2, 5)))

    waveform = torch.rand(8, 1, 200, generator=seeded(1))
    first = model(1)
    first(waveform).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in first.parameters())
    resumed = model(2)
    resumed.load_state_dict(first.state_dict())
    assert torch.equal(resumed(waveform), first(waveform))
    resumed.eval()
    assert torch.equal(resumed(waveform), resumed.module[1](waveform))
