import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from tonearm.benchmarks.clip_set import write_clip_set
from tonearm.benchmarks.copy_ceiling import CopyCeiling
from tonearm.benchmarks.sample_check import first_difference


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    table = write_clip_set(tmp_path_factory.mktemp("clips"), num_clips=30, sample_rate=8000, duration_seconds=1.5)
    return sorted(table.parent.glob("*.wav"))


@pytest.mark.parametrize("num_threads", [1, 3])
def test_the_copy_ceiling_delivers_the_clips(paths: list[Path], num_threads: int) -> None:
    clips = [soundfile.read(path, dtype="int16")[0] for path in paths]
    ceiling = CopyCeiling(clips, batch_size=8, device=torch.device("cpu"), num_threads=num_threads)
    for _ in range(2):
        assert first_difference(ceiling, paths) is None
    assert [len(batch) for batch in ceiling] == [8, 8, 8, 6]
    ceiling.close()


class Copying:
    """Stands for the event of a copy that has not ended."""

    def __init__(self) -> None:
        self.waited_for = threading.Event()
        self.ended = threading.Event()

    def synchronize(self) -> None:
        self.waited_for.set()
        assert self.ended.wait(timeout=10)


def test_the_copy_ceiling_fills_no_buffer_that_is_still_being_copied() -> None:
    ceiling = CopyCeiling([np.ones(4, np.int16)], batch_size=1, device=torch.device("cpu"), num_threads=1)
    copying = Copying()
    for buffer in ceiling._buffers:
        buffer.sent = copying  # type: ignore[assignment]
    batches: list[Tensor] = []
    consumer = threading.Thread(target=lambda: batches.extend(ceiling))
    consumer.start()
    assert copying.waited_for.wait(timeout=10)
    assert not any(buffer.samples.any() for buffer in ceiling._buffers)
    copying.ended.set()
    consumer.join()
    assert batches[0].tolist() == [[[1 / 32768] * 4]]
    ceiling.close()


@pytest.mark.gpu
def test_the_copy_ceiling_delivers_the_clips_on_a_gpu(paths: list[Path]) -> None:
    clips = [soundfile.read(path, dtype="int16")[0] for path in paths]
    ceiling = CopyCeiling(clips, batch_size=2, device=torch.device("cuda"), num_threads=2)
    for _ in range(2):  # each buffer is used five times a pass
        assert first_difference(list(ceiling), paths) is None
    ceiling.close()
