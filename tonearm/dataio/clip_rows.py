"""What an index knows of its clips besides their audio, as :class:`~tonearm.dataio.manifest.Clip`, and back."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tonearm.dataio.columns import ClipTable, encode_strings
from tonearm.dataio.manifest import Clip

FACTS = ("labels", "fold", "split", "group", "subset")
_NO_PATH = "-"  # an index does not know the files any more


def clips_of(table: ClipTable) -> list[Clip]:
    """Id, labels, fold, split, group and subset of each clip."""
    ends = table.label_indptr.tolist()
    labels = table.label_indices.tolist()
    texts = (
        [text.decode(errors="replace") for text in column.tolist()]
        for column in (table.clip_id, table.split, table.group, table.subset)
    )
    return [
        Clip(clip_id, _NO_PATH, tuple(labels[ends[row] : ends[row + 1]]), fold, split, group, subset)
        for row, (fold, clip_id, split, group, subset) in enumerate(zip(table.fold.tolist(), *texts, strict=True))
    ]


def with_facts(table: ClipTable, clips: Sequence[Clip]) -> ClipTable:
    """The table with the labels, folds, splits, groups and subsets of ``clips``, one a row."""
    return replace(
        table,
        fold=np.array([clip.fold for clip in clips], np.int32),
        split=encode_strings([clip.split for clip in clips]),
        group=encode_strings([clip.group for clip in clips]),
        subset=encode_strings([clip.subset for clip in clips]),
        label_indptr=np.cumsum([0, *(len(clip.labels) for clip in clips)], dtype=np.int64),
        label_indices=np.array([label for clip in clips for label in clip.labels], np.int32),
    )


def count_differences(before: Sequence[Clip], after: Sequence[Clip], facts: Sequence[str] = FACTS) -> dict[str, int]:
    """How many clips have other labels, another fold and so on; labels are compared as sets."""

    def fact(clip: Clip, name: str) -> object:
        return set(clip.labels) if name == "labels" else getattr(clip, name)

    return {
        name: sum(fact(old, name) != fact(new, name) for old, new in zip(before, after, strict=True)) for name in facts
    }
