"""Sounds for a bank: what comes out of a folder and of a packed dataset."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.dataio.recordings import RATE, sound, write
from tonearm.dataio import Dataset, open_dataset
from tonearm.dataio.sounds import read_clips, read_folder
from tonearm.errors import AudioError, RequestError
from tonearm.gpu_augment.bank import SoundBank

QUANTUM = 2**-15  # of 16 bits


def test_a_folder_comes_sorted_mono_and_in_full_scale(tmp_path: Path) -> None:
    stereo, deep = sound(300, seed=1, channels=2), sound(200, seed=2)
    write(tmp_path / "b.wav", stereo)
    write(tmp_path / "a" / "deep.flac", deep)
    (tmp_path / "notes.txt").write_text("no sound")
    first, second = read_folder(tmp_path, sample_rate=RATE)
    assert first.dtype == second.dtype == np.float32
    np.testing.assert_array_equal(first, deep[:, 0] / np.float32(32768))
    np.testing.assert_allclose(second, stereo.mean(axis=1) / 32768, rtol=0, atol=1e-7)


@pytest.mark.parametrize("subtype", ["PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_other_sample_types_come_as_float32_too(tmp_path: Path, subtype: str) -> None:
    tone = 0.5 * np.sin(np.arange(400) / 5)
    soundfile.write(tmp_path / "tone.wav", tone, RATE, subtype=subtype)
    (read,) = read_folder(tmp_path, sample_rate=RATE)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, tone, rtol=0, atol=2**-23)


def test_another_rate_is_resampled(tmp_path: Path) -> None:
    seconds = np.arange(RATE) / RATE
    soundfile.write(tmp_path / "tone.wav", 0.5 * np.sin(2 * np.pi * 440 * seconds), RATE, subtype="FLOAT")
    (read,) = read_folder(tmp_path, sample_rate=2 * RATE)
    assert len(read) == 2 * RATE
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / (2 * RATE))
    np.testing.assert_allclose(read[2000:-2000], expected[2000:-2000], rtol=0, atol=1e-4)  # the ends ring


def test_silence_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.zeros((100, 1), np.int16))
    write(tmp_path / "b.wav", sound(50))
    assert [len(read) for read in read_folder(tmp_path, sample_rate=RATE)] == [50]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", sound(50))
    (tmp_path / "b.wav").write_bytes(b"junk")
    sounds = read_folder(tmp_path, sample_rate=RATE)
    next(sounds)
    with pytest.raises(AudioError, match=r"b\.wav: not readable as audio \(.*\)\. Mend it or move it away"):
        next(sounds)


def test_what_is_no_folder_of_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"missing: no such folder\. Give the folder that holds the recordings"):
        read_folder(tmp_path / "missing", sample_rate=RATE)
    with pytest.raises(RequestError, match=r": no recordings in it"):
        read_folder(tmp_path, sample_rate=RATE)


@pytest.mark.parametrize("sample_rate", [0, "44100", 44100.0, True])
def test_a_rate_that_is_none_is_refused(dataset: Dataset, tmp_path: Path, sample_rate: object) -> None:
    for read in (
        lambda: read_folder(tmp_path, sample_rate=sample_rate),
        lambda: read_clips(dataset, sample_rate=sample_rate),
    ):
        with pytest.raises(RequestError, match=r"sample_rate: got .*, may be a whole number, 1 Hz or more"):
            read()


@pytest.mark.parametrize("codec", ["pcm16", "flac", "source"])
def test_a_packed_dataset_gives_what_its_folder_gives(recordings: Path, codec: str) -> None:
    clips = list(read_clips(recordings / codec, sample_rate=RATE))
    files = list(read_folder(recordings / "in", sample_rate=RATE))
    assert len(clips) == len(files) == 14
    for clip, file in zip(clips, files, strict=True):
        np.testing.assert_allclose(clip, file, rtol=0, atol=QUANTUM)


def test_a_part_of_a_dataset_at_another_rate(dataset: Dataset) -> None:
    part = dataset.where(fold=1)
    clips = list(read_clips(part, sample_rate=RATE // 2))
    assert [len(clip) for clip in clips] == [-(-int(frames) // 2) for frames in part.table.num_frames]


def test_an_empty_part_is_refused(dataset: Dataset) -> None:
    with pytest.raises(RequestError, match="no clip in it that was asked for"):
        read_clips(dataset.where(fold=[]), sample_rate=RATE)


def test_a_bank_that_is_full_reads_no_further(recordings: Path) -> None:
    sounds = read_clips(recordings / "pcm16", sample_rate=RATE)
    bank = SoundBank(sounds, sample_rate=RATE, max_bytes=4 * 9000)
    left = len(list(sounds))
    assert bank.full and bank.num_sounds == 2 and left == 14 - 3  # the third was read, and did not fit
    assert open_dataset(recordings / "pcm16").table.num_frames[:2].tolist() == bank.host_lengths.tolist()
