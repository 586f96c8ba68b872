"""Appending: what is there stays to the byte, what is new decodes, and nothing is lost on the way."""

import csv
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.dataio.recordings import folder_of, sound, write
from tonearm.dataio import (
    Clip,
    Manifest,
    append_dataset,
    open_dataset,
    pack_dataset,
    read_manifest,
    relabel_dataset,
    unpack_dataset,
)
from tonearm.dataio.clip_rows import clips_of
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.index import read_index
from tonearm.dataio.pack_progress import PackProgress
from tonearm.dataio.verify import inspect_dataset, verify_dataset
from tonearm.errors import RequestError, RunError

SHARD_BYTES = 30_000  # three or four of the short test clips


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rejected(folder: Path) -> list[str]:
    with (folder / "rejects.csv").open() as file:
        return [row["clip_id"] for row in csv.DictReader(file)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Twelve clips in three classes, sorted by class."""
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), tmp_path / "out", shard_bytes=SHARD_BYTES)
    return tmp_path / "out"


def more(root: Path, number: int = 8) -> Manifest:
    """New clips: two classes that are known, named in another order, and one that is not."""
    clips = []
    for place in range(number):
        write(root / f"new{place}.wav", sound(3000 + place, seed=100 + place))
        clips.append(Clip(f"new{place}", f"new{place}.wav", (place % 3,), place % 2, "train", f"g{place}", "later"))
    return Manifest("other", root, ("zebra", "class2", "class0"), tuple(clips))


@pytest.mark.parametrize("codec", ["pcm16", "flac", "source"])
def test_old_clips_are_as_they_were_and_new_ones_decode(tmp_path: Path, codec: str) -> None:
    out = tmp_path / "out"
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), out, codec=codec, shard_bytes=SHARD_BYTES)
    before, old = contents(out), open_dataset(out)
    old_samples = [decode_clip(old, row) for row in range(12)]
    summary = append_dataset(more(tmp_path / "new"), out, shard_bytes=SHARD_BYTES)
    assert (summary.num_clips, summary.num_present, summary.num_kept) == (8, 0, 0)
    assert summary.num_shards > 1
    assert summary.new_classes == ("zebra",)
    after = contents(out)
    assert all(after[name] == data for name, data in before.items() if not name.startswith("index"))
    assert summary.num_bytes == sum(len(after[name]) for name in after.keys() - before.keys())
    dataset = open_dataset(out)
    assert len(dataset) == 20
    assert dataset.class_names == ("class0", "class1", "class2", "zebra")
    assert clips_of(dataset.table)[:12] == clips_of(old.table)
    assert all(np.array_equal(decode_clip(dataset, row), old_samples[row]) for row in range(12))
    for place, clip in enumerate(clips_of(dataset.table)[12:]):
        assert np.array_equal(
            decode_clip(dataset, 12 + place), sound(3000 + place, seed=100 + place) / np.float32(32768)
        )
        assert dataset.class_names[clip.labels[0]] == ("zebra", "class2", "class0")[place % 3]
        assert (clip.clip_id, clip.fold, clip.split) == (f"new{place}", place % 2, "train")
        assert (clip.group, clip.subset) == (f"g{place}", "later")
    assert verify_dataset(out) == []
    found = inspect_dataset(out)
    assert (found.num_packs, found.num_clips, found.subsets) == (2, 20, {"later": 8})


def test_rate_and_channels_are_the_datasets(out: Path, tmp_path: Path) -> None:
    write(tmp_path / "new" / "class0" / "a.wav", sound(32_000, channels=2), rate=32_000)
    append_dataset(read_manifest("folder", tmp_path / "new"), out)
    dataset = open_dataset(out)
    assert dataset.table.num_frames[12] == 8000
    assert decode_clip(dataset, 12).shape == (8000, 1)


def test_clips_that_are_there_are_counted_and_left_alone(out: Path, tmp_path: Path) -> None:
    manifest = read_manifest("folder", tmp_path / "in")
    other = replace(manifest, clips=tuple(replace(clip, fold=3, labels=(0,)) for clip in manifest.clips))
    before = contents(out)
    summary = append_dataset(other, out)
    assert (summary.num_clips, summary.num_shards, summary.num_present) == (0, 0, 12)
    assert summary.differing == {"labels": 8, "fold": 12, "split": 0, "group": 0, "subset": 0}
    assert contents(out) == before
    assert append_dataset(manifest, out).differing == dict.fromkeys(summary.differing, 0)


def test_appending_twice_and_again_makes_further_packs(out: Path, tmp_path: Path) -> None:
    append_dataset(more(tmp_path / "new", 4), out, shard_bytes=SHARD_BYTES)
    once = contents(out)
    again = append_dataset(more(tmp_path / "new", 4), out, shard_bytes=SHARD_BYTES)
    assert (again.num_clips, again.num_present) == (0, 4)
    assert contents(out) == once
    third = append_dataset(more(tmp_path / "new", 8), out, shard_bytes=SHARD_BYTES)
    assert (third.num_clips, third.num_present, third.new_classes) == (4, 4, ())
    index, table = read_index(out)
    assert len(index.packs) == 3
    assert len(table) == 20
    assert [entry.file for entry in index.shards] == [f"shard-{number:05d}.h5" for number in range(len(index.shards))]
    dataset = open_dataset(out)
    assert np.array_equal(decode_clip(dataset, 19), sound(3007, seed=107) / np.float32(32768))
    assert verify_dataset(out) == []


def test_bytes_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    outs = [tmp_path / f"out{number}" for number in range(3)]
    for out in outs:
        pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), out)
    append_dataset(more(tmp_path / "new"), outs[0], shard_bytes=SHARD_BYTES)
    append_dataset(more(tmp_path / "elsewhere"), outs[1], shard_bytes=SHARD_BYTES, num_workers=2)
    with ThreadPoolExecutor(2) as executor:
        append_dataset(more(tmp_path / "new"), outs[2], shard_bytes=SHARD_BYTES, executor=executor)
    assert contents(outs[0]) == contents(outs[1]) == contents(outs[2])


def test_interrupted_the_dataset_is_what_it_was_and_the_same_append_goes_on(out: Path, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    whole = tmp_path / "whole"
    pack_dataset(read_manifest("folder", tmp_path / "in"), whole, shard_bytes=SHARD_BYTES)
    manifest = more(tmp_path / "new", 12)
    append_dataset(manifest, whole, shard_bytes=SHARD_BYTES)
    before = (out / "index.json").read_bytes()
    for at in (0, 4, 8):

        def stop(now: PackProgress, at: int = at) -> None:
            assert now.clips_total == 12
            if now.clips_done > at:
                raise Stop

        with pytest.raises(Stop):
            append_dataset(manifest, out, shard_bytes=SHARD_BYTES, progress=stop)
        assert (out / "index.json").read_bytes() == before
        assert len(open_dataset(out)) == 12
        assert verify_dataset(out) == []
    write(tmp_path / "other" / "class0" / "x.wav", sound())
    left = sorted(path.name for path in out.glob("shard-*.h5"))
    with pytest.raises(RequestError, match=r"last shard is shard-0000\d.h5, but there are shards of another append"):
        append_dataset(read_manifest("folder", tmp_path / "other"), out)
    assert sorted(path.name for path in out.glob("shard-*.h5")) == left
    assert append_dataset(manifest, out, shard_bytes=SHARD_BYTES).num_kept > 0
    assert contents(out) == contents(whole)


def test_stopped_while_the_index_is_replaced(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    move = Path.replace
    for name, clips in (("index.next.h5", 12), ("index.json", 12), ("index.h5", 20)):

        def killed(source: Path, target: Path, name: str = name) -> Path:
            if Path(target).name == name:
                raise Killed
            return move(source, target)

        monkeypatch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            append_dataset(more(tmp_path / "new"), out, shard_bytes=SHARD_BYTES)
        monkeypatch.setattr(Path, "replace", move)
        assert len(open_dataset(out)) == clips
    assert append_dataset(more(tmp_path / "new"), out, shard_bytes=SHARD_BYTES).num_present == 8
    assert verify_dataset(out) == []


@pytest.mark.slow
def test_killed_at_any_moment_it_completes_to_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tonearm"]
    folder_of(tmp_path / "in")
    folder_of(tmp_path / "new" / "more", clips=60, frames=(80_000, 50_000))
    append = [*command, "append", "folder", str(tmp_path / "new"), "--workers", "2", "--shard-mib", "1"]
    whole = tmp_path / "whole"
    pack_dataset(read_manifest("folder", tmp_path / "in"), whole)
    subprocess.run([*append[:6], str(whole), *append[6:]], check=True, capture_output=True)
    generator = np.random.default_rng(0)
    for attempt in range(4):
        out = tmp_path / f"out{attempt}"
        pack_dataset(read_manifest("folder", tmp_path / "in"), out)
        process = subprocess.Popen(
            [*append[:6], str(out), *append[6:]], start_new_session=True, stderr=subprocess.DEVNULL
        )
        time.sleep(float(generator.uniform(0.3, 2.0)))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert len(open_dataset(out)) in (12, 72)
        assert verify_dataset(out) == []
        subprocess.run([*append[:6], str(out), *append[6:]], check=True, capture_output=True)
        assert contents(out) == contents(whole)


def test_what_cannot_be_read_joins_the_rejects(tmp_path: Path) -> None:
    root, out = folder_of(tmp_path / "in"), tmp_path / "out"
    (root / "class0" / "clip00.wav").write_bytes(b"junk")
    (root / "class1" / "clip01.wav").write_bytes(b"junk")
    pack_dataset(read_manifest("folder", root), out)
    assert rejected(out) == ["class0/clip00.wav", "class1/clip01.wav"]
    new = more(tmp_path / "new")
    (tmp_path / "new" / "new3.wav").write_bytes(b"")
    write(tmp_path / "new" / "new4.wav", np.full(500, np.nan, np.float32), subtype="FLOAT")
    with pytest.raises(RunError, match=r"1 clip\(s\) cannot be read: new3.wav: the file is empty"):
        append_dataset(new, out, on_error="fail")
    summary = append_dataset(new, out)
    assert (summary.num_clips, [reject.clip_id for reject in summary.rejects]) == (6, ["new3", "new4"])
    assert rejected(out) == ["class0/clip00.wav", "class1/clip01.wav", "new3", "new4"]
    before = contents(out)
    nothing = append_dataset(new, out)
    assert (nothing.num_clips, nothing.num_shards, len(nothing.rejects)) == (0, 0, 2)
    assert contents(out) == before
    write(root / "class0" / "clip00.wav", sound())
    mended = append_dataset(read_manifest("folder", root), out)
    assert (mended.num_clips, [reject.clip_id for reject in mended.rejects]) == (1, ["class1/clip01.wav"])
    assert rejected(out) == ["new3", "new4", "class1/clip01.wav"]
    assert verify_dataset(out) == []


def test_source_names_files_it_cannot_take(tmp_path: Path) -> None:
    out = tmp_path / "out"
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), out, codec="source")
    before = contents(out)
    write(tmp_path / "new" / "class0" / "a.wav", sound(), rate=16_000)
    with pytest.raises(RequestError, match=r"class0/a.wav \(WAV, 16000 Hz, 1 channels\)"):
        append_dataset(read_manifest("folder", tmp_path / "new"), out)
    assert contents(out) == before


def test_it_goes_along_with_relabelling_and_unpacking(out: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("clip_id,label,fold\nclass0/clip00.wav,purr,4\n")
    relabel_dataset(out, table)
    summary = append_dataset(more(tmp_path / "new"), out)
    assert summary.new_classes == ("zebra",)
    table.write_text("clip_id,fold\nnew0,4\n")
    relabel_dataset(out, table)
    index, clips = read_index(out)
    assert index.relabelled
    assert index.class_names == ["class0", "class1", "class2", "purr", "zebra"]
    assert [clip.clip_id for clip in clips_of(clips) if clip.fold == 4] == ["class0/clip00.wav", "new0"]
    assert unpack_dataset(out, tmp_path / "files").num_clips == 20
    assert verify_dataset(out) == []


def test_recordings_on_both_sides_of_a_fold_are_named(out: Path, tmp_path: Path) -> None:
    append_dataset(more(tmp_path / "new"), out)
    clip = write(tmp_path / "late" / "a.wav", sound()).name
    late = Manifest("late", tmp_path / "late", ("class0",), (Clip("late", clip, (0,), 7, "test", "g3"),))
    assert append_dataset(late, out).leaks == ("g3",)


def test_what_is_no_dataset_is_not_appended_to(tmp_path: Path) -> None:
    manifest = more(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="not a packed dataset, index.json is missing: tonearm pack makes one"):
        append_dataset(manifest, tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_workers": 0}, r"num_workers \(--workers\) is 0"), ({"on_error": "ignore"}, "may be quarantine or fail")],
)
def test_wrong_settings_say_what_they_may_be(out: Path, tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        append_dataset(more(tmp_path / "new"), out, **settings)
