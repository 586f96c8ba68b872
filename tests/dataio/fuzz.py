"""Damaging a packed dataset in thousands of ways, each tried in a process of its own with a time limit.

``python -m tests.dataio.fuzz FOLDER NUMBER SEED KIND …`` mutates copies of the datasets in FOLDER (see :func:`prepare`)
and prints one line of JSON: how many mutations were refused, how many harmless, and which were neither. The kinds:

- damage: bytes flipped, zeroed, cut off, moved or added anywhere. It must be refused, or every sample must be right.
- lies: well-formed files with wrong contents (negative sizes, wrong dtypes, odd attributes, places beyond the end),
  sealed and hashed again as if they were true. They must be refused or make sense of another kind; no crash, no hang,
  no other error.
- streams: encoded clips changed, with their CRCs made to agree, so that what is wrong reaches every decoder.
"""

import hashlib
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np

from tests.dataio.recordings import folder_of
from tonearm.dataio import open_dataset, pack_dataset, read_manifest
from tonearm.dataio.decode_soundfile import decode_clip
from tonearm.dataio.shards import SEAL_BYTES, Seal, block_crcs, check_seal, read_shard, seal, seal_line
from tonearm.dataio.verify import inspect_dataset, verify_dataset
from tonearm.errors import RequestError, ShardError

TIME_LIMIT_SECONDS = 20
MEMORY_LIMIT_BYTES = 16 << 30  # of addresses: torch and DALI take many
REFUSED, HARMLESS, WRONG_SAMPLE, WRONG_ERROR = range(4)
Mutator = Callable[[Path, np.random.Generator], str]
ODD_INTEGERS = (-1, 0, 1, 7, 63, 64, 2**31 - 1, -(2**31), 2**62, -(2**63), 10**18)
ODD_TEXTS = ("", "..", "../../x", "\x00", "\x1b[2J", "x" * 100_000, "é", "shard-00000.h5", "nan", "1" * 64)


def prepare(folder: Path) -> None:
    """Pack a small dataset by two codecs, two shards each, and keep the samples of every clip."""
    manifest = read_manifest("folder", folder_of(folder / "in", clips=6, frames=(4000, 2500, 33_001)))
    for codec in ("pcm16", "flac"):
        pack_dataset(manifest, folder / codec, codec=codec, shard_bytes=100_000)
        dataset = open_dataset(folder / codec)
        np.savez(folder / f"{codec}.npz", **{str(row): decode_clip(dataset, row) for row in range(len(dataset))})


def damage(root: Path, generator: np.random.Generator) -> str:
    """Change some bytes of one file, or the files themselves."""
    paths = [*sorted(root.glob("*.h5")), root / "index.json"]
    path = paths[generator.integers(len(paths))]
    data = bytearray(path.read_bytes())
    place, other = sorted(generator.integers(0, len(data), 2).tolist())
    length = int(2 ** generator.uniform(0, 12))
    kind = ("flip", "flip", "flip", "head", "zero", "noise", "cut", "grow", "move", "swap", "remove", "digits")[
        generator.integers(12)
    ]
    if kind == "flip":
        for spot in generator.integers(0, len(data), generator.integers(1, 4)).tolist():
            data[spot] ^= 1 << int(generator.integers(8))
    elif kind == "head":  # HDF5's own structures, and the seal
        for spot in generator.integers(0, min(len(data), 12_288), generator.integers(1, 6)).tolist():
            data[spot] = int(generator.integers(256))
    elif kind == "zero":
        data[place : place + length] = bytes(len(data[place : place + length]))
    elif kind == "noise":
        data[place : place + length] = generator.bytes(len(data[place : place + length]))
    elif kind == "cut":
        del data[place:]
    elif kind == "grow":
        data[place:place] = generator.bytes(length)
    elif kind == "move":
        data[place:place] = data[other : other + length]
    elif kind == "digits":  # of the JSON, or of the seal
        digits = [spot for spot, byte in enumerate(data[:4096]) if chr(byte).isdigit()]
        for spot in generator.choice(digits or [0], 2).tolist():
            data[spot] = ord(str(generator.integers(10)))
    if kind == "remove":
        path.unlink()
    elif kind == "swap":
        second = paths[generator.integers(len(paths))]
        path.write_bytes(second.read_bytes())
        second.write_bytes(bytes(data))
    else:
        path.write_bytes(bytes(data))
    return f"{kind} {path.name} at {place}"


def lie(root: Path, generator: np.random.Generator) -> str:
    """Write something untrue where it is well-formed, and make hashes and seal agree with it."""
    kind = ("column", "column", "attribute", "json", "json", "seal", "columns")[generator.integers(7)]
    if kind == "json":
        return _lie_in_json(root, generator)
    shards = sorted(root.glob("shard-*.h5"))
    path = root / "index.h5" if kind == "columns" else shards[generator.integers(len(shards))]
    if kind == "seal":
        sealed = check_seal(path)
        facts = [sealed.audio_offset, sealed.audio_nbytes, sealed.crc_offset]
        facts[generator.integers(3)] = abs(_odd_integer(generator)) % path.stat().st_size
        if facts[0] >= SEAL_BYTES:
            seal(path, *facts)
        else:
            with path.open("r+b") as file:
                file.write(seal_line(Seal(*facts, sealed.metadata_sha256)))
        what = f"seal {facts}"
    else:
        with h5py.File(path, "r+") as file:
            what = _lie_in_attribute(file, generator) if kind == "attribute" else _lie_in_column(file, generator)
            places = None if path.name == "index.h5" else _places(file)
        if places is not None:
            seal(path, *places)
    _hash_again(root)
    return f"{path.name} {what}"


def stream(root: Path, generator: np.random.Generator) -> str:
    """Change an encoded clip, its beginning above all, and make its CRC agree."""
    path = sorted(root.glob("shard-*.h5"))[generator.integers(2)]
    shard = read_shard(path)
    clip = generator.integers(len(shard.table))
    start, size = int(shard.table.offset[clip]), int(shard.table.size[clip])
    with h5py.File(path, "r+") as file:
        audio = file["audio"][:]
        for _ in range(generator.integers(1, 5)):
            place = int(size * generator.random() ** (8 if generator.integers(2) else 1))
            audio[start + place] = generator.integers(256)
        if generator.integers(4) == 0:  # FLAC's header announces 2**36 samples at most
            audio[start + 21 : start + 26] = 255
        file["audio"][:] = audio
        file["crc32"][:] = block_crcs(audio.view(np.uint8))
        places = _places(file)
    assert places is not None
    seal(path, *places)
    _hash_again(root)
    return f"clip {clip} of {path.name}"


def _lie_in_column(file: h5py.File, generator: np.random.Generator) -> str:
    names = [*(f"clips/{name}" for name in file["clips"]), *(name for name in ("crc32", "audio") if name in file)]
    name = names[generator.integers(len(names))]
    values = file[name][:]
    kind = ("value", "value", "value", "dtype", "shape", "length", "missing", "group", "huge")[generator.integers(9)]
    if kind == "value" and len(values):
        spot = generator.integers(len(values))
        if values.dtype.kind == "S":
            values[spot] = ODD_TEXTS[generator.integers(len(ODD_TEXTS))].encode()
        elif values.dtype.kind == "f":
            values[spot] = (np.nan, np.inf, -1.0, 1e38)[generator.integers(4)]
        else:
            values[spot] = np.array(_odd_integer(generator)).astype(values.dtype)
        file[name][:] = values
        return f"{name}[{spot}] = {values[spot]!r}"
    del file[name]
    if kind == "dtype":
        odd = (np.float64, np.int8, "S3", np.complex64, h5py.string_dtype(), np.dtype([("a", "i4")]))
        dtype = odd[generator.integers(len(odd))]
        data = ["x"] * len(values) if dtype == h5py.string_dtype() else np.zeros(len(values), dtype)
        file.create_dataset(name, data=data, dtype=dtype)
    elif kind == "shape":
        file.create_dataset(name, data=values[0] if generator.integers(2) and len(values) else values[None])
    elif kind == "length":
        file.create_dataset(name, data=np.resize(values, generator.integers(0, 2 * len(values) + 2)))
    elif kind == "group":
        file.create_group(name)
    elif kind == "huge":  # claims petabytes that are not there
        file.create_dataset(name, shape=(2**50,), dtype=values.dtype, chunks=(2**20,))
    return f"{name} {kind}"


def _lie_in_attribute(file: h5py.File, generator: np.random.Generator) -> str:
    names = sorted(file.attrs)
    name = names[generator.integers(len(names))]
    odd = (
        _odd_integer(generator), 1.5, "x", b"\xff\xfe", np.arange(5), np.array(["a", "a"], "S1"), np.zeros((2, 2)),
        h5py.Empty("i4"), ODD_TEXTS[generator.integers(len(ODD_TEXTS))][:1000].replace("\x00", ""),
    )  # fmt: skip
    value = odd[generator.integers(len(odd))]
    if generator.integers(5) == 0:
        del file.attrs[name]
        return f"no attribute {name}"
    file.attrs[name] = value
    return f"attribute {name} = {value!r}"[:200]


def _lie_in_json(root: Path, generator: np.random.Generator) -> str:
    document = json.loads((root / "index.json").read_text())
    holders: list[dict] = [document, *document["shards"], *document["packs"]]
    holder = holders[generator.integers(len(holders))]
    key = sorted(holder)[generator.integers(len(holder))]
    odd = (
        _odd_integer(generator), 1.5, None, True, [], {}, [[]], 10**40, [holder[key]] * 3,
        ODD_TEXTS[generator.integers(len(ODD_TEXTS))],
    )  # fmt: skip
    kind = generator.integers(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder[key], int):
        holder[key] += int(generator.integers(-70, 70))
    elif kind == 2:
        holder[f"{key}2"] = holder[key]
    else:
        holder[key] = odd[generator.integers(len(odd))]
    (root / "index.json").write_text(json.dumps(document))
    return f"index.json {key}: {str(holder.get(key))[:80]}"


def _places(file: h5py.File) -> tuple[int, int, int] | None:
    """Where /audio and /crc32 lie, for a new seal; None where they have no place any more."""
    audio, crc = file.get("audio"), file.get("crc32")
    if not isinstance(audio, h5py.Dataset) or not isinstance(crc, h5py.Dataset):
        return None
    places = audio.id.get_offset(), audio.size * audio.dtype.itemsize, crc.id.get_offset()
    return None if None in places else places


def _hash_again(root: Path) -> None:
    """Let index.json name the hashes of what is there now."""
    document = json.loads((root / "index.json").read_text())
    document["index_sha256"] = hashlib.sha256((root / "index.h5").read_bytes()).hexdigest()
    for entry in document["shards"]:
        try:
            sealed = check_seal(root / entry["file"])
        except ShardError:
            continue
        entry["num_bytes"] = (root / entry["file"]).stat().st_size
        entry["audio_offset"], entry["audio_nbytes"] = sealed.audio_offset, sealed.audio_nbytes
        entry["metadata_sha256"] = sealed.metadata_sha256
    (root / "index.json").write_text(json.dumps(document))


def _odd_integer(generator: np.random.Generator) -> int:
    return ODD_INTEGERS[generator.integers(len(ODD_INTEGERS))]


def examine(root: Path, expected: list[np.ndarray], *, samples_count: bool) -> int:
    """Use a dataset in every way; HARMLESS only if nothing was refused and every sample is right."""
    outcome = HARMLESS
    for use in (verify_dataset, inspect_dataset):
        try:
            use(root)
        except (ShardError, RequestError):
            outcome = REFUSED
    for path in sorted(root.glob("shard-*.h5")):
        try:
            read_shard(path)
        except ShardError:
            outcome = REFUSED
    try:
        dataset = open_dataset(root)
    except (ShardError, RequestError):
        return REFUSED
    if samples_count and len(dataset) != len(expected):
        return WRONG_SAMPLE
    for row in range(len(dataset)):
        try:
            samples = decode_clip(dataset, row)
        except ShardError:
            outcome = REFUSED
        else:
            if samples_count and not np.array_equal(samples, expected[row]):
                return WRONG_SAMPLE
    return outcome


def load(root: Path) -> int:
    """Load a dataset by every backend that decodes."""
    from tonearm.dataio import ClipLoader

    outcome = HARMLESS
    for backend in ("soundfile", "dali") if find_spec("nvidia") else ("soundfile",):
        loader = ClipLoader(open_dataset(root), batch_size=4, backend=backend, residency="stream", on_corrupt="skip")  # type: ignore[arg-type]
        batches = list(loader)
        assert sum(map(len, batches)) + len(loader.damaged) == len(loader.dataset)
        if loader.damaged:
            outcome = REFUSED
    return outcome


def in_a_process(work: Callable[[], int]) -> int | str:
    """The outcome of ``work`` in a forked process, or in words how that ended."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(TIME_LIMIT_SECONDS)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        outcome = WRONG_ERROR
        try:
            outcome = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(outcome)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return "no answer within the time limit" if name == "SIGALRM" else f"killed by {name}"
    return os.WEXITSTATUS(status)


def main(folder: Path, number: int, seed: int, mutators: list[Mutator]) -> None:
    """Try ``number`` mutations and print what came of them."""
    if stream in mutators:  # imported once for all children; DALI's own threads must not have begun before a fork
        importlib.import_module("tonearm.dataio.loader")
        if find_spec("nvidia"):
            importlib.import_module("tonearm.dataio.decode_dali")
    expected = {}
    for codec in ("pcm16", "flac"):
        with np.load(folder / f"{codec}.npz") as kept:
            expected[codec] = [kept[str(row)] for row in range(len(kept.files))]
    counts: Counter[str] = Counter()
    failures = []
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        for each in range(number):
            generator = np.random.default_rng([seed, each])
            mutate = mutators[each % len(mutators)]
            codec = "flac" if mutate is stream else ("pcm16", "flac")[each % 2]
            root = Path(scratch) / "dataset"
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(folder / codec, root)
            what = mutate(root, generator)
            use = (
                partial(load, root)
                if mutate is stream
                else partial(examine, root, expected[codec], samples_count=mutate is damage)
            )
            outcome = in_a_process(use)
            counts[f"{mutate.__name__}: {('refused', 'harmless')[outcome]}" if outcome in (0, 1) else "failed"] += 1
            if outcome not in (REFUSED, HARMLESS):
                words = {WRONG_SAMPLE: "a wrong sample", WRONG_ERROR: "another error"}.get(outcome, outcome)  # type: ignore[arg-type]
                failures.append(f"mutation {each} of {codec}, {mutate.__name__}, {what}: {words}")
    print(json.dumps({"counts": counts, "failures": failures}))


if __name__ == "__main__":
    kinds: dict[str, Mutator] = {"damage": damage, "lie": lie, "stream": stream}
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), [kinds[word] for word in sys.argv[4:]])
