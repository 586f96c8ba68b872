"""Small copies of published datasets, written in their true formats; each tells what it wrote.

A generator takes an empty folder and returns the recordings by clip id: int16 samples (frames, 1) that a pack at
``RATES[layout]`` must give back bit by bit. UrbanSound8K is the exception: see ``ENCODINGS``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.dataio.recordings import sound, write

Written = dict[str, np.ndarray]

FRAMES = 1200


def record(root: Path, path: str, rate: int, *, seed: int) -> np.ndarray:
    """Write a mono 16-bit WAV of noise."""
    samples = sound(FRAMES + 7 * seed, seed=seed)
    write(root / path, samples, rate=rate, subtype="PCM_16")
    return samples


def table(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="")
    return path


# ESC-50


def esc50(root: Path) -> Written:
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    written = {}
    names = ("dog", "rooster", "pig")
    for seed in range(15):
        fold, target, recording, take = seed // 3 + 1, seed % 3, 1000 + seed // 2 * 2, "AB"[seed % 2]
        if seed // 2 * 2 // 3 + 1 != fold:  # takes of one recording stay in one fold
            recording += 500
        clip = f"{fold}-{recording}-{take}-{target}"
        rows.append(f"{clip}.wav,{fold},{target},{names[target]},{target == 0},{recording},{take}")
        written[clip] = record(root, f"audio/{clip}.wav", 44_100, seed=seed)
    table(root / "meta" / "esc50.csv", *rows)
    return written


# ESC-10


def esc10_tree(root: Path) -> Written:
    """The old layout with WAVs in place of Vorbis, whose samples do not come back."""
    written = {}
    for seed in range(10):
        clip = f"{seed % 5 + 1}-{2000 + seed}-A"
        folder = ("001 - Dog bark", "002 - Rain")[seed // 5]
        written[clip] = record(root, f"{folder}/{clip}.wav", 44_100, seed=seed)
    return written


# UrbanSound8K: as uploaded


@dataclass(frozen=True)
class Encoding:
    """How a recording is stored, and how far a decoded sample may be from the written one (1 is full scale)."""

    subtype: str
    rate: int
    channels: int
    error: float
    container: str = "WAV"


STEP = 1 / 32_768
_LOSSY = 0.06  # four bits a sample, or eight with a logarithmic scale

ENCODINGS = (
    Encoding("PCM_16", 44_100, 1, STEP / 2),
    Encoding("PCM_16", 44_100, 2, STEP),
    Encoding("PCM_16", 192_000, 2, STEP),
    Encoding("PCM_U8", 8_000, 1, 1 / 128),
    Encoding("PCM_U8", 44_100, 2, 1 / 128),
    Encoding("PCM_24", 44_100, 1, STEP),
    Encoding("PCM_24", 48_000, 2, STEP),
    Encoding("PCM_32", 44_100, 1, STEP),
    Encoding("PCM_32", 96_000, 2, STEP),
    Encoding("FLOAT", 44_100, 1, STEP),
    Encoding("FLOAT", 11_025, 2, STEP),
    Encoding("DOUBLE", 44_100, 1, STEP),
    Encoding("PCM_16", 44_100, 2, STEP, "WAVEX"),
    Encoding("PCM_24", 44_100, 1, STEP, "WAVEX"),
    Encoding("FLOAT", 96_000, 2, STEP, "WAVEX"),
    Encoding("IMA_ADPCM", 22_050, 1, _LOSSY),
    Encoding("IMA_ADPCM", 44_100, 2, _LOSSY),
    Encoding("MS_ADPCM", 44_100, 1, _LOSSY),
    Encoding("MS_ADPCM", 44_100, 2, _LOSSY),
    Encoding("ULAW", 8_000, 1, _LOSSY),
    Encoding("ALAW", 44_100, 1, _LOSSY),
    Encoding("MPEG_LAYER_III", 44_100, 2, _LOSSY, "MP3"),
)

TONE_HZ = 440.0
TONE_SECONDS = 0.4
LOUDNESS = (0.6, 0.2)  # of the left channel and of the right one


def tone(rate: int, channels: int, *, seconds: float = TONE_SECONDS) -> np.ndarray:
    """A sine (frames, channels) whose value at any time is known, at any rate."""
    times = np.arange(round(seconds * rate)) / rate
    return np.outer(np.sin(2 * np.pi * TONE_HZ * times), LOUDNESS[:channels])


def urbansound8k(root: Path) -> dict[str, Encoding]:
    """A slice in each encoding over the ten folds; files without a row and a hidden one lie between them."""
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    names = ("air_conditioner", "car_horn", "children_playing", "dog_bark")
    written = {}
    for number, encoding in enumerate(ENCODINGS):
        fold, label = number % 10 + 1, number % 4
        clip = f"{100000 + fold}-{label}-0-{number}"
        rows.append(f"{clip}.wav,{100000 + fold},0.5,4.5,1,{fold},{label},{names[label]}")
        path = root / "audio" / f"fold{fold}" / f"{clip}.wav"  # whatever is in it, as published
        write(path, tone(encoding.rate, encoding.channels), rate=encoding.rate, format=encoding.container,
              subtype=encoding.subtype)  # fmt: skip
        written[clip] = encoding
    record(root, "audio/fold1/999-9-9-9.wav", 44_100, seed=1)
    (root / "audio" / "fold1" / ".DS_Store").touch()
    table(root / "metadata" / "UrbanSound8K.csv", *rows)
    return written


# FSDKaggle2019

FSD_CLASSES = ("Accordion", "Bark", "Bathtub_(filling_or_washing)", "Hi-hat", "Slam", "Walk_and_footsteps")
FSD_CURATED = ("0006ae4e", "f76181c4", "001ec0ad", "1d44b0bd")  # the second is labelled wrongly, the last is silent
FSD_NOISY = ("00097e21", "000b6cfb", "00116cd2")
FSD_TEST = ("d527f12d", "4030a4f2")
_FSD_LABELS = {
    "0006ae4e": "Bark", "f76181c4": "Slam", "001ec0ad": '"Walk_and_footsteps,Slam"', "1d44b0bd": "Bark",
    "00097e21": "Bathtub_(filling_or_washing)", "000b6cfb": "Hi-hat", "00116cd2": '"Slam,Accordion"',
    "d527f12d": "Bark", "4030a4f2": '"Bark,Slam"',
}  # fmt: skip


def fsdkaggle2019_kaggle(root: Path) -> Written:
    """As on Kaggle, where the recordings of the test came without labels."""
    written = {}
    for part, clips in (("curated", FSD_CURATED), ("noisy", FSD_NOISY)):
        table(root / f"train_{part}.csv", "fname,labels", *(f"{clip}.wav,{_FSD_LABELS[clip]}" for clip in clips))
        for clip in clips:
            written[f"{part}/{clip}"] = _fsd(root, f"train_{part}/{clip}.wav", clip)
    for clip in FSD_TEST:
        _fsd(root, f"test/{clip}.wav", clip)
    return _without_bad(written)


def fsdkaggle2019_zenodo(root: Path) -> Written:
    """As on Zenodo, with more columns, the test's labels and the vocabulary. The first noisy clips share a video."""
    meta = root / "FSDKaggle2019.meta"
    video = "http://www.flickr.com/videos/8566600@N07/4372020310/"
    written = {}
    for part, folder, header, facts, clips in (
        ("curated", "train_curated", "fname,labels,freesound_id,license", "{number},CC0", FSD_CURATED),
        ("noisy", "train_noisy", "fname,labels,flickr_video_URL,license", "{video},CC BY 2.0", FSD_NOISY),
        ("test", "test", "fname,labels,usage,freesound_id,license", "Private,{number},CC-BY", FSD_TEST),
    ):
        rows = []
        for number, clip in enumerate(clips):
            facts_here = facts.format(number=f"{len(part)}{number}", video=video if number < 2 else video + "b")
            rows.append(f"{clip}.wav,{_FSD_LABELS[clip]},{facts_here}")
            path = f"FSDKaggle2019.audio_{folder}/{clip}.wav"
            written[f"{part}/{clip}"] = _fsd(root, path, clip)
        table(meta / f"{folder}_post_competition.csv", header, *rows)
    table(meta / "vocabulary.csv", *(f"{number},{name}" for number, name in enumerate(FSD_CLASSES)))
    return _without_bad(written)


def _fsd(root: Path, path: str, clip: str) -> np.ndarray:
    return record(root, path, 44_100, seed=int(clip[:2], 16) + int(clip[-2:], 16))


def _without_bad(written: Written) -> Written:
    return {clip: samples for clip, samples in written.items() if clip[-8:] not in ("f76181c4", "1d44b0bd")}


# AudioSet

AUDIOSET_CLASSES = ("Speech", "Male speech, man speaking", "Gush", *(f"Class {number}, or so" for number in range(524)))
_MIDS = ("/m/09x0r", "/m/05zppz", "/t/dd00088", *(f"/g/12_{number:03d}" for number in range(524)))
_COMMENTS = (
    "# Segments csv created Sun Mar  5 10:56:58 2017",
    "# num_ytids=20383, num_segs=20383, num_unique_labels=527, num_positive_labels=51804",
    "# YTID, start_seconds, end_seconds, positive_labels",
)
# video, start, end, labels, where its recording lies ("" for a missing one)
AUDIOSET_SEGMENTS = {
    "balanced_train_segments.csv": (
        ("--PJHxphWEs", "30.000", "40.000", (0, 2), "balanced/Y--PJHxphWEs.wav"),
        ("-0xzrMun0Rs", "30.000", "40.000", (1,), "balanced/-0xzrMun0Rs_30_40.wav"),
        ("_a_b_c_d_e_", "0.000", "9.500", (526,), "balanced/_a_b_c_d_e__0_9.5.wav"),
        ("YYYYYYYYYYY", "30.000", "40.000", (0, 1), ""),
    ),
    "unbalanced_train_segments.csv": (
        ("-A1o1Egi20c", "420.000", "430.000", (0,), "unbalanced/part 00/-A1o1Egi20c_420.000_430.000.wav"),
        ("Zz_-_10_20_", "10.000", "20.000", (2, 1, 0), "unbalanced/part 01/deep/Zz_-_10_20__10000_20000.wav"),
        ("gone_gone_g", "10.000", "20.000", (2,), ""),
    ),
    "eval_segments.csv": (("--BfvyPmVMo", "20.000", "30.000", (3,), "Y--BfvyPmVMo.wav"),),
}


def audioset(root: Path) -> Written:
    written = {}
    seed = 0
    rows = (f'{number},{mid},"{name}"' for number, (mid, name) in enumerate(zip(_MIDS, AUDIOSET_CLASSES, strict=True)))
    table(root / "class_labels_indices.csv", "index,mid,display_name", *rows)
    for name, segments in AUDIOSET_SEGMENTS.items():
        lines = []
        for video, start, end, labels, path in segments:
            lines.append(f'{video}, {start}, {end}, "{",".join(_MIDS[label] for label in labels)}"')
            if path:
                seed += 1
                written[video] = record(root, path, 32_000, seed=seed)
        table(root / name, *_COMMENTS, *lines)
    record(root, "balanced/YnotInTable.wav", 32_000, seed=99)
    return written


# RAVDESS


def ravdess(root: Path) -> Written:
    written = {}
    for actor in range(1, 25):
        name = f"03-01-{(actor - 1) % 8 + 1:02d}-01-02-01-{actor:02d}"
        written[name] = record(root, f"Actor_{actor:02d}/{name}.wav", 48_000, seed=actor)
    record(root, "Actor_01/03-02-05-01-01-01-01.wav", 48_000, seed=30)  # sung
    record(root, "Actor_02/01-01-05-01-01-01-02.wav", 48_000, seed=31)  # from a film
    record(root, "Actor_03/03-01-09-01-01-01-03.wav", 48_000, seed=32)  # there is no ninth emotion
    record(root, "elsewhere/take.wav", 48_000, seed=33)
    return written


# Speech Commands


def speechcommands(root: Path) -> Written:
    written = {}
    speakers = ("0a7c2a8d", "0c40e715", "fffcabd1")
    for seed in range(12):
        clip = f"{('bed', 'cat')[seed % 2]}/{speakers[seed // 2 % 3]}_nohash_{seed // 6}"
        written[clip] = record(root, f"{clip}.wav", 16_000, seed=seed)
    for number, split in ((1, "validation"), (2, "testing")):
        table(root / f"{split}_list.txt", *(f"{clip}.wav" for clip in written if speakers[number] in clip))
    record(root, "_background_noise_/running_tap.wav", 16_000, seed=40)
    record(root, "_background_noise_/pink_noise.wav", 16_000, seed=41)
    table(root / "README.md", "## Speech Commands Data Set v0.02")
    return written


# One's own


def folder(root: Path) -> Written:
    paths = ("dog/a.wav", "dog/deeper/b.wav", "Cat, big/a.wav")
    return {path: record(root, path, 22_050, seed=seed) for seed, path in enumerate(paths)}


MINIATURES: dict[str, tuple[str, int, Callable[[Path], Written]]] = {
    "esc50": ("esc50", 44_100, esc50),
    "esc10": ("esc10", 44_100, esc10_tree),
    "fsdkaggle2019 as on Kaggle": ("fsdkaggle2019", 44_100, fsdkaggle2019_kaggle),
    "fsdkaggle2019 as on Zenodo": ("fsdkaggle2019", 44_100, fsdkaggle2019_zenodo),
    "audioset": ("audioset", 32_000, audioset),
    "ravdess": ("ravdess", 48_000, ravdess),
    "speechcommands": ("speechcommands", 16_000, speechcommands),
    "folder": ("folder", 22_050, folder),
}
