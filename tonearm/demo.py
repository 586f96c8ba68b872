"""The demo: a made-up dataset all the way from recordings to a trained model and a throughput report."""

import shutil
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch

from tonearm.benchmarks.augment import bench_augment
from tonearm.benchmarks.loader import bench_loader
from tonearm.benchmarks.report import BenchmarkReport, save_report
from tonearm.benchmarks.train import bench_train
from tonearm.config import load_config
from tonearm.dataio import open_dataset, pack_dataset, read_manifest
from tonearm.errors import RequestError
from tonearm.recipes import find_config
from tonearm.synthetic import write_synthetic
from tonearm.training.loop import train
from tonearm.training.restore import evaluate_run

HELD_OUT_FOLD = 1
SHOWN_EFFECTS = "ceiling|chains|: (TimeShiftStretch|Noise, (white|pink).*|Reverb|SpecAugment|DropBlock)$"
_CONTENTS = ("recordings", "shards", "run", "loader.json", "augment.json", "train.json")


def run_demo(folder: Path, *, say: Callable[[str], None], show: Callable[[BenchmarkReport], None]) -> float:
    """Synthesise, pack, train, evaluate and benchmark in ``folder``.

    Args:
        folder: where everything goes; what an earlier demo left there is replaced.
        say: called with each line of text.
        show: called with each benchmark report.

    Returns:
        The held-out accuracy.

    Raises:
        RequestError: ``folder`` holds something that is not a demo's.
    """
    _clear(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started = perf_counter()

    def headline(text: str) -> None:
        say(f"\n[{perf_counter() - started:3.0f} s] {text}")

    headline("synthesise: 12 classes that differ in rhythm, envelope and modulation")
    recordings = write_synthetic(folder / "recordings")
    headline("pack: recordings to HDF5 shards")
    summary = pack_dataset(read_manifest("csv", recordings / "labels.csv"), folder / "shards")
    say(f"{summary.num_clips} clips in {summary.num_shards} shards, {summary.num_bytes / 1e6:.1f} MB")
    dataset = open_dataset(folder / "shards")

    headline("train")
    config = load_config(find_config("demo"))
    train(dataset, config, run=folder / "run", fold=HELD_OUT_FOLD, device=device, say=say)
    headline("evaluate: the checkpoint, loaded again, on the fold it has not seen")
    score = evaluate_run(folder / "run", dataset, device=device)
    say(f"held-out accuracy {score.accuracy:.3f} on {score.num_clips} clips ({score.held_out})")

    headline("benchmark: clips/s of each part beside its ceiling")
    reports = (
        bench_loader(num_clips=256, repeats=3, cold=False, device=device),
        bench_augment(load_config(find_config("esc50")), repeats=3, only=SHOWN_EFFECTS, device=device),
        bench_train(dataset, config, repeats=3, device=device),
    )
    for report in reports:
        save_report(report, folder / f"{report.benchmark}.json")
        show(report)
    headline(f"done; recordings, shards, run and reports are in {folder}")
    return score.accuracy


def _clear(folder: Path) -> None:
    """Remove an earlier demo, and nothing else."""
    if folder.exists() and (not folder.is_dir() or any(path.name not in _CONTENTS for path in folder.iterdir())):
        raise RequestError(f"{folder} exists and is not an earlier demo's. Give another folder with --out.")
    for name in _CONTENTS:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
