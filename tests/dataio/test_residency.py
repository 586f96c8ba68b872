"""Clips that stay in memory: the same samples, and only where there is room."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.dataio.recordings import sound, write
from tonearm.dataio import ClipLoader, Dataset, open_dataset, pack_dataset, read_manifest
from tonearm.dataio.excerpts import Excerpts
from tonearm.dataio.residency import DeviceDecoder, choose_residency, load_resident, memory_bytes, resident_bytes
from tonearm.errors import RequestError

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.mark.parametrize("codec", ["pcm16", "flac", "source"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_memory_gives_what_the_stream_gives(recordings: Path, codec: str, shuffle: bool) -> None:
    dataset = open_dataset(recordings / codec)
    batches = [
        list(
            ClipLoader(
                dataset, batch_size=4, duration_seconds=0.4, shuffle=shuffle, backend="soundfile", residency=residency
            )
        )
        for residency in ("stream", "memory", "device")
    ]
    for stream, *others in zip(*batches, strict=True):
        for other in others:
            assert torch.equal(stream.waveform, other.waveform)
            assert torch.equal(stream.lengths, other.lengths)
            assert torch.equal(stream.targets, other.targets)


def test_source_keeps_more_than_16_bits(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, 4000).astype(np.float32)
    write(tmp_path / "in" / "x" / "a.wav", samples, subtype="FLOAT")
    pack_dataset(read_manifest("folder", tmp_path / "in"), tmp_path / "out", codec="source")
    (batch,) = ClipLoader(open_dataset(tmp_path / "out"), residency="memory")
    assert np.array_equal(batch.waveform[0, 0], samples)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_device_gathers_what_the_slow_way_cuts(tmp_path: Path, channels: int) -> None:
    for number, frames in enumerate((3000, 1000, 2000)):
        write(tmp_path / "in" / "x" / f"{number}.wav", sound(frames, seed=number, channels=channels))
    pack_dataset(read_manifest("folder", tmp_path / "in"), tmp_path / "out", num_channels=channels)
    clips = load_resident(open_dataset(tmp_path / "out"), num_threads=2, verify="first")
    excerpts = Excerpts(np.array([2, 0, 1]), np.array([100, 2500, 0]), np.array([1200, 500, 1000]), 1200)
    found = DeviceDecoder(clips, device=CPU)(excerpts)
    for place, (row, start, count) in enumerate(((2, 100, 1200), (0, 2500, 500), (1, 0, 1000))):
        samples = sound((3000, 1000, 2000)[row], seed=row, channels=channels)[start : start + count]
        assert np.array_equal(found[place, :, :count], samples.T / np.float32(32768))
        assert not found[place, :, count:].any()


def test_auto_takes_a_quarter_at_most(recordings: Path) -> None:
    flac, pcm = open_dataset(recordings / "flac"), open_dataset(recordings / "pcm16")
    assert resident_bytes(flac) == 2 * int(flac.table.num_frames.sum())
    room = 4 * resident_bytes(flac)

    def choose(dataset: Dataset, device: torch.device, *, gpu: int, host: int | None, ranks: int = 1) -> str:
        return choose_residency(
            "auto", dataset, device, local_ranks=ranks, memory_bytes=lambda where: gpu if where.type == "cuda" else host
        )

    assert choose(flac, GPU, gpu=room, host=0) == "device"
    assert choose(flac, GPU, gpu=room - 1, host=room) == "memory"
    assert choose(flac, GPU, gpu=room - 1, host=room - 1) == "stream"
    assert choose(flac, CPU, gpu=0, host=room) == "memory"
    assert choose(flac, CPU, gpu=0, host=None) == "stream"
    assert choose(flac, CPU, gpu=0, host=2 * room, ranks=2) == "memory"  # each rank holds it all
    assert choose(flac, CPU, gpu=0, host=2 * room - 1, ranks=2) == "stream"
    assert choose(pcm, GPU, gpu=room, host=room) == "device"
    assert choose(pcm, CPU, gpu=0, host=room) == "stream"  # the page cache has it already
    with pytest.raises(RequestError, match="unknown residency 'ram'; there are auto, stream, memory, device"):
        choose_residency("ram", pcm, CPU, local_ranks=1, memory_bytes=memory_bytes)  # type: ignore[arg-type]


def test_the_memory_of_this_machine_is_found() -> None:
    found = memory_bytes(CPU)
    assert found is not None
    assert 2**28 < found < 2**48


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["pcm16", "flac", "source"])
@pytest.mark.parametrize("residency", ["memory", "device"])
def test_a_gpu_gets_the_same_samples_from_memory_and_device(recordings: Path, codec: str, residency: str) -> None:
    dataset = open_dataset(recordings / codec)
    settings = {"batch_size": 4, "duration_seconds": 0.4, "shuffle": True, "backend": "soundfile"}
    on_gpu = list(ClipLoader(dataset, device="cuda", residency=residency, **settings))  # type: ignore[arg-type]
    for left, right in zip(on_gpu, ClipLoader(dataset, residency="stream", **settings), strict=True):  # type: ignore[arg-type]
        assert left.waveform.device.type == "cuda"
        assert torch.equal(left.waveform.cpu(), right.waveform)
