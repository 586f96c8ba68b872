"""Reading YAML that a person wrote: plain data, numbers as YAML 1.2 has them, nothing repeated, nothing hostile.

PyYAML follows YAML 1.1, where ``1e-4`` is a string because it has no point, a repeated key silently wins over the
first, ``1:30`` is the number 90 and ``2024-01-01`` a date. Here ``1e-4`` is a float, a repeated key is an error and the
other two are text. A key that repeats by a merge (``<<: *base``) is no repetition: the explicit one wins.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tonearm.errors import ConfigError

MAX_BYTES = 1 << 20  # a config is a page or two; a megabyte is somebody's data set
MAX_NODES = 20_000  # counted with every alias written out: nine lines of aliases can stand for a billion entries

_FLOAT = re.compile(
    r"""^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?
          |[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+
          |[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
# 44_100 as the seed's README writes it. Hexadecimal ends somewhere: Python prints no integer of 5,000 digits.
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]{1,64}|0b[01_]{1,256})$")
_STR = "tag:yaml.org,2002:str"
_MERGE = "tag:yaml.org,2002:merge"
_TAGS = {_STR, _MERGE} | {f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "int", "float", "bool", "null")}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the number rules above and without dates."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag.rpartition(":")[2] in ("bool", "null", "merge")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def parse_yaml(text: str, *, where: str) -> Any:
    """The plain data in one YAML document.

    Args:
        text: the document.
        where: what to call it in an error: a file's name, an override.

    Returns:
        dicts with text keys, lists, str, int, float, bool and None; None for an empty document. No list or dict is in
        two places, also where aliases (``*base``) or merges put it there: writing to one leaves the other alone.

    Raises:
        ConfigError: not YAML, a repeated key, a tag (``!!python/…``), a key that is not text, too many entries, or an
            alias that contains itself.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, where)
        return _unshared(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{where}{line}: not valid YAML: {error.problem or error.context}.") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: nested too deeply for a config.") from error
    except ConfigError:
        raise
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{where}: not valid YAML: the character {chr(error.character)!r} is no text.") from error
    except ValueError as error:
        raise ConfigError(f"{where}: not valid YAML: {error}.") from error


def read_yaml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: no such file, not a readable one, too large, not UTF-8, or anything :func:`parse_yaml` refuses.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{file}: larger than {MAX_BYTES:,} bytes, so it is hardly a config. Name another file.")
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{file}: cannot read the config: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    data = parse_yaml(text, where=str(file))
    if not isinstance(data, dict):
        raise ConfigError(f"{file}: expected keys and values such as 'train: {{epochs: 80}}', got {_kind(data)}.")
    return data


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> None:
    """Write ``key.path=value`` settings into ``data``, in order; a number in the path is a place in a list.

    The value is YAML: ``train.lr=1e-4``, ``model.blocks.0.res=[32, 32]``, ``train.patience=null``. A mapping that is
    missing on the way is made; whether its keys exist is for the schema to say.

    Raises:
        ConfigError: no ``=`` or no key, a place outside a list, or a path through a plain value.
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        keys = path.strip().split(".")
        where = f"override '{override}'"
        if not equals or not all(keys):
            raise ConfigError(f"{where}: write key.path=value, such as train.lr=1e-3.")
        place: Any = data
        for depth, key in enumerate(keys[:-1]):
            index = _index(place, key, keys[:depth], where)
            if isinstance(place, dict) and place.get(key) is None:
                place[key] = {}
            place = place[index]
        place[_index(place, keys[-1], keys[:-1], where)] = parse_yaml(text, where=where)


def _index(place: Any, key: str, above: Sequence[str], where: str) -> str | int:
    """``key`` as what ``place`` is indexed with."""
    name = ".".join(above)
    if isinstance(place, dict):
        return key
    if not isinstance(place, list):
        raise ConfigError(f"{where}: '{name}' is the value {place!r}, which has no '{key}' in it.")
    if not key.isdecimal() or int(key) >= len(place):
        allowed = f"0 to {len(place) - 1}" if place else "nothing: the list is empty"
        raise ConfigError(f"{where}: '{name}' is a list; '{key}' is no place in it. It may be {allowed}.")
    return int(key)


def _unshared(data: Any) -> Any:
    """A copy in which nothing is in two places; copy.deepcopy would keep what is shared shared."""
    if isinstance(data, dict):
        return {key: _unshared(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_unshared(item) for item in data]
    return data


def _count(node: yaml.Node, counts: dict[int, int], where: str) -> int:
    """How many nodes ``node`` stands for with its aliases written out; refuses what plain data does not have.

    ``counts`` remembers each node, so that the walk itself is linear; 0 marks a node whose contents are being counted.
    """
    if id(node) in counts:
        if counts[id(node)] == 0:
            raise ConfigError(f"{where}, line {node.start_mark.line + 1}: an alias that contains itself.")
        return counts[id(node)]
    line = f"{where}, line {node.start_mark.line + 1}"
    if node.tag not in _TAGS:
        raise ConfigError(f"{line}: the tag '{node.tag}' has no place in a config. Write a plain value.")
    counts[id(node)] = 0
    total = 1
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, where)
        total += sum(_count(value, counts, where) for _, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        total += sum(_count(item, counts, where) for item in node.value)
    if total > MAX_NODES:
        raise ConfigError(f"{line}: more than {MAX_NODES:,} entries once its aliases are written out.")
    counts[id(node)] = total
    return total


def _check_keys(node: yaml.MappingNode, where: str) -> None:
    """Every key of a mapping is text and there once."""
    seen: set[str] = set()
    for key, _ in node.value:
        line = f"{where}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode) or key.tag not in (_STR, _MERGE):
            raise ConfigError(f"{line}: a key must be a word, got {getattr(key, 'value', '')!r}.")
        if key.value in seen:
            raise ConfigError(
                f"{line}: the key '{key.value}' is there twice. Keep one; where repeating is meant, as in "
                f"model.blocks, write a list: '- {key.value}: …'."
            )
        seen.add(key.value)


def _kind(data: Any) -> str:
    return "an empty file" if data is None else f"a {type(data).__name__}"
