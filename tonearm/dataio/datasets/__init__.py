"""Published layouts, one file each: how a dataset's folder becomes a :class:`~tonearm.dataio.manifest.Manifest`."""

import difflib
from collections.abc import Callable
from pathlib import Path

from tonearm.dataio.datasets.audioset import read_audioset
from tonearm.dataio.datasets.csv import read_csv
from tonearm.dataio.datasets.esc10 import read_esc10
from tonearm.dataio.datasets.esc50 import read_esc50
from tonearm.dataio.datasets.folder import read_folder
from tonearm.dataio.datasets.fsdkaggle2019 import read_fsdkaggle2019
from tonearm.dataio.datasets.ravdess import read_ravdess
from tonearm.dataio.datasets.speechcommands import read_speechcommands
from tonearm.dataio.datasets.urbansound8k import read_urbansound8k
from tonearm.dataio.manifest import Manifest
from tonearm.errors import RequestError

LAYOUTS: dict[str, Callable[[Path], Manifest]] = {
    "esc50": read_esc50,
    "esc10": read_esc10,
    "urbansound8k": read_urbansound8k,
    "fsdkaggle2019": read_fsdkaggle2019,
    "audioset": read_audioset,
    "ravdess": read_ravdess,
    "speechcommands": read_speechcommands,
    "folder": read_folder,
    "csv": read_csv,
}


def read_manifest(layout: str, source: str | Path) -> Manifest:
    """Read the dataset at ``source``, which has the published ``layout``.

    Args:
        layout: a key of ``LAYOUTS``.
        source: the dataset's folder, or the CSV file for the layout ``csv``.

    Returns:
        Its clips; ``notes`` tells what is missing or was left out.

    Raises:
        RequestError: no such layout.
        ManifestError: nothing at ``source``, or not in that layout.
    """
    if layout not in LAYOUTS:
        near = difflib.get_close_matches(layout, LAYOUTS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RequestError(f"unknown layout {layout!r}; there are {', '.join(LAYOUTS)}.{hint}")
    return LAYOUTS[layout](Path(source))
