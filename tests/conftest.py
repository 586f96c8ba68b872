"""What the whole suite shares: one small thread count, the GPU rule, and the folder of real recordings."""

import os
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "2000")  # as the command does, before torch is imported

import pytest
import torch

torch.set_num_threads(min(2, os.cpu_count() or 1))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        message = "needs a CUDA device"
        if os.environ.get("TONEARM_REQUIRE_GPU") == "1":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="session")
def esc10() -> Path:
    """The 400 real recordings of ESC-10, in the old repository's layout."""
    folder = os.environ.get("TONEARM_ESC10")
    if not folder:
        pytest.skip("TONEARM_ESC10 does not name a folder with the ESC-10 recordings")
    return Path(folder)
