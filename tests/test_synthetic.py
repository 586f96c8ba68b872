import csv
import hashlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from tonearm.errors import RequestError
from tonearm.synthetic import GESTURES, synthesize, write_synthetic

SPECTRUM_ALONE_STAYS_BELOW = 0.7
NUM_BANDS = 30
HOP_LENGTH = 240  # 67 frames a second: the flutter's 26 Hz still shows
FLOOR = 1e-7  # about the power of the quietest noise floor, so that the logarithm keeps what can be heard


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("synthetic"))


@pytest.fixture(scope="module")
def power(folder: Path) -> NDArray[np.float32]:
    """(clip, band, frame): the power in bands of equal width on a logarithmic axis of frequency."""
    clips = np.stack([soundfile.read(folder / row["path"], dtype="float32")[0] for row in rows_of(folder)])
    window = torch.hann_window(512)
    spectrum = torch.stft(torch.from_numpy(clips), 512, HOP_LENGTH, window=window, return_complex=True).abs().square()
    edges = np.unique(np.geomspace(2, spectrum.shape[1], NUM_BANDS + 1).astype(int))
    bands = [spectrum[:, low:high].mean(1) for low, high in pairwise(edges)]
    return torch.stack(bands, 1).numpy()


@pytest.fixture(scope="module")
def labels(folder: Path) -> NDArray[np.int64]:
    names = list(GESTURES)
    return np.array([names.index(row["label"]) for row in rows_of(folder)])


@pytest.fixture(scope="module")
def folds(folder: Path) -> NDArray[np.int64]:
    return np.array([int(row["fold"]) for row in rows_of(folder)])


def cross_validated_accuracy(
    features: NDArray[np.float32], labels: NDArray[np.int64], folds: NDArray[np.int64], strength: float
) -> float:
    accuracies = []
    for fold in np.unique(folds):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=3000))
        model.fit(features[folds != fold], labels[folds != fold])
        accuracies.append(model.score(features[folds == fold], labels[folds == fold]))
    return float(np.mean(accuracies))


def test_the_mean_spectrum_does_not_tell_the_classes_apart(
    power: NDArray[np.float32], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> None:
    mean_of_log, log_of_mean = np.log(power + FLOOR).mean(2), np.log(power.mean(2) + FLOOR)
    best = max(
        cross_validated_accuracy(features, labels, folds, strength)
        for features in (mean_of_log, log_of_mean, np.concatenate([mean_of_log, log_of_mean], 1))
        for strength in (0.01, 0.1, 1.0)
    )
    # Above chance (1 in 12), so that the measuring itself is known to work.
    assert 1.5 / len(GESTURES) < best < SPECTRUM_ALONE_STAYS_BELOW


@pytest.mark.slow
def test_a_small_network_that_sees_time_tells_them_apart(
    power: NDArray[np.float32], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> None:
    def block(channels: int, out: int) -> torch.nn.Module:
        conv = torch.nn.Conv2d(channels, out, 3, padding=1, bias=False)
        return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(out), torch.nn.ReLU(), torch.nn.MaxPool2d(2))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = torch.nn.Sequential(
            *(block(1, 8), block(8, 16), block(16, 32), block(32, 64)),
            *(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, len(GESTURES))),
        )
        log_power = torch.from_numpy(np.log(power + FLOOR)).unsqueeze(1)
        inputs, targets = (log_power - log_power.mean()) / log_power.std(), torch.from_numpy(labels)
        train, test = torch.from_numpy(np.flatnonzero(folds != 1)), torch.from_numpy(np.flatnonzero(folds == 1))
        epochs, batch_size = 16, 16
        optimizer = torch.optim.AdamW(network.parameters())
        steps = epochs * -(-len(train) // batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
        for _ in range(epochs):
            for index in torch.split(train[torch.randperm(len(train))], batch_size):
                optimizer.zero_grad()
                loss = torch.nn.functional.cross_entropy(network(inputs[index]), targets[index])
                torch.autograd.backward(loss)
                optimizer.step()
                schedule.step()
    network.eval()
    with torch.no_grad():
        accuracy = (network(inputs[test]).argmax(1) == targets[test]).float().mean().item()
    assert accuracy >= 0.85


def test_layout_counts_and_format(folder: Path) -> None:
    rows = rows_of(folder)
    assert list(rows[0]) == ["path", "label", "fold", "group"]
    assert len(rows) == 40 * len(GESTURES)
    assert {(row["label"], row["fold"]) for row in rows} == {(label, str(f)) for label in GESTURES for f in range(1, 5)}
    assert len({row["group"] for row in rows}) == len(rows)
    for row in rows[::37]:
        info = soundfile.info(folder / row["path"])
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (16000, 1, 32000, "PCM_16")


def test_equal_seeds_give_equal_bytes_and_others_do_not(tmp_path: Path) -> None:
    same = [write_synthetic(tmp_path / name, num_clips_per_class=2, seed=3) for name in ("a", "b")]
    other = write_synthetic(tmp_path / "c", num_clips_per_class=2, seed=4)
    assert digest(same[0]) == digest(same[1]) != digest(other)


def test_more_clips_keep_the_ones_that_were_there(tmp_path: Path) -> None:
    few = write_synthetic(tmp_path / "few", num_clips_per_class=1)
    more = write_synthetic(tmp_path / "more", num_clips_per_class=2)
    for path in (few / "audio").iterdir():
        assert path.read_bytes() == (more / "audio" / path.name).read_bytes()


@pytest.mark.parametrize("sample_rate", [8000, 22050, 44100])
@pytest.mark.parametrize("label", GESTURES)
def test_every_class_sounds_at_every_rate(label: str, sample_rate: int) -> None:
    clip = synthesize(
        label, sample_rate=sample_rate, duration_seconds=1.5, generator=np.random.Generator(np.random.Philox(1))
    )
    assert clip.shape == (round(1.5 * sample_rate),)
    assert clip.dtype == np.float32
    assert 0.09 < np.abs(clip).max() < 0.9  # -20 to -1 dB


@pytest.mark.parametrize(
    ("argument", "value"),
    [("num_clips_per_class", 0), ("sample_rate", 4000), ("duration_seconds", 0.5), ("num_folds", 0)],
)
def test_an_argument_out_of_range_is_named(tmp_path: Path, argument: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{argument} is {value}, but must be at least"):
        write_synthetic(tmp_path, **{argument: value})  # type: ignore[arg-type]
