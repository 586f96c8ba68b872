"""The loader: what comes when, the same samples from every backend, and a clean end however it ends."""

import pickle
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.dataio.recordings import sound, write
from tonearm.batch import AudioBatch
from tonearm.dataio import ClipLoader, Dataset, open_dataset, pack_dataset, read_manifest
from tonearm.dataio.decode_copy import BatchFiller, BufferPool
from tonearm.dataio.excerpts import Excerpts
from tonearm.dataio.order import crop_draws, crop_starts, epoch_order
from tonearm.dataio.shards import read_shard
from tonearm.errors import RequestError, ShardError

FLOAT_DECODERS_AGREE = 2e-7  # DALI and libsndfile differ by a rounding in Vorbis


def collect(loader: ClipLoader) -> list[AudioBatch]:
    return list(loader)


def test_evaluation_sees_each_clip_once_whole_and_padded(dataset: Dataset) -> None:
    loader = ClipLoader(dataset, batch_size=4)
    batches = collect(loader)
    assert [len(batch) for batch in batches] == [4, 4, 4, 2]
    assert len(loader) == 4
    assert torch.cat([batch.clip_index for batch in batches]).tolist() == list(range(14))
    for batch in batches:
        assert batch.waveform.shape[1:] == (1, 5001)
        assert batch.waveform.dtype == torch.float32
        for waveform, length, targets, row in zip(
            batch.waveform, batch.lengths, batch.targets, batch.clip_index, strict=True
        ):
            number = int(dataset.clip_id(int(row)).split("clip")[1][:2])
            expected = sound((4000, 2500, 5001)[number % 3], seed=number)[:, 0] / np.float32(32768)
            assert length == len(expected)
            assert np.array_equal(waveform[0, :length], expected)
            assert (waveform[0, length:] == 0).all()
            assert targets.tolist() == [float(number % 3 == label) for label in range(3)]


@pytest.mark.parametrize("codec", ["pcm16", "flac", "source"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_backend_gives_the_samples_of_the_slow_twin(recordings: Path, codec: str, shuffle: bool) -> None:
    pytest.importorskip("nvidia.dali")
    dataset = open_dataset(recordings / codec)
    settings = {"batch_size": 4, "duration_seconds": 0.4, "shuffle": shuffle, "seed": 3}
    slow = collect(ClipLoader(dataset, backend="soundfile", **settings))
    for backend in ("dali", "copy") if codec == "pcm16" else ("dali",):
        fast = collect(ClipLoader(dataset, backend=backend, **settings))
        assert len(fast) == len(slow)
        for left, right in zip(fast, slow, strict=True):
            assert torch.equal(left.waveform, right.waveform)
            assert torch.equal(left.lengths, right.lengths)
            assert torch.equal(left.targets, right.targets)
            assert torch.equal(left.clip_index, right.clip_index)


def test_vorbis_from_dali_and_soundfile_agree(tmp_path: Path) -> None:
    pytest.importorskip("nvidia.dali")
    for number in range(3):
        write(tmp_path / "in" / "x" / f"{number}.ogg", sound(6000 + number, seed=number) // 4, subtype="VORBIS")
    pack_dataset(read_manifest("folder", tmp_path / "in"), tmp_path / "out", codec="source")
    dataset = open_dataset(tmp_path / "out")
    fast, slow = (collect(ClipLoader(dataset, backend=backend))[0].waveform for backend in ("dali", "soundfile"))
    assert (fast - slow).abs().max() <= FLOAT_DECODERS_AGREE


@pytest.mark.parametrize("backend", ["copy", "soundfile", "dali"])
def test_stereo_keeps_its_channels(tmp_path: Path, backend: str) -> None:
    if backend == "dali":
        pytest.importorskip("nvidia.dali")
    samples = sound(3000, channels=2)
    write(tmp_path / "in" / "x" / "a.wav", samples)
    pack_dataset(read_manifest("folder", tmp_path / "in"), tmp_path / "out", num_channels=2)
    (batch,) = collect(ClipLoader(open_dataset(tmp_path / "out"), backend=backend, duration_seconds=0.5))
    assert batch.waveform.shape == (1, 2, 4000)
    assert np.array_equal(batch.waveform[0, :, :3000], samples.T / np.float32(32768))
    assert (batch.waveform[0, :, 3000:] == 0).all()


def test_training_order_is_a_function_of_seed_and_epoch(dataset: Dataset) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        loader = ClipLoader(dataset, batch_size=4, shuffle=True, seed=seed, duration_seconds=0.1)
        loader.epoch = epoch
        return torch.cat([batch.clip_index for batch in loader]).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(2, 1)
    assert order(1, 2) != order(1, 3)
    assert len(set(order(1, 2))) == 12  # the ragged tail of 14 clips is dropped


def test_each_pass_is_the_next_epoch(dataset: Dataset) -> None:
    loader = ClipLoader(dataset, batch_size=4, shuffle=True)
    first, second = (torch.cat([batch.clip_index for batch in loader]) for _ in range(2))
    assert loader.epoch == 2
    assert not torch.equal(first, second)


def test_pinned_order() -> None:
    """Changes only when a run's order changes for everybody: then say so in the changelog."""
    assert epoch_order(8, seed=0, epoch=0).tolist() == [6, 2, 5, 4, 7, 0, 1, 3]
    frames = np.array([100, 50, 10, 1000])
    assert crop_starts(crop_draws(4, seed=0, epoch=0), frames, 40).tolist() == [12, 2, 0, 479]


def test_crops_are_uniform_over_the_starts_that_fit() -> None:
    starts = crop_starts(crop_draws(30_000, seed=0, epoch=0), np.full(30_000, 43), 40)
    counts = np.bincount(starts, minlength=4)
    assert len(counts) == 4
    assert np.abs(counts - 7500).max() < 5 * np.sqrt(7500)  # five standard deviations


def test_where_takes_folds_and_splits(dataset: Dataset) -> None:
    part = dataset.where(fold=[1, 3])
    assert set(part.table.fold.tolist()) == {1, 3}
    assert dataset.folds == [1, 2, 3]
    assert len(part) + len(dataset.where(fold=2)) == 14
    with pytest.raises(RequestError, match="no fold 9; it has 1, 2, 3"):
        dataset.where(fold=9)
    with pytest.raises(RequestError, match="no split 'test'; its clips have no split"):
        dataset.where(split="test")


def test_a_dataset_pickles_without_its_audio(dataset: Dataset) -> None:
    dataset.payload(0)
    data = pickle.dumps(dataset.where(fold=1))
    assert len(data) < 10_000 < dataset.where(fold=1).table.size.sum()
    again = pickle.loads(data)
    assert np.array_equal(again.payload(0), dataset.where(fold=1).payload(0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 15, "shuffle": True}, "batch_size is 15, but there are only 14 clips"),
        ({"duration_seconds": 0.0}, "duration_seconds is 0.0"),
        ({"duration_seconds": float("nan")}, "duration_seconds is nan"),
        ({"num_threads": 0}, "num_threads is 0"),
        ({"backend": "ffmpeg"}, "unknown backend 'ffmpeg'"),
    ],
)
def test_wrong_settings_are_refused(dataset: Dataset, settings: dict[str, object], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        ClipLoader(dataset, **settings)  # type: ignore[arg-type]


def test_backends_that_do_not_fit_are_refused(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flac = open_dataset(recordings / "flac")
    with pytest.raises(RequestError, match="backend copy is for codec pcm16"):
        ClipLoader(flac, backend="copy")
    with pytest.raises(RequestError, match="no clips to load"):
        ClipLoader(flac.rows(np.array([], np.int64)))
    monkeypatch.setattr("tonearm.dataio.loader_settings.find_spec", lambda name: None)
    assert ClipLoader(flac).backend == "soundfile"
    with pytest.raises(RequestError, match=r"NVIDIA DALI is not installed. pip install 'tonearm\[cuda13\]'"):
        ClipLoader(flac, backend="dali")


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tonearm-loader")]


def test_leaving_early_and_failing_end_the_thread(recordings: Path, dataset: Dataset) -> None:
    for batch in ClipLoader(dataset, batch_size=1):
        assert len(batch) == 1
        break
    assert loader_threads() == []
    batches = iter(ClipLoader(dataset, batch_size=1))
    with pytest.raises(KeyError), _closing(batches):
        next(batches)
        raise KeyError
    assert loader_threads() == []


class _closing:
    def __init__(self, batches: object) -> None:
        self.batches = batches

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.batches.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("backend", ["copy", "dali", "soundfile"])
def test_a_damaged_clip_is_named_by_every_backend(tmp_path: Path, recordings: Path, backend: str) -> None:
    if backend == "dali":
        pytest.importorskip("nvidia.dali")
    pack_dataset(read_manifest("csv", recordings / "in" / "clips.csv"), tmp_path / "out")
    shard = read_shard(tmp_path / "out" / "shard-00000.h5")
    data = bytearray(shard.path.read_bytes())
    data[shard.audio_offset + 5] ^= 1
    shard.path.write_bytes(data)
    with pytest.raises(ShardError, match=r"shard-00000.h5, clip 'class\d/clip\d\d.wav': its bytes do not match"):
        collect(ClipLoader(open_dataset(tmp_path / "out"), backend=backend))
    assert len(collect(ClipLoader(open_dataset(tmp_path / "out"), backend=backend, verify="never"))) == 1


def test_dali_that_fails_names_the_culprit_and_works_again(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nvidia.dali")
    from tonearm.dataio.decode_dali import DaliDecoder

    dataset = open_dataset(recordings / "flac")
    payload = Dataset.payload

    def broken(self: Dataset, row: int, **options: Any) -> np.ndarray:
        data = payload(self, row, **options)
        return np.zeros_like(data) if row == 2 else data

    monkeypatch.setattr(Dataset, "payload", broken)
    filler = BatchFiller(num_channels=1, device=torch.device("cpu"), num_threads=1, pool=BufferPool())
    decoder = DaliDecoder(dataset, filler, batch_size=4, num_threads=1, verify="first")
    bad = Excerpts(np.arange(4), np.zeros(4, np.int64), np.full(4, 1000), 1000)
    with pytest.raises(ShardError, match=f"clip '{dataset.clip_id(2)}': does not decode"):
        decoder(bad)
    good = Excerpts(np.array([3, 4]), np.zeros(2, np.int64), np.full(2, 1000), 1000)
    (expected, *_) = collect(ClipLoader(dataset.rows(np.array([3, 4])), backend="soundfile"))
    assert torch.equal(decoder(good), expected.waveform[:, :, :1000])


def test_buffers_return_only_when_nobody_holds_them() -> None:
    pool = BufferPool()
    first = torch.from_numpy(pool.take((2, 3)))
    address = first.data_ptr()
    view = first[1:]
    del first
    other = torch.from_numpy(pool.take((2, 3))).data_ptr()
    assert other != address
    del view
    # An epoch's last batch, which may be shorter, takes the beginning of a buffer that is there, and frees none.
    short = torch.from_numpy(pool.take((1, 3)))
    assert short.shape == (1, 3)
    following = torch.from_numpy(pool.take((2, 3)))
    assert {short.data_ptr(), following.data_ptr()} == {address, other}
    assert torch.from_numpy(pool.take((2, 3))).data_ptr() not in (address, other)


def test_a_consumer_that_once_held_many_batches_does_not_keep_their_memory_taken() -> None:
    pool = BufferPool()
    held = [pool.take((2, 3)) for _ in range(50)]
    assert len({array.__array_interface__["data"] for array in held}) == 50
    del held
    pool.take((2, 3))
    assert len(pool._arrays) <= 5


def test_a_batch_that_fails_is_not_written_to_afterwards() -> None:
    """A failed batch is made again, in a ring of few buffers: whoever is late must not write into a later batch."""
    late = threading.Event()

    def view(row: int, start: int, num_frames: int) -> np.ndarray:
        if row == 0:
            raise ShardError("damaged")
        time.sleep(0.2)
        late.set()
        return np.zeros((num_frames, 1), np.int16)

    filler = BatchFiller(num_channels=1, device=torch.device("cpu"), num_threads=2, pool=BufferPool())
    with pytest.raises(ShardError, match="damaged"):
        filler.fill(Excerpts(np.arange(2), np.zeros(2, np.int64), np.full(2, 10), 10), view)
    assert late.is_set()


def test_batches_that_are_kept_do_not_change(dataset: Dataset) -> None:
    loader = ClipLoader(dataset, batch_size=2)
    kept = collect(loader)
    copies = [batch.waveform.clone() for batch in kept]
    collect(loader)
    for batch, copy in zip(kept, copies, strict=True):
        assert torch.equal(batch.waveform, copy)


@pytest.mark.gpu
@pytest.mark.parametrize("codec", ["pcm16", "flac"])
def test_the_gpu_gets_the_same_samples(recordings: Path, codec: str) -> None:
    dataset = open_dataset(recordings / codec)
    for backend in ("auto", "dali"):
        on_gpu = collect(ClipLoader(dataset, batch_size=3, device="cuda", backend=backend))
        on_cpu = collect(ClipLoader(dataset, batch_size=3, backend="soundfile"))
        for left, right in zip(on_gpu, on_cpu, strict=True):
            assert left.waveform.device.type == "cuda"
            assert torch.equal(left.waveform.cpu(), right.waveform)


@pytest.mark.parametrize("backend", ["copy", "dali", "soundfile"])
def test_two_iterators_may_live_at_once(dataset: Dataset, backend: str) -> None:
    if backend == "dali":
        pytest.importorskip("nvidia.dali")
    loader = ClipLoader(dataset, batch_size=2, backend=backend)  # type: ignore[arg-type]
    pairs = list(zip(loader, loader, strict=True))
    assert len(pairs) == 7
    for left, right in pairs:
        assert torch.equal(left.waveform, right.waveform)


def test_more_shards_than_may_be_mapped_at_once(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tonearm.dataio.mapped_shards._MAX_MAPPED", 2)
    pack_dataset(read_manifest("csv", recordings / "in" / "clips.csv"), tmp_path / "out", shard_bytes=8000)
    dataset = open_dataset(tmp_path / "out")
    assert len({int(number) for number in dataset.table.shard}) > 4
    views = [dataset.payload(row) for row in range(len(dataset))]
    assert len(dataset._shards._maps) == 2
    for row, view in enumerate(views):
        assert np.array_equal(view, dataset.payload(row))


def test_equal_content_has_an_equal_hash(recordings: Path, tmp_path: Path) -> None:
    manifest = read_manifest("csv", recordings / "in" / "clips.csv")
    for name in ("one", "two"):
        pack_dataset(manifest, tmp_path / name)
    one, two = open_dataset(tmp_path / "one"), open_dataset(tmp_path / "two")
    assert one.sha256 == two.sha256 == one.where(fold=1).sha256
    assert one.sha256 != open_dataset(recordings / "flac").sha256


def test_a_gpu_that_is_not_there_is_refused(dataset: Dataset) -> None:
    with pytest.raises(RequestError, match=r"device cuda:99: torch can use \d+ GPUs on this machine"):
        ClipLoader(dataset, device="cuda:99")


@pytest.mark.parametrize(("start", "num_frames"), [(-64, 64), (0, 10**6), (10**6, 5), (5, -1)])
def test_no_excerpt_reaches_into_the_next_clip(recordings: Path, start: int, num_frames: int) -> None:
    with pytest.raises(RequestError, match=r"shard-00000.h5, clip 'class0/.*': frames .* were asked for; it has"):
        open_dataset(recordings / "pcm16").pcm(1, start, num_frames)


def test_a_dataset_shows_what_it_is_and_not_its_columns(recordings: Path) -> None:
    text = repr(open_dataset(recordings / "pcm16"))
    assert "14 clips" in text and "pcm16" in text and len(text) < 250


def test_folds_are_numbers(recordings: Path) -> None:
    with pytest.raises(RequestError, match=r"no fold '1'; .* Folds are numbers"):
        open_dataset(recordings / "pcm16").where(fold="1")  # type: ignore[arg-type]
