from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from tonearm.batch import AudioBatch
from tonearm.benchmarks.clip_set import write_clip_set
from tonearm.benchmarks.sample_check import clip_digest, crop_difference, digest_difference, first_difference


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    table = write_clip_set(tmp_path_factory.mktemp("clips"), num_clips=30, sample_rate=8000, duration_seconds=1.5)
    return sorted(table.parent.glob("*.wav"))


@pytest.fixture(scope="module")
def batches(paths: list[Path]) -> list[Tensor]:
    waveform = np.stack([soundfile.read(path, dtype="float32")[0] for path in paths])[:, None]
    return list(torch.from_numpy(waveform).split(8))


def test_the_right_samples_in_the_right_order_pass(batches: list[Tensor], paths: list[Path]) -> None:
    assert first_difference(batches, paths) is None


def test_a_wrong_sample_is_named(batches: list[Tensor], paths: list[Path]) -> None:
    wrong = [batch.clone() for batch in batches]
    wrong[1][2, 0, 77] += 1 / 32768
    complaint = first_difference(wrong, paths)
    assert complaint is not None
    assert complaint.startswith("000010.wav, sample 77 is ")
    assert complaint.endswith("in the WAV (1 samples differ).")


def test_missing_surplus_and_short_clips_are_named(batches: list[Tensor], paths: list[Path]) -> None:
    assert first_difference(batches[:-1], paths) == "24 clips came, expected 30."
    assert first_difference([*batches, batches[0]], paths) == "more than the 30 clips came."
    short = [batch[..., :-1] for batch in batches]
    assert first_difference(short, paths) == "000000.wav came as (1, 11999), expected (1, 12000)."
    swapped = [batches[1], batches[0], *batches[2:]]
    assert "000000.wav, sample" in str(first_difference(swapped, paths))


def crops(batches: list[Tensor], rows: list[int], starts: list[int], *, num_samples: int = 5000) -> AudioBatch:
    clips = torch.cat(batches)
    waveform = torch.stack(
        [clips[row, :, start : start + num_samples] for row, start in zip(rows, starts, strict=True)]
    )
    return AudioBatch(
        waveform=waveform,
        lengths=torch.full((len(rows),), num_samples),
        targets=torch.zeros(len(rows), 1),
        clip_index=torch.tensor(rows),
    )


def test_a_whole_epoch_of_crops_passes_and_one_of_another_number_or_length_does_not(
    batches: list[Tensor], paths: list[Path]
) -> None:
    rows = [7, 3, 29, *range(8, 29)]
    epoch = [crops(batches, rows[start : start + 8], [start] * 8) for start in (0, 8, 16)]

    def complaint(epoch: list[AudioBatch], num_samples: int = 5000) -> str | None:
        return crop_difference(epoch, paths, num_samples=num_samples, batch_size=8)

    assert complaint(epoch) is None
    assert complaint(epoch[:-1]) == "16 clips came, expected 24 in full batches."
    assert complaint([]) == "0 clips came, expected 24 in full batches."
    assert complaint([*epoch, crops(batches, [0, 1], [0, 0])]) == "26 clips came, expected 24 in full batches."
    assert complaint(epoch, 5001) == "an excerpt of 000007.wav came as (1, 5000), expected (1, 5001)."
    one_sample = [crops(batches, [4], [0], num_samples=1)]
    assert complaint(one_sample) == "an excerpt of 000004.wav came as (1, 1), expected (1, 5000)."
    stereo = replace(epoch[0], waveform=epoch[0].waveform.expand(-1, 2, -1))
    assert complaint([stereo]) == "an excerpt of 000007.wav came as (2, 5000), expected (1, 5000)."


def test_crops_are_looked_for_in_the_clip_that_they_are_said_to_be_of(batches: list[Tensor], paths: list[Path]) -> None:
    def complaint(epoch: list[AudioBatch]) -> str | None:
        return crop_difference(epoch, paths[:30], num_samples=5000, batch_size=30)

    batch = crops(batches, [7, 3, 29], [0, 1234, 7000])
    batch.waveform[1, 0, 4321] += 1 / 32768
    assert complaint([batch]) == "an excerpt that is said to be of 000003.wav does not occur in it."
    batch = crops(batches, [7, 3, 29], [0, 1234, 7000])
    batch.clip_index[0] = 8
    assert complaint([batch]) == "an excerpt that is said to be of 000008.wav does not occur in it."
    twice = [crops(batches, [4], [0]), crops(batches, [4], [9])]
    assert complaint(twice) == "000004.wav came more than once in an epoch."


def test_clips_in_another_order_are_compared_by_their_hash(paths: list[Path]) -> None:
    expected = [clip_digest(path) for path in paths]
    order = [3, *range(3), *range(4, 30)]
    came = [expected[number] for number in order]
    assert digest_difference(order, came, expected, paths) is None
    came[5] = "0" * 64
    assert digest_difference(order, came, expected, paths) == "the samples of 000005.wav are not those of the WAV."
    assert digest_difference(order[1:], came[1:], expected, paths) == (
        "29 clips came, expected 30, each once; 1 did not come."
    )
    assert "each once; 1 did not come" in str(digest_difference([4, *order[1:]], came, expected, paths))
