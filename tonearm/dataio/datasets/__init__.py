"""Published layouts, one file each: how a dataset's folder becomes a :class:`~tonearm.dataio.manifest.Manifest`."""

import difflib
from collections.abc import Callable
from pathlib import Path

from tonearm.dataio.datasets.csv import read_csv
from tonearm.dataio.datasets.esc10 import read_esc10
from tonearm.dataio.datasets.esc50 import read_esc50
from tonearm.dataio.datasets.folder import read_folder
from tonearm.dataio.manifest import Manifest
from tonearm.errors import RequestError

LAYOUTS: dict[str, Callable[[Path], Manifest]] = {
    "esc10": read_esc10,
    "esc50": read_esc50,
    "folder": read_folder,
    "csv": read_csv,
}


def read_manifest(layout: str, source: str | Path) -> Manifest:
    """Read the dataset at ``source``, which has the published ``layout``.

    Args:
        layout: a key of ``LAYOUTS``.
        source: the dataset's folder, or the CSV file for the layout ``csv``.

    Raises:
        RequestError: no such layout.
        ManifestError: nothing at ``source``, or not in that layout.
    """
    if layout not in LAYOUTS:
        near = difflib.get_close_matches(layout, LAYOUTS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise RequestError(f"unknown layout {layout!r}; there are {', '.join(LAYOUTS)}.{hint}")
    return LAYOUTS[layout](Path(source))
