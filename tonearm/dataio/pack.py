"""Manifest to shards, over any ``concurrent.futures.Executor``.

Every header is read first; the shards' boundaries follow from that and from the manifest alone, so they do not depend
on the number of workers or on what is rejected later. One task packs one shard. What cannot be read in full is left
out and listed with its reason in ``rejects.csv``. A pack that was interrupted is taken up where it stopped: whole
shards are kept, and end up as the same bytes.
"""

import csv
import io
import itertools
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path

from tonearm.dataio import index
from tonearm.dataio.atomic import is_leftover, remove_leftovers, write_text
from tonearm.dataio.audio_file import Probe
from tonearm.dataio.columns import CODECS
from tonearm.dataio.encode import encode_clip
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.dataio.plan import Reject, check_source, cut, fingerprint, library_versions, probe_all
from tonearm.dataio.shards import (
    SHARD_NAME,
    DatasetHeader,
    PackedClip,
    Shard,
    read_shard,
    shard_name,
    write_shard,
)
from tonearm.dataio.workers import count_one, worker_processes
from tonearm.errors import AudioError, RequestError, RunError, ShardError

REJECTS = "rejects.csv"
_OTHER_FILES = (REJECTS, index.INDEX_H5, index.INDEX_JSON)

Progress = Callable[[int, int], None]  # (clips done, clips in all)


@dataclass(frozen=True)
class PackSummary:
    """What a pack did.

    Attributes:
        num_clips: clips in the shards.
        num_shards: shards.
        num_kept: shards that an earlier, interrupted pack had finished.
        num_bytes: size of the shards.
        num_clipped: samples set to full scale.
        rejects: what was left out.
    """

    num_clips: int
    num_shards: int
    num_kept: int
    num_bytes: int
    num_clipped: int
    rejects: tuple[Reject, ...]


@dataclass(frozen=True)
class ShardTask:
    """Everything a worker needs to pack one shard."""

    root: Path
    out: Path
    header: DatasetHeader
    number: int
    clips: tuple[tuple[Clip, Probe], ...]


def pack_dataset(
    manifest: Manifest,
    out: str | Path,
    *,
    codec: str = "pcm16",
    sample_rate: int | None = None,
    num_channels: int = 1,
    num_workers: int = 1,
    shard_bytes: int | None = None,
    on_error: str = "quarantine",
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> PackSummary:
    """Pack a dataset into shards, or finish a pack that was interrupted.

    Args:
        manifest: the clips, from :func:`tonearm.dataio.read_manifest`.
        out: the folder to write; made if it is not there.
        codec: "pcm16" (fastest), "flac" (lossless, about half the bytes) or "source" (the files' own bytes).
        sample_rate: Hz; by default the most common rate among the files.
        num_channels: 1 averages the channels.
        num_workers: processes; 1 packs in this one. The result does not depend on it. More than one in a script of
            your own needs the usual ``if __name__ == "__main__":`` around it.
        shard_bytes: about how large a shard becomes; by default 256 MiB, less for a dataset of under 2 GiB so that it
            still makes eight shards (of at least 16 MiB) to share out and to resume from.
        on_error: "quarantine" lists unreadable clips in ``rejects.csv`` and goes on; "fail" stops at them.
        executor: runs the tasks in place of our own processes, on a cluster for example.
        progress: called now and then with (clips done, clips in all).

    Returns:
        What was done.

    Raises:
        RequestError: arguments that make no sense, ``source`` for files it cannot take, or a folder that holds
            something else already.
        RunError: no clip could be read, or one could not and ``on_error`` is "fail".
    """
    out = Path(out)
    _check_request(codec, sample_rate, num_channels, num_workers, shard_bytes, on_error)
    probes, rejects = probe_all(manifest)
    if rejects and on_error == "fail":
        raise _unreadable(rejects, manifest)
    if not probes:
        raise RunError(
            f"{manifest.name} in {manifest.root.resolve()}: none of the {len(manifest)} clips can be read. The first, "
            f"{rejects[0].path}: {rejects[0].reason}."
        )
    rate = sample_rate or Counter(p.sample_rate for p in probes.values()).most_common(1)[0][0]
    if codec == "source":
        check_source(manifest, probes, rate, num_channels)
    parts = cut(manifest, probes, codec, rate, num_channels, shard_bytes)
    header = DatasetHeader(
        name=manifest.name, class_names=manifest.class_names, codec=codec, sample_rate=rate, num_channels=num_channels,
        num_shards=len(parts), manifest_sha256=manifest.sha256(), pack_sha256="", versions=library_versions(),
    )  # fmt: skip
    header = replace(header, pack_sha256=fingerprint(header, parts))
    tasks = [ShardTask(manifest.root, out, header, number, tuple(part)) for number, part in enumerate(parts)]

    _make_folder(out)
    kept = _finished(out, header)
    remove_leftovers(out, _is_ours)
    for number, shard in list(kept.items()):
        missing = _rejects_of_finished(tasks[number], shard)
        if missing is None or _source_is_newer(tasks[number], shard):
            del kept[number]
        else:
            rejects += missing
    todo = [task for task in tasks if task.number not in kept]
    num_done = sum(len(tasks[number].clips) for number in kept)

    def report(done: int) -> None:
        if progress is not None:
            progress(num_done + done, len(probes))

    report(0)
    if todo:
        (out / index.INDEX_JSON).unlink(missing_ok=True)  # where it stands, the pack is complete
    rejects += _run(todo, executor, num_workers, report)
    if rejects and on_error == "fail":
        raise _unreadable(rejects, manifest)

    shards = [kept.get(task.number) or read_shard(out / shard_name(task.number)) for task in tasks]
    num_clips = sum(len(shard.table) for shard in shards)
    order = {clip.clip_id: place for place, clip in enumerate(manifest.clips)}
    rejects.sort(key=lambda reject: order[reject.clip_id])
    _write_rejects(out, rejects)
    if num_clips == 0:
        raise RunError(f"{manifest.root}: none of the {len(manifest)} clips decodes; {out / REJECTS} says why.")
    index.write_index(out, shards)
    remove_leftovers(out, _is_ours)  # a worker killed just before this run began may have died only since
    return PackSummary(
        num_clips=num_clips,
        num_shards=len(shards),
        num_kept=len(kept),
        num_bytes=sum(shard.path.stat().st_size for shard in shards),
        num_clipped=sum(int(shard.table.num_clipped.sum()) for shard in shards),
        rejects=tuple(rejects),
    )


def pack_shard(task: ShardTask, count: Callable[[], None] | None = None) -> list[Reject]:
    """Decode, judge and write the clips of one shard; returns what was left out. Runs in a worker process."""
    packed: list[PackedClip] = []
    rejects = []
    for clip, header in task.clips:
        try:
            packed.append(encode_clip(task.root, clip, header, task.header))
        except AudioError as error:
            rejects.append(Reject(clip.clip_id, clip.path, str(error)))
        if count is not None:
            count()
    write_shard(task.out / shard_name(task.number), task.header, task.number, packed)
    return rejects


def _check_request(codec: str, sample_rate: int | None, num_channels: int, num_workers: int,
                   shard_bytes: int | None, on_error: str) -> None:  # fmt: skip
    if codec not in CODECS:
        raise RequestError(f"unknown codec {codec!r}; there are {', '.join(CODECS)}.")
    if on_error not in ("quarantine", "fail"):
        raise RequestError(f"on_error (--on-error) is {on_error!r}; it may be quarantine or fail.")
    if sample_rate is not None and not 1_000 <= sample_rate <= 768_000:
        raise RequestError(f"sample rate {sample_rate}; it may be 1000 to 768000 Hz.")
    if not 1 <= num_channels <= 64:
        raise RequestError(f"{num_channels} channels; it may be 1 to 64.")
    if num_workers < 1:
        raise RequestError(f"num_workers (--workers) is {num_workers}; it must be at least 1.")
    if shard_bytes is not None and shard_bytes < 1:
        raise RequestError(f"shard_bytes (--shard-mib) is {shard_bytes}; it must be at least 1.")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = sorted(path.name for path in out.iterdir())
    except OSError as error:
        raise RequestError(f"{out}: cannot use this folder ({error.strerror}). Give another one.") from error
    foreign = [name for name in names if not _is_ours(name) and not is_leftover(name, _is_ours)]
    if foreign:
        raise RequestError(f"{out} holds other files, {foreign[0]!r} for one. Give a folder of its own for the shards.")


def _is_ours(name: str) -> bool:
    return name in _OTHER_FILES or SHARD_NAME.fullmatch(name) is not None


def _finished(out: Path, header: DatasetHeader) -> dict[int, Shard]:
    """Shards that stand in ``out`` already and belong to this very pack."""
    finished = {}
    for path in sorted(out.glob("shard-*.h5")):
        try:
            shard = read_shard(path)
        except ShardError as error:
            raise RequestError(f"{error} Delete that file, or pack into another folder.") from error
        if shard.header != header or path.name != shard_name(shard.number) or shard.number >= header.num_shards:
            raise RequestError(
                f"{out} holds shards of another pack (other files, settings or library versions). "
                f"Pack into another folder, or delete {out}/shard-*.h5 and {out}/index.* first."
            )
        finished[shard.number] = shard
    if not finished and (out / index.INDEX_JSON).exists():
        raise RequestError(f"{out} has an index but no shards. Delete {out}/index.*, or pack into another folder.")
    return finished


def _source_is_newer(task: ShardTask, shard: Shard) -> bool:
    """Whether a recording was written after the shard that holds it, as make would ask."""
    packed = shard.path.stat().st_mtime_ns
    return any((task.root / clip.path).stat().st_mtime_ns > packed for clip, _ in task.clips)


def _rejects_of_finished(task: ShardTask, shard: Shard) -> list[Reject] | None:
    """Why clips are missing from a shard of an earlier run, judging them again; None if one can be read now."""
    present = {clip_id.decode(errors="replace") for clip_id in shard.table.clip_id}
    rejects = []
    for clip, header in task.clips:
        if clip.clip_id not in present:
            try:
                encode_clip(task.root, clip, header, task.header)
            except AudioError as error:
                rejects.append(Reject(clip.clip_id, clip.path, str(error)))
            else:
                return None
    return rejects


def _run(tasks: list[ShardTask], executor: Executor | None, num_workers: int,
         report: Callable[[int], None]) -> list[Reject]:  # fmt: skip
    """Pack the shards on the executor that was given, on processes of our own, or right here."""
    if executor is not None:
        return _collect([executor.submit(pack_shard, task) for task in tasks], lambda: None)
    workers = min(num_workers, len(tasks))
    if workers > 1:
        try:
            with worker_processes(workers) as (pool, count):
                return _collect([pool.submit(_pack_and_count, task) for task in tasks], lambda: report(count()))
        except BrokenProcessPool as error:
            raise RunError(
                "a packing process died, out of memory perhaps. Run it again with fewer workers; it goes on from "
                'there. In a script of your own, workers need `if __name__ == "__main__":` around the call.'
            ) from error
    progress = itertools.count(1)
    return [reject for task in tasks for reject in pack_shard(task, count=lambda: report(next(progress)))]


def _pack_and_count(task: ShardTask) -> list[Reject]:
    return pack_shard(task, count=count_one)


def _collect(futures: list[Future[list[Reject]]], tick: Callable[[], None]) -> list[Reject]:
    """Wait for all shards; the first failure cancels those that have not begun."""
    pending = set(futures)
    try:
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            tick()
            for future in done:
                future.result()
    except BaseException:
        for future in pending:
            future.cancel()
        raise
    return [reject for future in futures for reject in future.result()]


def _write_rejects(out: Path, rejects: list[Reject]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["clip_id", "path", "reason"])
    rows.writerows([reject.clip_id, reject.path, reject.reason] for reject in rejects)
    write_text(out / REJECTS, text.getvalue())


def _unreadable(rejects: list[Reject], manifest: Manifest) -> RunError:
    shown = "; ".join(f"{reject.path}: {reject.reason}" for reject in rejects[:5])
    more = f" and {len(rejects) - 5} more" if len(rejects) > 5 else ""
    return RunError(
        f"{manifest.root}: {len(rejects)} clip(s) cannot be read: {shown}{more}. Mend them, or leave them out with "
        "--on-error quarantine."
    )
