"""Recordings whose clips stand in more than one fold or split: a model would be tested on what it was taught."""

import numpy as np

from tonearm.dataio.columns import ClipTable


def leaking_groups(table: ClipTable) -> list[str]:
    """The groups whose clips differ in fold or split, sorted.

    Packed clips do not know the file they came from. One file in two folds under two groups is therefore seen only
    before packing, by ``Manifest.leaks``.
    """
    rows = np.flatnonzero(table.group != b"")
    groups, group = np.unique(table.group[rows], return_inverse=True)
    splits, split = np.unique(table.split[rows], return_inverse=True)
    place = table.fold[rows].astype(np.int64) * max(len(splits), 1) + split
    order = np.lexsort((place, group))
    group, place = group[order], place[order]
    differs = (group[1:] == group[:-1]) & (place[1:] != place[:-1])
    return [groups[number].decode(errors="replace") for number in np.unique(group[1:][differs])]
