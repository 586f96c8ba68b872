"""Opening a dataset of very many clips, and taking an epoch of it up in its middle: seconds and memory.

Each repeat is a process of its own that may open 1024 files, as is common, and so is each resuming: nothing that
another pass has computed is there. The dataset is a real pack of excerpts of one made-up recording, in as many shards
as are asked for.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from pydantic import Field

from tonearm import __version__
from tonearm.benchmarks.environment import Environment, current_environment
from tonearm.benchmarks.harness import Spread
from tonearm.dataio import open_dataset, pack_dataset, read_manifest
from tonearm.errors import RequestError, RunError
from tonearm.seeding import numpy_generator
from tonearm.strict_model import Several, StrictModel

SAMPLE_RATE = 8000
CLIP_FRAMES = 32  # 64 bytes, one place of alignment: the audio is small, the shards and the index are real
NUM_CLASSES = 527
OPEN_FILES = 1024
BATCH_SIZE = 32

# What every child begins with. Torch is imported after the dataset is open, so that the memory is that of opening.
_BEGIN = """
import json, resource, sys, time
asked = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (asked["open_files"], asked["open_files"]))
import tonearm.dataio.dataset
def peak():  # not ru_maxrss, which remembers the process that started this one
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
start = time.perf_counter()
dataset = tonearm.dataio.dataset.open_dataset(asked["packed"])
opened = time.perf_counter() - start
memory = peak()
from tonearm.dataio import ClipLoader
def make():
    return ClipLoader(dataset, batch_size=asked["batch_size"], seed=1, residency="stream", **asked["settings"])
"""
_FIRST_BATCH = """
start = time.perf_counter()
batches = iter(make())
next(batches)
first = time.perf_counter() - start
batches.close()
print(json.dumps([opened, memory, first]))
"""
# Left in the middle of the epoch, and for the check one batch further.
_INTERRUPTED = """
loader = make()
batches = iter(loader)
for _ in range(len(loader) // 2):
    next(batches)
state = loader.state_dict()
following = next(batches).clip_index.tolist()
batches.close()
print(json.dumps([state, following]))
"""
_RESUMED = """
start = time.perf_counter()
loader = make()
loader.load_state_dict(asked["state"])
batches = iter(loader)
batch = next(batches)
resumed = time.perf_counter() - start
batches.close()
print(json.dumps([resumed, batch.clip_index.tolist()]))
"""

# What is resumed, and the loader's settings for it.
RESUMED: dict[str, dict[str, Any]] = {
    "shuffled": {"shuffle": True},
    "balanced": {"shuffle": True, "balanced": True},
    "window": {"shuffle": "window"},
}


class OpeningReport(StrictModel):
    """What one run measured.

    Attributes:
        num_clips, num_shards: of the dataset.
        environment: where and when.
        open_seconds: of open_dataset, each repeat.
        peak_memory_bytes: of the whole process, torch not yet imported, after opening.
        first_batch_seconds: from making a shuffled loader to its first batch, in a process that read no shard before.
        resume_seconds: of a shuffled epoch, from making the loader and load_state_dict to the first batch, in a process
            that has opened the dataset and nothing else; the state is another process's, in the middle of the epoch.
        resume_balanced_seconds: the same of an epoch in which all classes come equally often.
        resume_window_seconds: the same of an epoch shuffled within a window of shards.
    """

    num_clips: int = Field(gt=0)
    num_shards: int = Field(gt=0)
    environment: Environment
    open_seconds: Several[float]
    peak_memory_bytes: Several[float]
    first_batch_seconds: Several[float]
    resume_seconds: Several[float]
    resume_balanced_seconds: Several[float]
    resume_window_seconds: Several[float]


def bench_opening(
    folder: Path,
    *,
    num_clips: int = 1_000_000,
    num_shards: int = 1640,
    repeats: int = 5,
    announce: Callable[[str], None] = lambda _: None,
) -> OpeningReport:
    """Measure on a dataset that is packed into ``folder``, or was by an earlier run.

    Raises:
        RequestError: numbers that make no dataset.
        RunError: a child failed, a resumed epoch went on with other clips than one that was not interrupted, or the
            pack in ``folder`` is another one than its name says.
    """
    if num_clips < 2 * BATCH_SIZE or not 1 <= num_shards <= num_clips or repeats < 1:
        raise RequestError(
            f"bench open: {num_clips} clips in {num_shards} shards, {repeats} repeats; it takes {2 * BATCH_SIZE} "
            "clips, a clip a shard and one repeat at least."
        )
    environment = current_environment()
    packed = _make(folder, num_clips, num_shards, announce)
    interrupted = {}
    for name, settings in RESUMED.items():
        announce(f"half an epoch, {name}, to be resumed")
        interrupted[name] = _child(_INTERRUPTED, packed, settings)
    rows = []
    resumed: dict[str, list[float]] = {name: [] for name in RESUMED}
    for repeat in range(repeats):
        announce(f"repeat {repeat + 1} of {repeats}")
        rows.append(_child(_FIRST_BATCH, packed, RESUMED["shuffled"]))
        for name, settings in RESUMED.items():
            state, following = interrupted[name]
            seconds, clips = _child(_RESUMED, packed, settings, state=state)
            if clips != following:
                raise RunError(
                    f"bench open: the resumed pass ({name}) yielded other clips than a pass that was not interrupted "
                    "there, so its time means nothing. Mend ClipLoader.load_state_dict."
                )
            resumed[name].append(seconds)
    opened, memory, first = zip(*rows, strict=True)
    return OpeningReport(
        num_clips=num_clips,
        num_shards=len(list(packed.glob("shard-*.h5"))),
        environment=environment,
        open_seconds=opened,
        peak_memory_bytes=memory,
        first_batch_seconds=first,
        resume_seconds=tuple(resumed["shuffled"]),
        resume_balanced_seconds=tuple(resumed["balanced"]),
        resume_window_seconds=tuple(resumed["window"]),
    )


def to_markdown(report: OpeningReport) -> str:
    """The report as a table."""
    environment = report.environment
    lines = [
        f"open: {report.num_clips:,} clips in {report.num_shards:,} shards, at most {OPEN_FILES} open files, "
        f"{len(report.open_seconds)} repeats in processes of their own, page cache warm; {environment.device}, "
        f"{environment.cores} cores; {environment.date}; commit {(environment.commit or 'none')[:10]}"
        + (" with uncommitted changes" if environment.dirty else ""),
        "",
        "| what | median | quartiles |",
        "| --- | ---: | ---: |",
    ]
    for name, values, unit, scale in (
        ("open the dataset", report.open_seconds, "s", 1.0),
        ("peak memory of the process once it is open, torch not imported yet", report.peak_memory_bytes, "MB", 1e-6),
        ("first batch of a shuffled epoch", report.first_batch_seconds, "s", 1.0),
        ("first batch after resuming in the middle of a shuffled epoch", report.resume_seconds, "s", 1.0),
        ("the same, classes balanced", report.resume_balanced_seconds, "s", 1.0),
        ('the same, shuffle="window"', report.resume_window_seconds, "s", 1.0),
    ):
        spread = Spread.of([value * scale for value in values])
        lines.append(
            f"| {name} | {spread.median:.3g} {unit} | {spread.lower_quartile:.3g} – {spread.upper_quartile:.3g} |"
        )
    return "\n".join(lines) + "\n"


def _child(code: str, packed: Path, settings: dict[str, Any], **more: Any) -> Any:
    """What a process of its own prints that opens the dataset and runs ``code``."""
    asked = {"packed": str(packed), "open_files": OPEN_FILES, "batch_size": BATCH_SIZE, "settings": settings} | more
    command = [sys.executable, "-c", _BEGIN + code, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunError(f"bench open: the measured process failed.\n{done.stderr}")
    return json.loads(done.stdout)


def _make(folder: Path, num_clips: int, num_shards: int, announce: Callable[[str], None]) -> Path:
    """Pack excerpts of one recording; a pack by this version that is there is kept."""
    folder = folder / f"open-{num_clips}-{num_shards}-{__version__}"
    packed = folder / "packed"
    if (packed / "index.json").is_file():
        dataset = open_dataset(packed)
        version = dataset.header.versions["tonearm"]
        if (len(dataset), version) != (num_clips, __version__):
            raise RunError(
                f"bench open: {packed} has {len(dataset):,} clips packed by tonearm {version}, expected {num_clips:,} "
                f"by {__version__}. Remove it, or name another folder."
            )
        return packed
    announce(f"packing {num_clips:,} clips into {num_shards:,} shards in {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    samples = numpy_generator("bench open").integers(-20_000, 20_000, num_clips * CLIP_FRAMES, dtype=np.int16)
    soundfile.write(folder / "recording.wav", samples, SAMPLE_RATE, subtype="PCM_16")
    step = CLIP_FRAMES / SAMPLE_RATE
    with (folder / "clips.csv").open("w") as table:
        table.write("path,label,clip_id,start_seconds,end_seconds\n")
        for number in range(num_clips):
            start, end = number * step, (number + 1) * step
            table.write(f"recording.wav,class {number % NUM_CLASSES:03d},clip-{number:07d},{start:.3f},{end:.3f}\n")
    shard_bytes = -(-num_clips * CLIP_FRAMES * 2 // num_shards)
    pack_dataset(read_manifest("csv", folder / "clips.csv"), packed, shard_bytes=shard_bytes)
    return packed
