"""Clips that are parts of a file: the right samples, and no long recording decoded again for each of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.dataio.recordings import RATE, sound, write
from tonearm.dataio import open_dataset, pack_dataset
from tonearm.dataio import recording as recording_module
from tonearm.dataio.audio_file import probe, read_samples
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.encode import to_pcm16
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.errors import RequestError

LONG = 20 * RATE
KINDS = [
    ("a.wav", {"subtype": "PCM_16"}),
    ("a.wav", {"subtype": "PCM_U8"}),
    ("a.wav", {"subtype": "PCM_24"}),
    ("a.wav", {"subtype": "PCM_32"}),
    ("a.wav", {"subtype": "FLOAT"}),
    ("a.wav", {"subtype": "DOUBLE"}),
    ("a.wav", {"subtype": "ULAW"}),
    ("a.wav", {"subtype": "IMA_ADPCM"}),
    ("a.wav", {"subtype": "MS_ADPCM"}),
    ("a.wav", {"subtype": "GSM610"}),
    ("a.wav", {"format": "WAVEX", "subtype": "PCM_16"}),
    ("a.aiff", {"subtype": "PCM_16"}),
    ("a.caf", {"subtype": "ALAC_16"}),
    ("a.flac", {"subtype": "PCM_16"}),
    ("a.flac", {"subtype": "PCM_24"}),
    ("a.ogg", {"subtype": "VORBIS"}),
    ("a.ogg", {"subtype": "OPUS"}),
    ("a.mp3", {}),
]


def excerpts(path: Path, *spans: tuple[float, float | None]) -> Manifest:
    clips = [
        Clip(f"{number}", path.name, (0,), start_seconds=start, end_seconds=end)
        for number, (start, end) in enumerate(spans)
    ]
    return Manifest("made", path.parent, ("thing",), tuple(clips))


def rejects(manifest: Manifest, out: Path) -> dict[str, str]:
    return {reject.clip_id: reject.reason for reject in pack_dataset(manifest, out).rejects}


@pytest.mark.parametrize(("name", "kinds"), KINDS)
def test_an_excerpt_is_a_slice_of_the_whole_recording(tmp_path: Path, name: str, kinds: dict[str, str]) -> None:
    path = write(tmp_path / "in" / name, sound(LONG) // 4, **kinds)
    spans = ((3.3337, 5.5), (0.0, 2.0), (19.0, None), (3.3337, 3.4), (0.5, 19.9))
    pack_dataset(excerpts(path, *spans), tmp_path / "out")
    dataset = open_dataset(tmp_path / "out")
    whole, _ = to_pcm16(read_samples(path, probe(path)), RATE, sample_rate=RATE, num_channels=1)
    for row, (start, end) in enumerate(spans):
        last = len(whole) if end is None else round(end * RATE)
        expected = whole[round(start * RATE) : last] / np.float32(32768)
        assert np.array_equal(decode_clip(dataset, row), expected)
        assert dataset.table.peak[row] == np.abs(expected).max()
        assert dataset.table.rms[row] == pytest.approx(np.sqrt(np.mean(expected.astype(np.float64) ** 2)), rel=1e-6)


@pytest.mark.parametrize("codec", ["pcm16", "flac"])
def test_excerpts_are_resampled_and_mixed_like_clips(tmp_path: Path, codec: str) -> None:
    path = write(tmp_path / "in" / "a.wav", sound(LONG, channels=2), rate=RATE)
    manifest = excerpts(path, (1.0, 2.0), (7.25, 8.0))
    pack_dataset(manifest, tmp_path / "out", codec=codec, sample_rate=16_000)
    dataset = open_dataset(tmp_path / "out")
    for row, (start, end) in enumerate(((8000, 16_000), (58_000, 64_000))):
        part = sound(LONG, channels=2)[start:end]
        expected, _ = to_pcm16(part, RATE, sample_rate=16_000, num_channels=1)
        assert np.array_equal(decode_clip(dataset, row), expected / np.float32(32768))


def test_the_end_of_the_file_forgives_a_tenth_of_a_second(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.wav", sound(LONG))
    manifest = excerpts(path, (19.0, 20.1), (19.0, 20.11), (20.0, None), (25.0, 26.0), (1.00001, 1.00002))
    assert rejects(manifest, tmp_path / "out") == {
        "1": "the clip ends at 20.11 s, its file at 20 s",
        "2": "the clip begins at 20 s, its file ends at 20 s",
        "3": "the clip ends at 26 s, its file at 20 s",
        "4": "the clip from 1.00001 to 1.00002 s holds no sample",
    }
    assert open_dataset(tmp_path / "out").table.num_frames.tolist() == [RATE]


def test_an_mp3_is_judged_by_what_was_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.mp3", sound(LONG) // 4)
    manifest = excerpts(path, (18.0, 20.0), (19.0, 30.0))
    found = rejects(manifest, tmp_path / "out")
    assert list(found) == ["1"]
    assert "the clip ends at 30 s, its file at 20" in found["1"]


@pytest.mark.parametrize(("name", "times_decoded"), [("a.wav", 0), ("a.flac", 0), ("a.mp3", 1), ("a.ogg", 1)])
def test_a_long_recording_is_not_decoded_whole_for_each_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, times_decoded: int
) -> None:
    path = write(tmp_path / "in" / name, sound(LONG) // 4)
    decoded = []
    probed = []
    monkeypatch.setattr(
        recording_module, "read_samples", lambda path, header: decoded.append(path) or read_samples(path, header)
    )
    monkeypatch.setattr("tonearm.dataio.plan.probe", lambda path: probed.append(path) or probe(path))
    pack_dataset(excerpts(path, *((start, start + 1.0) for start in range(19))), tmp_path / "out")
    assert len(decoded) == times_decoded
    assert len(probed) == 1
    assert len(open_dataset(tmp_path / "out")) == 19


def test_a_recording_too_long_for_one_clip_can_be_cut_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tonearm.dataio.audio_file.MAX_SAMPLES", 5 * RATE)
    path = write(tmp_path / "in" / "a.wav", sound(LONG))
    manifest = excerpts(path, (0.0, 4.0), (4.0, 9.5), (0.0, None))
    assert set(rejects(manifest, tmp_path / "out")) == {"1"} | {"2"}
    clip = replace(manifest.clips[0], start_seconds=0.0, end_seconds=None)
    with pytest.raises(Exception, match="160000 frames of 1 channels are too many for one clip; cut it up"):
        pack_dataset(replace(manifest, clips=(clip,)), tmp_path / "other")


def test_damage_outside_an_excerpt_does_not_matter_and_inside_it_does(tmp_path: Path) -> None:
    samples = np.zeros(LONG, np.float32)
    samples[15 * RATE] = np.nan
    path = write(tmp_path / "in" / "a.wav", samples, subtype="FLOAT")
    assert rejects(excerpts(path, (0.0, 10.0), (14.0, 16.0)), tmp_path / "out") == {
        "1": "it holds NaN or infinite samples"
    }


def test_source_keeps_whole_files_and_names_excerpts(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.wav", sound(LONG))
    with pytest.raises(RequestError, match=r"parts of one: 0 \(a.wav from 1 s to 2 s\); 1 \(a.wav from 3 s to its end"):
        pack_dataset(excerpts(path, (1.0, 2.0), (3.0, None)), tmp_path / "out", codec="source")
    assert not (tmp_path / "out").exists()


def test_other_seconds_are_another_pack(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.wav", sound(LONG))
    pack_dataset(excerpts(path, (1.0, 2.0)), tmp_path / "out")
    with pytest.raises(RequestError, match="holds shards of another pack"):
        pack_dataset(excerpts(path, (1.5, 2.5)), tmp_path / "out")


def test_shards_are_cut_by_the_length_of_excerpts(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.wav", sound(LONG))
    spans = [(float(start), start + 1.0) for start in range(16)]
    summary = pack_dataset(excerpts(path, *spans), tmp_path / "out", shard_bytes=4 * 2 * RATE)
    assert summary.num_shards == 4
    assert open_dataset(tmp_path / "out").table.shard.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4


def test_a_flac_that_was_cut_short_gives_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "in" / "a.flac", sound(LONG))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    found = rejects(excerpts(path, (1.0, 2.0), (18.0, 19.0)), tmp_path / "out")
    assert list(found) == ["1"]
    expected = sound(LONG)[RATE : 2 * RATE] / np.float32(32768)
    assert np.array_equal(decode_clip(open_dataset(tmp_path / "out"), 0), expected)
    assert soundfile.info(path).frames == LONG
