"""Pydantic models that refuse what they do not know, in words a person can act on.

Every model is frozen, takes no key it does not have and converts nothing: ``"1"`` is no number and ``true`` no 1 (an
integer where a float is asked for is fine).
"""

import difflib
import reprlib
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_serializer, model_validator

from tonearm.errors import ConfigError


class StrictModel(BaseModel):
    """A frozen block of named settings."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=StrictModel)
Item = TypeVar("Item")
# Lists of the file become tuples; strict mode would refuse that conversion, and that one alone is allowed.
Several = Annotated[tuple[Item, ...], Field(strict=False)]
LARGEST = 2**31 - 1  # no size of ours is larger, and floats and tensors take it
Size = Annotated[int, Field(ge=1, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Pair = Annotated[tuple[Size, Size], Field(strict=False)]


class OneKey(StrictModel):
    """An entry of a list where order matters and names repeat: a mapping with exactly one key, ``- noise: {p: 0.5}``.

    A subclass declares one optional field a name; exactly one of them is set.
    """

    @property
    def name(self) -> str:
        """The entry's one key."""
        return next(iter(self.model_fields_set))

    @property
    def value(self) -> Any:
        """What stands behind the key."""
        return getattr(self, self.name)

    @model_validator(mode="before")
    @classmethod
    def _exactly_one(cls, data: Any) -> Any:
        known = ", ".join(cls.model_fields)
        if not isinstance(data, dict) or len(data) != 1:
            raise ValueError(f"must be a mapping with one key out of: {known}")
        if next(iter(data.values())) is None:
            raise ValueError("has nothing after its key; write {} for the default settings")
        return data

    @model_serializer
    def _to_one_key(self) -> dict[str, Any]:
        return {self.name: self.value}


def check(model: type[Model], data: Any, *, where: str) -> Model:
    """``data`` as a ``model``.

    Args:
        model: the class to build.
        data: plain data as a YAML file holds it.
        where: what the data came from, for the message.

    Raises:
        ConfigError: one line a problem: where, the key's path, what it got and what it may be; for a key that does not
            exist, the ones that are near.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [f"{where}: {_explain(model, dict(one))}" for one in error.errors(include_url=False)]
        raise ConfigError("\n".join(lines)) from error


def near(word: str, known: list[str]) -> str:
    """The end of a message about an unknown ``word``: the near ones of ``known``, or all of them."""
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.6) or [one for one in known if one.startswith(word)]
    if close:
        return f"Did you mean {' or '.join(repr(one) for one in close)}?"
    return f"It may be one of: {', '.join(known)}."


def _explain(model: type[StrictModel], error: dict[str, Any]) -> str:
    location: tuple[str | int, ...] = error["loc"]
    path = ".".join(map(str, location)) or "the file"
    kind, message = error["type"], error["msg"]
    if kind == "extra_forbidden":
        return f"{path}: no such key. {near(str(location[-1]), _keys_at(model, location[:-1]))}"
    if kind == "missing":
        what = "an entry is missing" if isinstance(location[-1], int) else "this key is missing and has no default"
        return f"{path}: {what}."
    message = message.removeprefix("Value error, ").replace("Input should", "must").replace("a valid tuple", "a list")
    if message.startswith("Tuple"):  # "Tuple should have at most 2 items after validation, not 3"
        message = f"must have {message.split('have ')[1].replace(' after validation', '')}"
    if kind == "model_type":
        message = f"must be a mapping with keys out of: {', '.join(_keys_at(model, location))}"
    if kind == "value_error" and isinstance(error["input"], dict):
        return f"{path}: {message}."
    return f"{path}: got {reprlib.repr(error['input'])}, {message}."


def _keys_at(model: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """The keys that the block at ``location`` has."""
    for part in location:
        if isinstance(part, str):
            model = next(inner for inner in _models_in(model.model_fields[part].annotation))
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation such as ``tuple[Block, ...] | None`` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
