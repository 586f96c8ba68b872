"""Manifest: which clips a dataset has, where they lie, and what is known of them.

A manifest is made by a layout reader (:mod:`tonearm.dataio.datasets`), comes from files that others wrote, and is
checked here once: every later stage may rely on unique clip ids, labels in range and paths that stay in the dataset.
"""

import hashlib
import json
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tonearm.errors import ManifestError

# What is meant as a recording. Those that cannot be read (m4a, wma …) end up among the rejects, not in silence.
AUDIO_SUFFIXES = frozenset(
    (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf",
     ".w64", ".rf64", ".m4a", ".aac", ".wma", ".amr", ".webm")
)  # fmt: skip
SPLITS = ("train", "val", "test")
NO_FOLD = -1
_MAX_SECONDS = 1e9  # thirty years: times that are multiplied by a rate must stay numbers


@dataclass(frozen=True)
class Clip:
    """One labelled excerpt.

    Attributes:
        clip_id: unique in its dataset, stable over time; what errors and predictions name.
        path: the audio file, relative to the manifest's root, with forward slashes.
        labels: indices into the manifest's class names.
        fold: published cross-validation part, or -1.
        split: "train", "val", "test", or "" where the dataset has none.
        group: clips cut from one recording share it; "" stands for a recording of its own.
        subset: which part of a dataset that was collected in several ways, "curated" and "noisy" for example; or "".
        start_seconds: where the clip begins in its file.
        end_seconds: where it ends; None is the file's end.
    """

    clip_id: str
    path: str
    labels: tuple[int, ...]
    fold: int = NO_FOLD
    split: str = ""
    group: str = ""
    subset: str = ""
    start_seconds: float = 0.0
    end_seconds: float | None = None


@dataclass(frozen=True)
class Manifest:
    """The clips of one dataset, checked when made.

    Attributes:
        name: the dataset's name, for people.
        root: the folder that clip paths are relative to.
        class_names: one name a class; a clip's labels are positions in it.
        clips: in the order in which they will be packed.
        notes: what the reader found that a user should know: files that are missing, recordings left out.

    Raises:
        ManifestError: no clips, an id twice, a label out of range, a path that leaves the root.
    """

    name: str
    root: Path
    class_names: tuple[str, ...]
    clips: tuple[Clip, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.clips:
            raise ManifestError(f"{self.root}: no clips found for the dataset {self.name!r}.")
        if not self.name:
            raise ManifestError(f"{self.root}: the dataset has no name.")
        if len(set(self.class_names)) != len(self.class_names):
            twice = [name for name, count in Counter(self.class_names).items() if count > 1]
            raise ManifestError(f"{self.root}: class names must differ, but these stand twice: {twice[:5]}.")
        for text in (self.name, *self.class_names):
            _check_text(text, "the name", self.root)
        seen: set[str] = set()
        for clip in self.clips:
            _check_clip(clip, len(self.class_names), self.root)
            if clip.clip_id in seen:
                raise ManifestError(f"{self.root}: two clips are called {clip.clip_id!r}; clip ids must be unique.")
            seen.add(clip.clip_id)

    def __len__(self) -> int:
        """The number of clips."""
        return len(self.clips)

    def sha256(self) -> str:
        """A hash of everything but root and notes: the same dataset in another place has the same one."""
        clips = [list(vars(clip).values()) for clip in self.clips]
        text = json.dumps([self.name, self.class_names, clips], ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def leaks(self) -> list[str]:
        """Recordings whose clips stand in more than one fold or split: a model would be tested on what it was taught.

        A recording is named by its group; by its path, where clips of one file have different groups or none. A packed
        dataset does not know the files any more and tells by the group alone (:mod:`tonearm.dataio.leaks`).
        """
        num_clips = Counter(clip.path for clip in self.clips)
        groups_of: dict[str, set[str]] = defaultdict(set)
        for clip in self.clips:
            if num_clips[clip.path] > 1:
                groups_of[clip.path].add(clip.group)
        divided = {path for path, groups in groups_of.items() if len(groups) > 1 or "" in groups}
        places: dict[tuple[str, str], set[tuple[int, str]]] = defaultdict(set)  # a file may be called like a group
        for clip in self.clips:
            if clip.group:
                places["group", clip.group].add((clip.fold, clip.split))
            if clip.path in divided:
                places["file", clip.path].add((clip.fold, clip.split))
        return sorted({name for (_, name), where in places.items() if len(where) > 1})


def index_labels(names: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    """Sorted distinct class names, and each entry's position among them."""
    class_names = tuple(sorted(set(names)))
    position = {name: index for index, name in enumerate(class_names)}
    return class_names, [position[name] for name in names]


def _check_clip(clip: Clip, num_classes: int, root: Path) -> None:
    _check_text(clip.clip_id, "the clip", root)
    for what, text in (("path", clip.path), ("group", clip.group), ("subset", clip.subset)):
        _check_text(text, f"clip {clip.clip_id!r}: its {what}", root)
    parts = clip.path.split("/")
    if clip.path.startswith("/") or ".." in parts or "\\" in clip.path or parts[-1] in ("", "."):
        raise ManifestError(
            f"{root}: clip {clip.clip_id!r} has the path {clip.path!r}, which is not a path inside the dataset. "
            "Paths are relative, with forward slashes and without '..'."
        )
    if not clip.labels or any(not 0 <= label < num_classes for label in clip.labels):
        raise ManifestError(
            f"{root}: clip {clip.clip_id!r} has labels {clip.labels}, allowed are 0 to {num_classes - 1}."
        )
    if clip.split not in ("", *SPLITS):
        raise ManifestError(f"{root}: clip {clip.clip_id!r} has split {clip.split!r}, allowed are {', '.join(SPLITS)}.")
    if not 0 <= clip.start_seconds < (math.inf if clip.end_seconds is None else clip.end_seconds):
        raise ManifestError(
            f"{root}: clip {clip.clip_id!r} goes from {clip.start_seconds} to {clip.end_seconds} seconds; a clip "
            "begins at 0 or later and ends after it has begun."
        )
    if max(clip.start_seconds, clip.end_seconds or 0) >= _MAX_SECONDS:
        raise ManifestError(
            f"{root}: clip {clip.clip_id!r} goes from {clip.start_seconds} to {clip.end_seconds} seconds; no recording "
            f"is {_MAX_SECONDS:g} seconds long. Are these samples or milliseconds?"
        )
    if not NO_FOLD <= clip.fold < 2**31:
        raise ManifestError(f"{root}: clip {clip.clip_id!r} has fold {clip.fold}, expected 0 or more.")


def _check_text(text: str, what: str, root: Path) -> None:
    """Names go into fixed-length columns, terminals and pages: control characters have no place in them.

    A surrogate is what Python makes of a byte in a file's name that is not UTF-8.
    """
    kinds = set() if text.isprintable() else {unicodedata.category(char) for char in text}
    if "Cs" in kinds:
        raise ManifestError(f"{root}: {what} {text!r} is not valid UTF-8; rename it.")
    if "Cc" in kinds:
        raise ManifestError(f"{root}: {what} {text!r} contains a control character; rename it.")
