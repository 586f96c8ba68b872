"""Packing: the same bytes whatever happens on the way, and nothing unreadable let in."""

import csv
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.dataio.recordings import folder_of, manifest_of, sound, write
from tonearm.dataio import open_dataset, pack_dataset, read_manifest
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.encode import ClipEncoder, EncodedClip
from tonearm.dataio.pack_progress import PackProgress
from tonearm.errors import RequestError, RunError

SHARD_BYTES = 30_000  # three or four of the short test clips


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rejects(folder: Path) -> dict[str, str]:
    with (folder / "rejects.csv").open() as file:
        return {row["clip_id"]: row["reason"] for row in csv.DictReader(file)}


@pytest.mark.parametrize("codec", ["pcm16", "flac", "source"])
def test_every_codec_gives_back_the_samples(tmp_path: Path, codec: str) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    summary = pack_dataset(manifest, tmp_path / "out", codec=codec, num_workers=1, shard_bytes=SHARD_BYTES)
    dataset = open_dataset(tmp_path / "out")
    assert (summary.num_clips, len(dataset)) == (12, 12)
    assert summary.num_shards > 2
    assert dataset.class_names == ("class0", "class1", "class2")
    for row, clip in enumerate(manifest.clips):
        number = int(Path(clip.path).stem.removeprefix("clip"))
        expected = sound((4000, 2500, 5001)[number % 3], seed=number) / np.float32(32768)
        assert dataset.clip_id(row) == clip.clip_id
        assert np.array_equal(decode_clip(dataset, row), expected)
        assert dataset.table.peak[row] == np.abs(expected).max()
        assert dataset.table.rms[row] == pytest.approx(np.sqrt(np.mean(expected.astype(np.float64) ** 2)), rel=1e-6)


def test_bytes_do_not_depend_on_workers_or_on_the_place(tmp_path: Path) -> None:
    first = read_manifest("folder", folder_of(tmp_path / "a" / "in"))
    second = read_manifest("folder", folder_of(tmp_path / "b" / "in"))
    pack_dataset(first, tmp_path / "one", num_workers=1, shard_bytes=SHARD_BYTES)
    pack_dataset(second, tmp_path / "two", num_workers=2, shard_bytes=SHARD_BYTES)
    with ThreadPoolExecutor(2) as executor:
        pack_dataset(second, tmp_path / "three", executor=executor, shard_bytes=SHARD_BYTES)
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "three")


def test_progress_reaches_the_end_of_clips_and_bytes(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    with ThreadPoolExecutor(2) as executor:
        for number, how in enumerate(({"num_workers": 1}, {"num_workers": 2}, {"executor": executor})):
            watched: list[PackProgress] = []
            pack_dataset(
                manifest, tmp_path / f"out{number}", shard_bytes=SHARD_BYTES, progress=watched.append,
                **how,  # type: ignore[arg-type]
            )  # fmt: skip
            assert watched == sorted(watched, key=lambda now: (now.clips_done, now.bytes_done))
            num_bytes = 2 * 4 * (4000 + 2500 + 5001)
            assert watched[0] == PackProgress(0, 12, 0, num_bytes)
            assert watched[-1] == PackProgress(12, 12, num_bytes, num_bytes)


def test_what_cannot_be_read_is_set_aside_with_its_reason(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "in")
    whole = (root / "class0" / "clip00.wav").read_bytes()
    (root / "class0" / "clip00.wav").write_bytes(whole[: len(whole) // 2])  # DALI would decode this, silently short
    (root / "class1" / "clip01.wav").write_bytes(b"")
    (root / "class2" / "clip02.wav").write_bytes(b"<html>404</html>")
    write(root / "class0" / "clip03.wav", sound(0))
    bad = np.zeros(500, np.float32)
    bad[7] = np.nan
    write(root / "class1" / "clip04.wav", bad, subtype="FLOAT")
    manifest = read_manifest("folder", root)
    summary = pack_dataset(manifest, tmp_path / "out", num_workers=2, shard_bytes=SHARD_BYTES)
    assert summary.num_clips == 7
    assert rejects(tmp_path / "out") == {
        "class0/clip00.wav": "cut short: its header announces 8000 bytes, 3978 are there",
        "class0/clip03.wav": "it holds no samples",
        "class1/clip01.wav": "the file is empty",
        "class1/clip04.wav": "it holds NaN or infinite samples",
        "class2/clip02.wav": "not readable as audio (Format not recognised)",
    }
    assert len(open_dataset(tmp_path / "out")) == 7
    with pytest.raises(RunError, match=r"4 clip\(s\) cannot be read: class0/clip00.wav: cut short"):
        pack_dataset(manifest, tmp_path / "strict", on_error="fail")
    assert not (tmp_path / "strict").exists()


def test_a_shard_of_rejects_alone_is_still_a_shard(tmp_path: Path) -> None:
    bad = np.full((4000, 1), np.nan, np.float32)
    write(tmp_path / "in" / "a.wav", bad, subtype="FLOAT")
    write(tmp_path / "in" / "b.wav", sound())
    summary = pack_dataset(manifest_of(tmp_path / "in", ["a.wav", "b.wav"]), tmp_path / "out", shard_bytes=8000)
    assert (summary.num_shards, summary.num_clips) == (2, 1)
    assert open_dataset(tmp_path / "out").clip_id(0) == "b.wav"


def test_no_readable_clip_is_an_error_that_says_why(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"junk")
    with pytest.raises(RunError, match=r"made in .*: none of the 2 clips can be read. The first, a.wav: not readable"):
        pack_dataset(manifest_of(tmp_path, ["a.wav", "b.wav"]), tmp_path / "out")


@pytest.mark.parametrize("workers", [1, 2])
def test_run_again_after_an_interruption_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    root = folder_of(tmp_path / "in")
    bad = np.full((4000, 1), np.nan, np.float32)
    write(root / "class0" / "clip00.wav", bad, subtype="FLOAT")
    manifest = read_manifest("folder", root)
    pack_dataset(manifest, tmp_path / "whole", shard_bytes=SHARD_BYTES)
    encode = ClipEncoder.encode
    kept = 0
    for at in range(12 if workers == 1 else 3):  # the other worker takes some of the clips
        begun = itertools.count()

        def stop(self: ClipEncoder, *call: object, at: int = at, begun: Iterator[int] = begun) -> EncodedClip:
            if next(begun) == at:
                raise KeyboardInterrupt
            return encode(self, *call)  # type: ignore[arg-type]

        out = tmp_path / f"out{at}"
        with monkeypatch.context() as patch:
            patch.setattr(ClipEncoder, "encode", stop)
            with pytest.raises(KeyboardInterrupt):
                pack_dataset(manifest, out, num_workers=workers, shard_bytes=SHARD_BYTES)
        assert not list(out.glob(".*"))
        with pytest.raises(RequestError, match="not a packed dataset"):
            open_dataset(out)
        summary = pack_dataset(manifest, out, num_workers=workers, shard_bytes=SHARD_BYTES)
        assert contents(out) == contents(tmp_path / "whole")
        assert [reject.clip_id for reject in summary.rejects] == ["class0/clip00.wav"]
        kept += summary.num_kept
    assert kept > 0 or workers == 2


def test_a_clip_mended_in_between_is_taken_in(tmp_path: Path) -> None:
    bad = np.full((4000, 1), np.nan, np.float32)
    path = write(tmp_path / "in" / "a.wav", bad, subtype="FLOAT")
    write(tmp_path / "in" / "b.wav", sound())
    manifest = manifest_of(tmp_path / "in", ["a.wav", "b.wav"])
    assert len(pack_dataset(manifest, tmp_path / "out").rejects) == 1
    write(path, np.zeros((4000, 1), np.float32), subtype="FLOAT")
    summary = pack_dataset(manifest, tmp_path / "out")
    assert (summary.num_clips, summary.num_kept, summary.rejects) == (2, 0, ())


def test_a_folder_with_another_pack_is_refused_and_left_alone(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    pack_dataset(manifest, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(RequestError, match="holds shards of another pack"):
        pack_dataset(manifest, tmp_path / "out", codec="flac")
    assert contents(tmp_path / "out") == before


def test_source_names_files_it_cannot_take(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write(root / "a.wav", sound())
    write(root / "b.wav", sound(), rate=16_000)
    write(root / "c.mp3", sound(16_000))
    write(root / "d.wav", sound(channels=2))
    manifest = manifest_of(root, ["a.wav", "b.wav", "c.mp3", "d.wav"])
    with pytest.raises(
        RequestError, match=r"b.wav \(WAV, 16000 Hz, 1 channels\); c.mp3 .*; d.wav .* Pack with --codec"
    ):
        pack_dataset(manifest, tmp_path / "out", codec="source", sample_rate=8000)
    assert not (tmp_path / "out").exists()


def test_mixed_rates_and_channels_are_brought_to_the_most_common(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write(root / "a.wav", sound(8000))
    write(root / "b.wav", sound(8000))
    write(root / "c.wav", sound(32_000), rate=32_000)
    write(root / "d.wav", sound(8000, channels=2))
    pack_dataset(manifest_of(root, ["a.wav", "b.wav", "c.wav", "d.wav"]), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    assert (dataset.sample_rate, dataset.num_channels) == (8000, 1)
    assert dataset.table.num_frames.tolist() == [8000] * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"codec": "mp3"}, "unknown codec 'mp3'; there are pcm16, flac, source"),
        ({"sample_rate": 10}, "sample rate 10; it may be 1000 to 768000 Hz"),
        ({"num_workers": 0}, r"num_workers \(--workers\) is 0"),
        ({"shard_bytes": 0}, r"shard_bytes \(--shard-mib\) is 0"),
        ({"on_error": "ignore"}, "it may be quarantine or fail"),
        ({"num_channels": 0}, "0 channels"),
    ],
)
def test_wrong_settings_say_what_they_may_be(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    write(tmp_path / "in" / "a.wav", sound())
    with pytest.raises(RequestError, match=message):
        pack_dataset(manifest_of(tmp_path / "in", ["a.wav"]), tmp_path / "out", **settings)  # type: ignore[arg-type]


def test_a_recording_that_was_replaced_is_packed_again(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES)
    write(tmp_path / "in" / "class0" / "clip00.wav", sound(4000, seed=99))
    later = (tmp_path / "out" / "shard-00000.h5").stat().st_mtime_ns + 10**9
    os.utime(tmp_path / "in" / "class0" / "clip00.wav", ns=(later, later))
    complete: list[bool] = []
    summary = pack_dataset(
        manifest, tmp_path / "out", shard_bytes=SHARD_BYTES,
        progress=lambda _: complete.append((tmp_path / "out" / "index.json").exists()),
    )  # fmt: skip
    assert summary.num_kept == summary.num_shards - 1
    assert complete[1:]
    assert not any(complete[1:])  # while shards change there is no index that says all is well
    assert np.array_equal(decode_clip(open_dataset(tmp_path / "out"), 0), sound(4000, seed=99) / np.float32(32768))


def test_a_folder_with_other_files_is_not_packed_into(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "in")
    manifest = read_manifest("folder", root)
    with pytest.raises(RequestError, match="holds other files, 'class0' for one"):
        pack_dataset(manifest, root)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".thesis.part").touch()
    with pytest.raises(RequestError, match="holds other files, '.thesis.part' for one"):
        pack_dataset(manifest, tmp_path / "out")
    assert (tmp_path / "out" / ".thesis.part").exists()


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    manifest = read_manifest("folder", folder_of(tmp_path / "in"))
    (tmp_path / "out").mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "out" / f".shard-00000.h5.{dead.pid}.part").touch()
    (tmp_path / "out" / f".index.json.{dead.pid}.part").touch()
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet reaped
    (tmp_path / "out" / f".index.h5.{zombie.pid}.part").touch()
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    (tmp_path / "out" / f".shard-00009.h5.{living.pid}.part").touch()
    pack_dataset(manifest, tmp_path / "out", shard_bytes=SHARD_BYTES)
    assert [path.name for path in (tmp_path / "out").glob(".*.part")] == [f".shard-00009.h5.{living.pid}.part"]
    zombie.wait()
    living.communicate(b"\n")


def test_source_is_judged_as_it_will_be_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.wav", sound())
    path.write_bytes(b"ID3\x04\x00\x00\x00\x00\x00\x0a" + b"\0" * 10 + path.read_bytes())
    write(tmp_path / "in" / "b.wav", sound())
    manifest = manifest_of(tmp_path / "in", ["a.wav", "b.wav"])
    pack_dataset(manifest, tmp_path / "out", codec="source")
    dataset = open_dataset(tmp_path / "out")
    for row in range(len(dataset)):
        assert len(decode_clip(dataset, row)) == dataset.table.num_frames[row]
