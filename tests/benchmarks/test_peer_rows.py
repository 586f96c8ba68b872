import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from tonearm.benchmarks import page_cache, peer_rows
from tonearm.benchmarks.clip_set import write_clip_set, write_flac_files
from tonearm.benchmarks.harness import Role, TimedPass, measure
from tonearm.benchmarks.peer_environment import PEERS_FOLDER, environment_folder
from tonearm.benchmarks.peer_process import PeerProcess
from tonearm.benchmarks.peer_rows import (
    PeerSpec,
    StartedPeer,
    cold_contestant,
    difference,
    peer_specs,
    peer_workers,
    start_peer,
    warm_contestant,
)
from tonearm.benchmarks.sample_check import clip_digest
from tonearm.dataio import open_dataset, pack_dataset, read_manifest


class FakeProcess:
    """Stands for a peer: writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.versions = {"torch": "2.14.1"}

    def open(self, settings: dict[str, object], num_clips: int | None = None) -> None:
        self.asked.append(f"open {settings}")

    def close_files(self) -> None:
        self.asked.append("close")

    def run_pass(self) -> None:
        self.asked.append("pass")


@pytest.mark.parametrize(
    ("cores", "workers"),
    [
        (1, [1, 2, 3, 4, 6, 8]),
        (2, [1, 2, 3, 4, 6, 8]),
        (10, [1, 2, 3, 4, 5, 6, 8, 10]),
        (32, [1, 2, 3, 4, 6, 8, 16, 32]),
    ],
)
def test_peers_are_swept_from_one_to_eight_workers_and_up_to_every_core(cores: int, workers: list[int]) -> None:
    assert peer_workers(cores) == workers


def test_every_peer_has_a_script_and_a_name_of_its_own() -> None:
    specs = peer_specs(2)
    assert len({spec.name for spec in specs}) == len(specs) == 9
    assert {spec.kind for spec in specs} == {"wav", "flac"}
    assert all((PEERS_FOLDER / spec.script).is_file() for spec in specs)


@pytest.mark.parametrize("reopen", [False, True])
def test_a_peer_that_maps_its_files_is_closed_while_they_leave_the_cache(
    reopen: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process = FakeProcess()
    monkeypatch.setattr(page_cache, "drop", lambda files: process.asked.append(f"drop {len(files)}"))
    spec = PeerSpec("A", "a.py", "wav", {"workers": (1,)}, reopen=reopen)
    peer = StartedPeer(spec, process, {"workers": 1}, (tmp_path / "a", tmp_path / "b"))  # type: ignore[arg-type]
    cold_contestant(peer).prepare()
    around = (["close"], ["open {'workers': 1}"]) if reopen else ([], [])
    assert process.asked == [*around[0], "drop 2", *around[1]]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The same forty clips as WAV and as FLAC."""
    folder = tmp_path_factory.mktemp("clips")
    table = write_clip_set(folder, num_clips=40, sample_rate=8000, duration_seconds=1.5)
    pack_dataset(read_manifest("csv", table), folder / "packed", codec="flac")
    return {
        "wav": sorted(table.parent.glob("*.wav")),
        "flac": write_flac_files(open_dataset(folder / "packed"), folder / "flac"),
    }


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.slow
@pytest.mark.skipif(not environment_folder().exists(), reason="the peers' environment has not been made")
@pytest.mark.parametrize("spec", peer_specs(2), ids=lambda spec: spec.name)
def test_a_peer_delivers_every_clip_with_each_of_its_settings(
    spec: PeerSpec, clips: dict[str, list[Path]], stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_rows, "SWEPT_PASSES", 1)
    axes = {name: values[1:2] or values for name, values in spec.axes.items()}
    few = PeerSpec(spec.name, spec.script, spec.kind, axes, spec.reopen)
    told: list[str] = []
    peer = start_peer(
        stack,
        few,
        environment_folder() / "bin" / "python",
        clips[spec.kind],
        folder=tmp_path / "data",
        batch_size=16,
        device=torch.device("cpu"),
        announce=told.append,
    )
    digests = [clip_digest(path) for path in clips["wav"]]
    assert difference(peer.process, clips["wav"], digests) is None
    for name, values in spec.axes.items():
        for value in values:
            peer.process.open(peer.settings | {name: value})
            assert difference(peer.process, clips["wav"], digests) is None, (name, value)
    warm = warm_contestant(peer, clips["wav"], digests, "copy")
    assert (warm.role, warm.run().num_clips) == (Role.PEER, 40)  # type: ignore[union-attr]
    if page_cache.can_drop(tmp_path):
        (measured,) = measure([cold_contestant(peer)], repeats=1)
        assert measured.num_clips == 40


def test_a_sample_that_is_wrong_anywhere_is_found(
    clips: dict[str, list[Path]], stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_rows, "SWEPT_PASSES", 1)
    spec = PeerSpec("rows", "h5py_rows.py", "wav", {"workers": (1,), "samples": ("int16",), "read": ("batch",)})
    wav = clips["wav"]
    peer = start_peer(
        stack, spec, Path(sys.executable), wav, folder=tmp_path / "data", batch_size=16, device=torch.device("cpu"),
        announce=lambda _: None,
    )  # fmt: skip
    digests = [clip_digest(path) for path in wav]
    assert difference(peer.process, wav, digests) is None
    (file,) = peer.files
    for place, name in (
        (3, r"000003.wav, sample 11999 is"),
        (39, "the samples of 000039.wav are not those of the WAV"),
    ):
        content = file.read_bytes()
        last = len(content) - 2 * 12000 * (39 - place) - 1  # rows lie at the end of the file
        file.write_bytes(content[:last] + bytes([content[last] ^ 64]) + content[last + 1 :])
        peer.process.open(peer.settings)
        assert name in str(difference(peer.process, wav, digests))
        file.write_bytes(content)


@pytest.mark.slow
@pytest.mark.skipif(not environment_folder().exists(), reason="the peers' environment has not been made")
def test_shards_of_another_batch_size_are_made_anew(
    clips: dict[str, list[Path]], stack: ExitStack, tmp_path: Path
) -> None:
    spec = PeerSpec("tar", "webdataset_soundfile.py", "wav", {"workers": (1,), "samples": ("int16",)})
    for batch_size, num_shards in ((16, 2), (4, 5)):
        peer = start_peer(
            stack,
            spec,
            environment_folder() / "bin" / "python",
            clips["wav"],
            folder=tmp_path / "data",
            batch_size=batch_size,
            device=torch.device("cpu"),
            announce=lambda _: None,
        )
        assert len(peer.files) == num_shards
        peer.process.open(peer.settings, 2 * batch_size)
        assert peer.process.run_pass().num_clips == 2 * batch_size


def test_a_sweep_gives_every_worker_two_batches() -> None:
    two, many = peer_specs(2)[0], peer_specs(32)[3]  # up to 8 workers, up to 32 threads
    assert peer_rows.swept_clips(two, 8) == 256
    assert peer_rows.swept_clips(two, 64) == 1024
    assert peer_rows.swept_clips(many, 32) == 2048


def test_a_rate_is_of_the_passes_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = iter([TimedPass(10, 100.0), TimedPass(10, 1.0), TimedPass(10, 3.0)])
    opened = []

    class Process:
        def open(self, settings: dict[str, object], num_clips: int) -> None:
            opened.append((settings, num_clips))

        def run_pass(self) -> TimedPass:
            return next(passes)

    process: PeerProcess = Process()  # type: ignore[assignment]
    assert peer_rows._rate(process, {"workers": 2}, num_clips=10) == 5.0
    assert opened == [({"workers": 2}, 10)]
