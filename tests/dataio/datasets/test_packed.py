"""Every layout, from a miniature in its true format to the packed dataset."""

from pathlib import Path

import numpy as np
import pytest

from tests.dataio.miniatures import (
    AUDIOSET_SEGMENTS,
    ENCODINGS,
    LOUDNESS,
    MINIATURES,
    STEP,
    Encoding,
    audioset,
    tone,
    urbansound8k,
)
from tests.dataio.recordings import write
from tonearm.dataio import Manifest, open_dataset, pack_dataset, read_manifest
from tonearm.dataio.dataset import Dataset
from tonearm.dataio.decode_soundfile import decode_clip

EDGE = 400  # frames at either end that the resampler's filter blurs, or in which ADPCM adapts to the loudness
RESAMPLED = 1e-3  # what soxr's passband ripple and the rounding may add; filtering adds up half of a coder's errors
ADPCM_BLOCK = 4084  # frames; the last block of a file is filled up


def check_columns(dataset: Dataset, manifest: Manifest) -> None:
    """What is known of every clip has come through, in order."""
    table = dataset.table
    assert dataset.class_names == manifest.class_names
    assert [dataset.clip_id(row) for row in range(len(dataset))] == [clip.clip_id for clip in manifest.clips]
    for column in ("group", "split", "subset"):
        assert [text.decode() for text in getattr(table, column)] == [getattr(clip, column) for clip in manifest.clips]
    assert table.fold.tolist() == [clip.fold for clip in manifest.clips]
    ends = table.label_indptr
    labels = [tuple(table.label_indices[ends[row] : ends[row + 1]].tolist()) for row in range(len(dataset))]
    assert labels == [clip.labels for clip in manifest.clips]


@pytest.mark.parametrize("name", MINIATURES)
def test_a_miniature_is_packed_bit_by_bit(tmp_path: Path, name: str) -> None:
    layout, rate, generate = MINIATURES[name]
    written = generate(tmp_path / "in")
    manifest = read_manifest(layout, tmp_path / "in")
    assert {clip.clip_id for clip in manifest.clips} == set(written)
    summary = pack_dataset(manifest, tmp_path / "out")
    assert summary.rejects == ()
    dataset = open_dataset(tmp_path / "out")
    assert dataset.sample_rate == rate
    check_columns(dataset, manifest)
    for row in range(len(dataset)):
        assert np.array_equal(decode_clip(dataset, row) * 32_768, written[dataset.clip_id(row)])


@pytest.fixture(scope="module")
def urban(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Encoding], Manifest, Dataset]:
    root = tmp_path_factory.mktemp("urban")
    written = urbansound8k(root / "in")
    manifest = read_manifest("urbansound8k", root / "in")
    summary = pack_dataset(manifest, root / "out")
    assert summary.rejects == ()
    return written, manifest, open_dataset(root / "out")


def test_urbansound8k_keeps_labels_folds_and_groups(
    urban: tuple[dict[str, Encoding], Manifest, Dataset],
) -> None:
    written, manifest, dataset = urban
    assert [clip.clip_id for clip in manifest.clips] == list(written)
    assert dataset.sample_rate == 44_100
    check_columns(dataset, manifest)


@pytest.mark.parametrize(
    "row", range(len(ENCODINGS)), ids=lambda row: "-".join(map(str, vars(ENCODINGS[row]).values()))
)
def test_every_encoding_decodes_to_the_sound_that_was_written(
    urban: tuple[dict[str, Encoding], Manifest, Dataset], row: int
) -> None:
    written, _, dataset = urban
    encoding = ENCODINGS[row]
    assert written[dataset.clip_id(row)] is encoding
    samples = decode_clip(dataset, row)[:, 0]
    expected = tone(44_100, 1)[:, 0] / LOUDNESS[0] * np.mean(LOUDNESS[: encoding.channels])
    padding = ADPCM_BLOCK * 44_100 // encoding.rate if "ADPCM" in encoding.subtype else 1
    assert -1 <= len(samples) - len(expected) <= padding
    if encoding.rate == 44_100 and encoding.error <= STEP:
        assert np.abs(samples - expected).max() <= encoding.error + STEP / 2
    else:
        inner = slice(EDGE, len(expected) - EDGE)
        assert np.abs(samples[inner] - expected[inner]).max() <= 1.5 * encoding.error + RESAMPLED


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32"])
def test_deeper_integers_agree_within_one_step_of_16_bits(tmp_path: Path, subtype: str) -> None:
    depth = int(subtype[4:])
    wide = np.random.default_rng(0).integers(-(2**31), 2**31 - 2**16, 5000).astype(np.int32)[:, None]
    write(tmp_path / "in" / "noise" / "a.wav", wide, subtype=subtype)
    pack_dataset(read_manifest("folder", tmp_path / "in"), tmp_path / "out")
    packed = decode_clip(open_dataset(tmp_path / "out"), 0) * 32_768
    kept = wide >> (32 - depth) << (32 - depth)
    assert np.abs(packed - kept / 65_536).max() <= 0.5 + 1e-3
    assert np.abs(packed - wide / 65_536).max() <= 1


def test_audioset_takes_compressed_recordings_as_well(tmp_path: Path) -> None:
    audioset(tmp_path / "in")
    video, *_, path = AUDIOSET_SEGMENTS["balanced_train_segments.csv"][0]
    (tmp_path / "in" / path).unlink()
    write(tmp_path / "in" / path.replace(".wav", ".mp3"), tone(32_000, 2), rate=32_000, format="MP3")
    manifest = read_manifest("audioset", tmp_path / "in")
    assert pack_dataset(manifest, tmp_path / "out", codec="flac").rejects == ()
    dataset = open_dataset(tmp_path / "out")
    row = [dataset.clip_id(row) for row in range(len(dataset))].index(video)
    decoded = decode_clip(dataset, row)[:, 0]
    expected = tone(32_000, 1)[:, 0] / LOUDNESS[0] * np.mean(LOUDNESS)
    assert np.abs(decoded[: len(expected)] - expected).max() < 0.06


def test_what_is_missing_is_left_to_pack_which_says_so(tmp_path: Path) -> None:
    urbansound8k(tmp_path / "in")
    manifest = read_manifest("urbansound8k", tmp_path / "in")
    (tmp_path / "in" / manifest.clips[3].path).unlink()
    assert len(read_manifest("urbansound8k", tmp_path / "in")) == len(manifest)
    rejects = pack_dataset(manifest, tmp_path / "out").rejects
    assert [(reject.clip_id, reject.reason) for reject in rejects] == [(manifest.clips[3].clip_id, "no such file")]
