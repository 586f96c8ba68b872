"""What the commands on packed datasets print: an inspection, an estimate, what was changed and what was left out."""

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tonearm.commands.output import duration, many, say, size, table_output, warn

if TYPE_CHECKING:
    from tonearm.dataio.estimate import PackEstimate
    from tonearm.dataio.plan import Reject
    from tonearm.dataio.verify import Inspection

_MANY_CLASSES = 25  # more than this are not listed one by one
_FEW = 10
_PLURALS = {"labels": "labels", "fold": "folds", "split": "splits", "group": "groups", "subset": "subsets"}


def show_inspection(found: "Inspection") -> None:
    """A dataset in some lines, also if it has hundreds of classes."""
    classes = many(len(found.classes), "class", "classes")
    say(f"{found.dataset}: {many(found.num_clips, 'clip')}, {found.hours:.2f} h, {classes}")
    say(f"  audio    {found.codec}, {found.sample_rate} Hz, {many(found.num_channels, 'channel')}, "
         f"{found.shortest_seconds:.2f} to {found.longest_seconds:.2f} s a clip")  # fmt: skip
    packs = f" of {found.num_packs} packs" if found.num_packs > 1 else ""
    say(f"  shards   {found.num_shards}{packs}, {size(found.num_bytes)}{', relabelled' if found.relabelled else ''}")
    say(f"  levels   peak {found.peak:.3f}; {many(found.num_silent, 'silent clip')}; "
        f"{many(found.num_clipped, 'sample')} clipped, in {many(found.num_clipped_clips, 'clip')}")  # fmt: skip
    say(f"  rejected {found.num_rejected}")
    if found.max_labels > 1:
        say(f"  labels   {found.mean_labels:.2f} a clip, {found.max_labels} at most")
    if found.num_leaking_groups:
        say(f"  leaks    {many(found.num_leaking_groups, 'recording')} in more than one fold or split")
    for title, counts in (("folds", found.folds), ("splits", found.splits), ("subsets", found.subsets)):
        if counts:
            say(f"  {title:<8} {_counted(counts.items())}")
    by_count = sorted(found.classes.items(), key=lambda item: -item[1])
    if len(by_count) <= _MANY_CLASSES:
        say(f"  classes  {_counted(found.classes.items())}")
        return
    most, least, between = by_count[:_FEW], by_count[-_FEW:], by_count[_FEW:-_FEW]
    say(f"  most     {_counted(most)}")
    say(f"  between  {len(between)} classes with {between[-1][1]:,} to {between[0][1]:,} clips")
    say(f"  least    {_counted(least)}")
    empty = sum(count == 0 for count in found.classes.values())
    if empty:
        say(f"  empty    {many(empty, 'class', 'classes')} without a clip")


def show_estimate(found: "PackEstimate", free_bytes: int, out: Path) -> None:
    """A table of codecs, and what the disk has."""
    say(f"{many(found.num_clips, 'clip')}, {found.hours:.2f} h, {found.sample_rate} Hz, "
        f"{many(found.num_channels, 'channel')}, {many(found.num_workers, 'worker')}")  # fmt: skip
    for name, codec in found.codecs.items():
        if codec.num_bytes is None or codec.seconds is None:
            say(f"  {name:<7} not possible: {codec.reason}")
        else:
            about = "" if codec.exact else "about "
            say(f"  {name:<7} {about}{size(codec.num_bytes)}, about {duration(codec.seconds)}")
    say(f"  times, and the size of flac, from {many(found.num_sampled, 'clip')} encoded on this machine")
    say(f"  {out} has {size(free_bytes)} free; nothing was written")
    for reject in found.rejects[:5]:
        warn(f"{reject.path} cannot be read: {reject.reason}")
    if len(found.rejects) > 5:
        warn(f"and {len(found.rejects) - 5} more cannot be read")


def print_clips(rows: Iterable[Mapping[str, Any]]) -> None:
    """Clips as a CSV."""
    from tonearm.dataio.label_cells import join_labels

    with table_output() as file:
        table: Any = None
        for row in rows:
            if table is None:
                table = csv.DictWriter(file, list(row), lineterminator="\n")
                table.writeheader()
            table.writerow({**row, "labels": join_labels(row["labels"])})


def free_bytes_at(out: Path) -> int:
    """What the disk that will hold ``out`` has left."""
    place = out.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def say_new_classes(names: Sequence[str]) -> None:
    """Classes that the dataset did not have, for a slip in a name to be seen."""
    if names:
        more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
        say(f"{many(len(names), 'new class', 'new classes')}: {', '.join(names[:_FEW])}{more}")


def say_mended(names: Sequence[str]) -> None:
    """Shards that were found missing or damaged, and packed again."""
    if names:
        more = " …" if len(names) > _FEW else ""
        say(f"{many(len(names), 'missing or damaged shard')} packed again: {', '.join(names[:_FEW])}{more}")


def say_clipped_and_rejected(num_clipped: int, rejects: Sequence["Reject"], out: Path) -> None:
    """What became of samples and recordings that were not as they should be."""
    if num_clipped:
        say(f"{many(num_clipped, 'sample')} lay beyond full scale and {'was' if num_clipped == 1 else 'were'} clipped")
    if rejects:
        first, path = f"{rejects[0].path}: {rejects[0].reason}", out / "rejects.csv"
        if len(rejects) == 1:
            warn(f"1 clip was left out: it cannot be read. {first}; it is listed in {path}.")
        else:
            number = many(len(rejects), "clip")
            warn(f"{number} were left out: they cannot be read. The first, {first}; all are in {path}.")


def warn_of_leaks(leaks: Sequence[str]) -> None:
    """Recordings that stand on both sides of a fold or split."""
    if leaks:
        warn(f"clips of one recording stand in different folds or splits, for example {leaks[0]!r} "
              f"({many(len(leaks), 'recording')}): held-out accuracy will look better than it is.")  # fmt: skip


def count_facts(changed: Mapping[str, int]) -> str:
    """``labels of 3 clips, folds of 40 clips``."""
    return ", ".join(f"{_PLURALS[fact]} of {many(count, 'clip')}" for fact, count in changed.items() if count)


def _counted(counts: Iterable[tuple[object, int]]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts)
