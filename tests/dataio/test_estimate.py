"""Estimates: what is said beforehand is what the pack becomes, and nothing is written to find out."""

from pathlib import Path

import numpy as np
import pytest

from tests.dataio.recordings import folder_of, manifest_of, sound, write
from tonearm.dataio import estimate as estimate_module
from tonearm.dataio import estimate_pack, open_dataset, pack_dataset, read_manifest
from tonearm.errors import RequestError, RunError

TOLERANCE = 0.15  # of the size of flac, by a sample


def mixed(root: Path, number: int) -> Path:
    """Loud and faint noise, tones and silence of several lengths, in mono and stereo."""
    generator = np.random.default_rng(0)
    for place in range(number):
        frames = int(generator.integers(2000, 12_000))
        noise = generator.normal(0, 1, (frames, 1 + place % 2))
        tone = np.sin(np.arange(frames) / 7)[:, None] * np.ones((1, 1 + place % 2))
        samples = (0.2 * noise, 0.002 * noise, 0.5 * tone, 0 * noise, 0.3 * tone + 0.01 * noise)[place % 5]
        write(root / "x" / f"{place:03d}.wav", samples)
    return root


@pytest.mark.parametrize("most", [128, 40])
def test_sizes_are_those_of_the_packs(tmp_path: Path, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_module, "_MAX_SAMPLE", most)
    manifest = read_manifest("folder", mixed(tmp_path / "in", 200))
    before = sorted(path for path in tmp_path.rglob("*"))
    found = estimate_pack(manifest, num_workers=2)
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert (found.num_clips, found.num_sampled, found.rejects) == (200, most, ())
    assert (found.sample_rate, found.num_channels, found.num_workers) == (8000, 1, 2)
    sizes = {}
    for codec in ("pcm16", "flac"):
        pack_dataset(manifest, tmp_path / codec, codec=codec)
        dataset = open_dataset(tmp_path / codec)
        sizes[codec] = int(dataset.table.size.sum()) * (2 if codec == "pcm16" else 1)
    assert found.codecs["pcm16"].num_bytes == sizes["pcm16"]
    assert found.codecs["pcm16"].exact
    assert found.codecs["flac"].num_bytes == pytest.approx(sizes["flac"], rel=TOLERANCE)
    assert not found.codecs["flac"].exact
    assert found.hours == pytest.approx(open_dataset(tmp_path / "flac").table.num_frames.sum() / 8000 / 3600)
    assert found.codecs["source"].num_bytes is None
    assert "Pack with --codec flac or pcm16" in found.codecs["source"].reason
    assert all(found.codecs[codec].seconds > 0 for codec in sizes)


def test_sizes_hold_after_resampling(tmp_path: Path) -> None:
    for number, rate in enumerate((44_100, 22_050, 11_025, 48_000, 16_000, 8000)):
        write(tmp_path / f"{number}.wav", sound(5001 + number), rate=rate)
    manifest = manifest_of(tmp_path, [f"{number}.wav" for number in range(6)])
    found = estimate_pack(manifest, sample_rate=16_000, num_channels=2)
    pack_dataset(manifest, tmp_path / "out", sample_rate=16_000, num_channels=2)
    assert found.codecs["pcm16"].num_bytes == int(open_dataset(tmp_path / "out").table.size.sum()) * 2


def test_a_small_dataset_is_sampled_whole_and_source_is_exact(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    found = estimate_pack(manifest)
    for codec in ("pcm16", "flac", "source"):
        pack_dataset(manifest, tmp_path / codec, codec=codec)
        size = open_dataset(tmp_path / codec).table.size.sum()
        assert found.codecs[codec].num_bytes == size * (2 if codec == "pcm16" else 1)
    assert found.codecs["source"].exact


def test_more_workers_take_less_time_if_there_are_shards_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    clock = iter(range(100_000))
    monkeypatch.setattr("tonearm.dataio.estimate.time.perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(estimate_module, "_MAX_SECONDS", 1e9)
    times = [
        estimate_pack(manifest, num_workers=workers, shard_bytes=shard_bytes).codecs["pcm16"].seconds
        for workers, shard_bytes in ((1, 30_000), (2, 30_000), (2, None))
    ]
    # one tick for the headers, and two for each of the twelve clips: reading and encoding it
    assert times == [1 + 24, 1 + 12, 1 + 24]


def test_a_slow_sample_is_stopped_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in", clips=40))
    monkeypatch.setattr(estimate_module, "_MAX_SECONDS", 0.0)
    assert estimate_pack(manifest).num_sampled == estimate_module._MIN_SAMPLE


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "in")
    (root / "class0" / "clip00.wav").write_bytes(b"")
    write(root / "class2" / "clip02.wav", np.full(500, np.nan, np.float32), subtype="FLOAT")
    found = estimate_pack(read_manifest("folder", root))
    assert found.num_clips == 11
    assert [(reject.clip_id, reject.reason) for reject in found.rejects] == [
        ("class0/clip00.wav", "the file is empty"),
        ("class2/clip02.wav", "it holds NaN or infinite samples"),
    ]


def test_nothing_to_read_and_wrong_settings(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"junk")
    with pytest.raises(RunError, match="its only clip cannot be read, a.wav: not readable"):
        estimate_pack(manifest_of(tmp_path, ["a.wav"]))
    with pytest.raises(RequestError, match="sample rate 10; it may be"):
        estimate_pack(manifest_of(tmp_path, ["a.wav"]), sample_rate=10)


@pytest.mark.parametrize(
    ("rate", "channels", "reason"),
    [
        (8000, 9, "at most 8 channels, not 9"),
        (65_537, 1, "multiples of 10 Hz, not 65537"),
        (700_000, 1, "at most 655350 Hz"),
    ],
)
def test_flac_is_not_offered_where_it_cannot_hold_the_clips(
    tmp_path: Path, rate: int, channels: int, reason: str
) -> None:
    write(tmp_path / "a.wav", sound(5000, channels=channels), rate=rate)
    found = estimate_pack(manifest_of(tmp_path, ["a.wav"]), num_channels=channels).codecs
    assert found["flac"].num_bytes is None
    assert reason in found["flac"].reason
    assert found["pcm16"].num_bytes == 5000 * 2 * channels
