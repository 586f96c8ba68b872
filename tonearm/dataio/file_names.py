"""File names for clip ids, which others chose: harmless on every system, and no two alike.

An id may be a path, a device's name on Windows, an option to a command, or longer than a file name may be. Letters of
any script stay; what could lead out of a folder, hide a file or mislead a reader becomes ``_``.
"""

import hashlib
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from tonearm.dataio.manifest import AUDIO_SUFFIXES

_MAX_BYTES = 160  # of UTF-8: file systems allow 255, and a suffix, a hash and a temporary name's parts come on top
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
    + [f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"]
)
_FORBIDDEN = frozenset('<>:"/\\|?*')


def file_stems(clip_ids: Iterable[str]) -> list[str]:
    """A file name without its suffix for each clip; no two are one, also on systems that ignore case.

    Where two ids would get the same name, a hash of the id tells the later one apart. An audio suffix of the id goes.
    """
    taken: set[str] = set()
    stems = []
    for clip_id in clip_ids:
        stem = _harmless(clip_id)
        if _same(stem) in taken:
            stem += "-" + hashlib.sha256(clip_id.encode(errors="replace")).hexdigest()[:16]
        number, first = 1, stem
        while _same(stem) in taken:
            number += 1
            stem = f"{first}-{number}"
        taken.add(_same(stem))
        stems.append(stem)
    return stems


def _harmless(clip_id: str) -> str:
    suffix = PurePosixPath(clip_id).suffix
    stem = clip_id[: -len(suffix)] if suffix.lower() in AUDIO_SUFFIXES else clip_id
    composed = unicodedata.normalize("NFC", stem)
    name = "".join("_" if _is_harmful(char) else char for char in composed).strip()
    if name.startswith(("-", ".", "~")):
        name = "_" + name[1:]
    if name.endswith("."):  # Windows drops it
        name = name[:-1] + "_"
    if name.split(".")[0].rstrip(" ").upper() in _DEVICES:
        name = "_" + name
    while len(name.encode()) > _MAX_BYTES:
        name = name[: -max(1, (len(name.encode()) - _MAX_BYTES) // 4)]
    return name.rstrip().rstrip(".") or "clip"


def _is_harmful(char: str) -> bool:
    """Forbidden somewhere, a control, an invisible character that reorders or hides others, or a line break."""
    return char in _FORBIDDEN or unicodedata.category(char)[0] == "C" or unicodedata.category(char) in ("Zl", "Zp")


def _same(name: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
