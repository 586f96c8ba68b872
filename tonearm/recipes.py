"""The configurations that come with tonearm, in ``tonearm/configs`` (``configs`` in the repository)."""

from importlib.resources import files
from pathlib import Path

from tonearm.errors import RequestError


def find_config(name: str | Path) -> Path:
    """The file of a configuration given by its path, or by the name of one that comes with tonearm, such as "esc10".

    Raises:
        RequestError: neither; the message lists the names there are.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = Path(str(files("tonearm") / "configs"))
    names = sorted(file.stem for file in shipped.glob("*.yaml"))
    if str(name) in names:
        return shipped / f"{name}.yaml"
    raise RequestError(f"{name}: no such file. Give a YAML file, or one that comes with tonearm: {', '.join(names)}.")
