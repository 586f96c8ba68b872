"""Finding a dataset's parts below the folder that was given: the tables it must have, and every recording."""

import os
from pathlib import Path

from tonearm.dataio.manifest import AUDIO_SUFFIXES
from tonearm.errors import ManifestError


def check_root(root: Path, *, holds: str) -> None:
    """Refuse a ``root`` that is no folder, saying what the right one ``holds``."""
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no such folder"
        raise ManifestError(f"{root}: {what}. Give the folder that holds {holds}.")


def published_file(root: Path, name: str, *, layout: str) -> Path:
    """The file ``name`` below ``root``, by which the layout is known.

    Raises:
        ManifestError: it is not there; where it lies one folder deeper, the message names that folder.
    """
    path = root / name
    if not path.is_file():
        raise not_this_layout(root, name, layout=layout)
    return path


def not_this_layout(root: Path, name: str, *, layout: str) -> ManifestError:
    """The error for a ``root`` without ``name``, a file or folder, to be raised by the caller."""
    deeper = next(iter(sorted(root.glob(f"*/{name}"))), None)
    if deeper is None:
        return ManifestError(f"{root}: no {name} in it, so this is not the {layout} layout.")
    inner = root / deeper.relative_to(root).parts[0]
    return ManifestError(f"{root}: no {name} in it, but there is one in {inner}. Give that folder.")


def list_recordings(root: Path) -> list[str]:
    """Every audio file below ``root`` by its suffix, as sorted paths relative to it with forward slashes.

    Links are followed; what is hidden is left out. No file is opened or asked for its size.
    """
    found: list[str] = []
    seen = set()
    for place, folders, files in os.walk(root, followlinks=True, onerror=_unreadable):
        real = os.path.realpath(place)
        if real in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folder = Path(place).relative_to(root).as_posix()
        prefix = "" if folder == "." else f"{folder}/"
        found += [prefix + name for name in files if _is_recording(name)]
    return sorted(found, key=lambda path: path.split("/"))


def _unreadable(error: OSError) -> None:
    raise ManifestError(f"{error.filename}: this folder cannot be read ({error.strerror}). Mend its rights.") from error


def _is_recording(name: str) -> bool:
    return name[name.rfind(".") :].lower() in AUDIO_SUFFIXES and not name.startswith(".")


def stem(path: str) -> str:
    """The name of the file at ``path`` without folders and suffix."""
    return path.rpartition("/")[2].rpartition(".")[0]
