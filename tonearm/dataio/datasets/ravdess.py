"""RAVDESS, its speech as published: ``Actor_01`` to ``Actor_24`` with ``03-01-{emotion}-…-{actor}.wav``; 8 emotions.

The seven numbers of a name are modality (03: sound alone), channel (01: speech), emotion, intensity, statement,
repetition and actor. Odd actors are men and even ones women, and nothing is published as folds. Four folds of six
actors in a row each hold three of either; folds by ``actor % 4`` would hold one sex each.

Reference: S. R. Livingstone and F. A. Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song
(RAVDESS)", 2018.
"""

import re
from pathlib import Path

from tonearm.dataio.datasets.roots import check_root, list_recordings, not_this_layout, stem
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.errors import ManifestError

_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
_ACTORS_A_FOLD = 6
_NUM_PUBLISHED = 1440
_FOLDER = re.compile(r"Actor_(?P<actor>0[1-9]|1\d|2[0-4])")
_NAME = re.compile(
    r"(?P<modality>0[1-3])-(?P<channel>0[12])-(?P<emotion>0[1-8])-0[12]-0[12]-0[12]-(?P<actor>0[1-9]|1\d|2[0-4])"
)


def read_ravdess(root: Path) -> Manifest:
    """Read the speech of RAVDESS; a group is an actor, folds 1 to 4 hold six actors each.

    Songs, and audio files called otherwise, are left out with a note.
    """
    check_root(root, holds="Actor_01 to Actor_24")
    folders = sorted(path for path in root.iterdir() if path.is_dir() and _FOLDER.fullmatch(path.name))
    if not folders:
        raise not_this_layout(root, "Actor_01", layout="ravdess")
    clips = []
    strange: list[str] = []
    not_speech: list[str] = []
    for folder in folders:
        for path in (f"{folder.name}/{name}" for name in list_recordings(folder)):
            match = _NAME.fullmatch(stem(path))
            if match is None:
                strange.append(path)
                continue
            if match["actor"] != folder.name[-2:]:
                raise ManifestError(
                    f"{root / path}: its name says actor {match['actor']}, its folder {folder.name}. Clips of one "
                    "actor must not get into two folds: move it to where it belongs."
                )
            if (match["modality"], match["channel"]) != ("03", "01"):
                not_speech.append(path)
                continue
            clips.append(
                Clip(
                    clip_id=match[0],
                    path=path,
                    labels=(int(match["emotion"]) - 1,),
                    fold=(int(match["actor"]) - 1) // _ACTORS_A_FOLD + 1,
                    group=folder.name,
                )
            )
    notes = []
    if len(clips) < _NUM_PUBLISHED:
        notes.append(f"{len(clips)} of the {_NUM_PUBLISHED} published recordings of speech are there.")
    if not_speech:
        notes.append(f"Left out, as songs or films: {len(not_speech)}, the first {not_speech[0]}.")
    if strange:
        notes.append(
            f"Left out, for a name not such as 03-01-05-01-02-01-12.wav: {len(strange)}, the first {strange[0]}."
        )
    return Manifest("RAVDESS", root, _EMOTIONS, tuple(clips), tuple(notes))
