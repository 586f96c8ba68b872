"""Bytes to waveforms: what is in a dataset, how it lies on disk, and how it comes back as batches.

``read_manifest`` lists the clips of a published layout, ``pack_dataset`` writes them into HDF5 shards once,
``open_dataset`` opens the shards by memory map, and ``ClipLoader`` yields :class:`tonearm.batch.AudioBatch`.
``estimate_pack`` tells beforehand what a pack would take; ``append_dataset`` and ``relabel_dataset`` change a packed
dataset, and ``unpack_dataset`` turns it into files again. This part knows no model and no augmentation::

    from tonearm.dataio import ClipLoader, open_dataset, pack_dataset, read_manifest

    pack_dataset(read_manifest("esc50", "ESC-50-master"), "esc50-shards")
    dataset = open_dataset("esc50-shards")
    loader = ClipLoader(dataset.where(fold=[1, 2, 3, 4]), batch_size=32, duration_seconds=4.0, shuffle=True, seed=0)
    for batch in loader:
        ...

Names are imported when first used, so that a packing process does not load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tonearm.dataio.append import append_dataset as append_dataset
    from tonearm.dataio.dataset import Dataset as Dataset
    from tonearm.dataio.dataset import open_dataset as open_dataset
    from tonearm.dataio.datasets import LAYOUTS as LAYOUTS
    from tonearm.dataio.datasets import read_manifest as read_manifest
    from tonearm.dataio.estimate import estimate_pack as estimate_pack
    from tonearm.dataio.loader import ClipLoader as ClipLoader
    from tonearm.dataio.manifest import Clip as Clip
    from tonearm.dataio.manifest import Manifest as Manifest
    from tonearm.dataio.pack import pack_dataset as pack_dataset
    from tonearm.dataio.relabel import relabel_dataset as relabel_dataset
    from tonearm.dataio.unpack import unpack_dataset as unpack_dataset

_HOME = {
    "Clip": "manifest",
    "Manifest": "manifest",
    "LAYOUTS": "datasets",
    "read_manifest": "datasets",
    "pack_dataset": "pack",
    "estimate_pack": "estimate",
    "append_dataset": "append",
    "relabel_dataset": "relabel",
    "unpack_dataset": "unpack",
    "Dataset": "dataset",
    "open_dataset": "dataset",
    "ClipLoader": "loader",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'tonearm.dataio' has no attribute {name!r}")
    return getattr(import_module(f"tonearm.dataio.{_HOME[name]}"), name)
