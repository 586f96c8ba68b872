"""Opening a dataset of very many clips, and taking an epoch of it up in its middle: seconds and memory.

Each repeat is a process of its own that may open 1024 files, as is common; the dataset is a real pack of excerpts of
one made-up recording, in as many shards as are asked for.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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

# The child: torch is imported after the dataset is open, so that the memory is that of opening.
_CHILD = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))
import tonearm.dataio.dataset
def peak():  # not ru_maxrss, which remembers the process that started this one
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
start = time.perf_counter()
dataset = tonearm.dataio.dataset.open_dataset(sys.argv[1])
opened = time.perf_counter() - start
memory = peak()
from tonearm.dataio import ClipLoader
make = lambda: ClipLoader(dataset, batch_size={batch}, shuffle=True, seed=1, residency="stream")
start = time.perf_counter()
batches = iter(make())
next(batches)
first = time.perf_counter() - start
batches.close()
state = make().state_dict() | {{"batches": len(dataset) // {batch} // 2}}
loader = make()
start = time.perf_counter()
loader.load_state_dict(state)
batches = iter(loader)
batch = next(batches)
resumed = time.perf_counter() - start
if loader.state_dict()["batches"] != state["batches"] + 1 or len(batch) != {batch}:
    sys.exit("the resumed pass did not begin in the middle of the epoch")
batches.close()
earlier = make()  # from one batch earlier: its second batch is the first one of the resumed pass
earlier.load_state_dict(state | {{"batches": state["batches"] - 1}})
batches = iter(earlier)
next(batches)
if next(batches).clip_index.tolist() != batch.clip_index.tolist():
    sys.exit("the resumed pass yielded other clips than a pass that was not interrupted there")
print(json.dumps([opened, memory, first, resumed]))
"""


class OpeningReport(StrictModel):
    """What one run measured.

    Attributes:
        num_clips, num_shards: of the dataset.
        environment: where and when.
        open_seconds: of open_dataset, each repeat.
        peak_memory_bytes: of the whole process, torch not yet imported, after opening.
        first_batch_seconds: from making a shuffled loader to its first batch, in a process that read no shard before.
        resume_seconds: from load_state_dict in the middle of an epoch to the first batch.
    """

    num_clips: int = Field(gt=0)
    num_shards: int = Field(gt=0)
    environment: Environment
    open_seconds: Several[float]
    peak_memory_bytes: Several[float]
    first_batch_seconds: Several[float]
    resume_seconds: Several[float]


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
        RunError: a child failed, or the pack in ``folder`` is another one than its name says.
    """
    if num_clips < 2 * BATCH_SIZE or not 1 <= num_shards <= num_clips or repeats < 1:
        raise RequestError(
            f"bench open: {num_clips} clips in {num_shards} shards, {repeats} repeats; it takes {2 * BATCH_SIZE} "
            "clips, a clip a shard and one repeat at least."
        )
    environment = current_environment()
    packed = _make(folder, num_clips, num_shards, announce)
    code = _CHILD.format(files=OPEN_FILES, batch=BATCH_SIZE)
    rows = []
    for repeat in range(repeats):
        announce(f"repeat {repeat + 1} of {repeats}")
        done = subprocess.run([sys.executable, "-c", code, packed], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RunError(f"bench open: the measured process failed.\n{done.stderr}")
        rows.append(json.loads(done.stdout))
    opened, memory, first, resumed = zip(*rows, strict=True)
    return OpeningReport(
        num_clips=num_clips,
        num_shards=len(list(packed.glob("shard-*.h5"))),
        environment=environment,
        open_seconds=opened,
        peak_memory_bytes=memory,
        first_batch_seconds=first,
        resume_seconds=resumed,
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
        ("peak memory of the process once it is open", report.peak_memory_bytes, "MB", 1e-6),
        ("first batch of a shuffled epoch", report.first_batch_seconds, "s", 1.0),
        ("first batch after resuming in the middle of an epoch", report.resume_seconds, "s", 1.0),
    ):
        spread = Spread.of([value * scale for value in values])
        lines.append(
            f"| {name} | {spread.median:.3g} {unit} | {spread.lower_quartile:.3g} – {spread.upper_quartile:.3g} |"
        )
    return "\n".join(lines) + "\n"


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
