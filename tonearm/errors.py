"""The exceptions tonearm raises on purpose.

Each says what was wrong (got, expected), where (file, shard, clip, key) and what to do, and each is also the builtin
that a caller who knows nothing of tonearm would catch. The command line prints the text and leaves with
``exit_code``: 2 when the request was wrong, 1 when the run failed.
"""


class TonearmError(Exception):
    """Anything tonearm refuses or fails to do, with a message meant for the user."""

    exit_code = 1


class RequestError(TonearmError, ValueError):
    """What was asked for makes no sense here: an unknown layout, a folder that is not there, a fold out of range."""

    exit_code = 2


class ConfigError(RequestError):
    """A configuration that cannot be used; the message names the key, what it got and what it may be."""


class ManifestError(RequestError):
    """A dataset folder or CSV that does not have the layout it was said to have."""


class AudioError(TonearmError, OSError):
    """An audio file that cannot be read, or not in full."""


class ShardError(TonearmError, OSError):
    """A shard or an index that is damaged, foreign or of another version; the message names the file and the clip."""


class ShapeError(TonearmError, ValueError):
    """A tensor whose shape or dtype does not fit; the message gives both shapes."""


class RunError(TonearmError, RuntimeError):
    """A training or benchmark run that cannot go on."""
