"""Speech Commands v2 as published: ``{word}/{speaker}_nohash_{n}.wav``, ``validation_list.txt``, ``testing_list.txt``.

35 words of about a second. The lists hold one path a line, ``bed/0c40e715_nohash_0.wav``; what is in neither is for
training. A speaker stands in one list only. ``_background_noise_`` holds minutes of noise to mix in, and is no class.

Reference: P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition", 2018.
"""

import re
from pathlib import Path

from tonearm.dataio.datasets.roots import check_root, list_recordings, published_file
from tonearm.dataio.manifest import Clip, Manifest, index_labels
from tonearm.errors import ManifestError

_NOISE = "_background_noise_"
_LISTS = (("val", "validation_list.txt"), ("test", "testing_list.txt"))
_PATH = re.compile(r"(?P<word>[^/.][^/]*)/(?P<speaker>[^/]+)_nohash_\d+\.[^/.]+")


def read_speechcommands(root: Path) -> Manifest:
    """Read Speech Commands; splits come from the lists, a group is a speaker, a clip's id is ``word/file``.

    Audio files called otherwise are left out with a note, and so is the background noise, which stays where it is.
    """
    check_root(root, holds="a folder a word, validation_list.txt and testing_list.txt")
    tables = [(split, published_file(root, name, layout="speechcommands")) for split, name in _LISTS]
    split_of: dict[str, str] = {}
    for split, table in tables:
        for line, path in _read_list(table):
            if split_of.setdefault(path, split) != split:
                raise ManifestError(f"{table}, line {line}: {path} is in validation_list.txt as well.")

    everything = list_recordings(root)
    noises = [path for path in everything if path.startswith(f"{_NOISE}/")]
    matches = [(path, _PATH.fullmatch(path)) for path in everything if not path.startswith(f"{_NOISE}/")]
    spoken = [(path, match) for path, match in matches if match is not None]
    strange = [path for path, match in matches if match is None]
    class_names, labels = index_labels([match["word"] for _, match in spoken])
    clips = tuple(
        Clip(
            clip_id=path.rpartition(".")[0],
            path=path,
            labels=(label,),
            split=split_of.get(path, "train"),
            group=match["speaker"],
        )
        for (path, match), label in zip(spoken, labels, strict=True)
    )
    there = {clip.path for clip in clips}
    missing = [path for path in split_of if path not in there]
    notes = []
    if noises:
        notes.append(
            f"Left out, as no class: {_NOISE} ({len(noises)}). It stays in {root / _NOISE}, to be mixed in as noise, "
            "or to be cut into clips of silence with a table of excerpts (the layout csv)."
        )
    if missing:
        notes.append(f"Named in the lists, but not there: {len(missing)} of {len(split_of)}, the first {missing[0]}.")
    if strange:
        notes.append(
            f"Left out, for a name not such as bed/0c40e715_nohash_0.wav: {len(strange)}, the first {strange[0]}."
        )
    return Manifest("Speech Commands", root, class_names, clips, tuple(notes))


def _read_list(table: Path) -> list[tuple[int, str]]:
    """(line number, path) of each recording that a list names."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{table}: not text in UTF-8: {error}.") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        raise ManifestError(f"{table}: it is empty. Without it, nothing is held out.")
    for number, line in lines:
        if not _PATH.fullmatch(line):
            raise ManifestError(
                f"{table}, line {number}: expected a path such as bed/0c40e715_nohash_0.wav, got {line!r}."
            )
    return lines
