"""A folder a class: ``ROOT/dog/anything.wav``; what lies deeper belongs to the class as well."""

from pathlib import Path

from tonearm.dataio.datasets.roots import check_root, list_recordings
from tonearm.dataio.manifest import Clip, Manifest, index_labels
from tonearm.errors import ManifestError


def read_folder(root: Path) -> Manifest:
    """Read a folder a class. There are no folds: ``train`` then holds a tenth out at random."""
    check_root(root, holds="a folder a class with the recordings in it")
    paths = list_recordings(root)
    loose = [path for path in paths if "/" not in path]
    if loose:
        raise ManifestError(
            f"{root}: {loose[0]} lies beside the class folders. Put every recording into its class's folder."
        )
    if not paths:
        raise ManifestError(f"{root}: no recordings in it. The layout is {root}/CLASS/RECORDING.wav.")
    class_names, labels = index_labels([path.partition("/")[0] for path in paths])
    clips = tuple(Clip(clip_id=path, path=path, labels=(label,)) for path, label in zip(paths, labels, strict=True))
    return Manifest(root.resolve().name or "folder", root, class_names, clips)
