"""Augmentations as plain data and back: dictionaries and lists, as YAML or JSON hold them.

An effect is one key, its name, with its arguments below; a list is a chain::

    - time_shift_stretch: {p: 0.5}
    - one_of:
        effects:
          - noise: {p: 1.0, color: pink}
          - background_noise: {p: 1.0, bank: street}
        p: 0.4

Names are the classes' own in small letters with underscores. Sounds are not written: a bank is told by its name, and
whoever reads gives the banks. A file of this kind is ``from_dict(yaml.safe_load(text))``, and one is written with
``yaml.safe_dump(to_dict(augmentation))``.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tonearm.errors import RequestError
from tonearm.gpu_augment.bank import SoundBank
from tonearm.gpu_augment.core import Augmentation

_SPELLED = {"DropBlock": "dropblock", "CutMix": "cutmix"}  # one word, as configurations elsewhere have them


def name_of(effect: type[Augmentation]) -> str:
    """What an effect is called in a dictionary.

    Example:
        >>> from tonearm.gpu_augment import OneOf
        >>> name_of(OneOf)
        'one_of'
    """
    name = effect.__name__
    return _SPELLED.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def known_effects() -> dict[str, type[Augmentation]]:
    """All effects and compositions of this package by the names that dictionaries give them."""
    from tonearm import gpu_augment  # not above: it imports this module

    classes = (getattr(gpu_augment, name) for name in gpu_augment.__all__)
    effects = (one for one in classes if inspect.isclass(one) and issubclass(one, Augmentation))
    return {name_of(effect): effect for effect in effects if not inspect.isabstract(effect)}


def to_dict(augmentation: Augmentation) -> dict[str, Any]:
    """What an augmentation was made with, as plain data; generators are left to ``state_dict()``.

    Args:
        augmentation: an effect or a composition.

    Returns:
        One key, the effect's name, with all its arguments.

    Raises:
        RequestError: it has a bank without a name.

    Example:
        >>> from tonearm.gpu_augment import Chain, Noise
        >>> to_dict(Chain([Noise(0.5, 0, 20)]))["chain"]["effects"][0]["noise"]["max_snr_db"]
        20
    """
    arguments = augmentation.constructor_arguments().items()
    return {name_of(type(augmentation)): {name: _plain(value) for name, value in arguments}}


def _plain(value: Any) -> Any:
    if isinstance(value, SoundBank):
        if not value.name:
            raise RequestError("bank: it has no name to be found by again. Give it one: SoundBank(…, name='street').")
        return value.name
    if isinstance(value, Augmentation):
        return to_dict(value)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def from_dict(
    description: Mapping[str, Any] | Sequence[Any],
    *,
    banks: Mapping[str, SoundBank] | None = None,
    sample_rate: int | None = None,
    custom: Iterable[type[Augmentation]] = (),
    place: str = "",
) -> Augmentation:
    """The augmentation that plain data describes. Nothing but this package's effects, and ``custom``, is ever made.

    Args:
        description: one key, an effect's name, with its arguments; or a list of such, which is a chain.
        banks: sounds by the names that the description gives them.
        sample_rate: in Hz, for the effects that need one and are not told.
        custom: further effects that it may name, of your own.
        place: where the description stands, for messages, such as "augmentation.waveform".

    Returns:
        A new augmentation, with a generator of its own.

    Raises:
        RequestError: an unknown effect, argument or bank, or an argument out of range, with its place.

    Example:
        >>> from_dict([{"noise": {"p": 0.3}}, {"reverb": {}}], sample_rate=16_000)  # doctest: +ELLIPSIS
        Chain(
          (effects): ModuleList(
            (0): Noise(p=0.3, ...)
            (1): Reverb(p=0.5, sample_rate=16000, ...)
          )
        )
    """
    known = known_effects() | {name_of(effect): effect for effect in custom}
    try:
        return _Builder(known, banks or {}, sample_rate).build(description, place)
    except RecursionError as error:
        raise RequestError(f"{place or 'augmentation'}: nested too deeply, or in itself.") from error


@dataclass(frozen=True)
class _Builder:
    """Makes effects of plain data that may be hostile; places in messages are dotted, list items by number."""

    known: Mapping[str, type[Augmentation]]
    banks: Mapping[str, SoundBank]
    sample_rate: int | None

    def build(self, description: object, place: str) -> Augmentation:
        if isinstance(description, list | tuple):
            return self.build({"chain": {"effects": description}}, place)
        if not isinstance(description, Mapping) or len(description) != 1:
            raise RequestError(
                f"{place or 'augmentation'}: got {description!r}, may be one effect with its arguments, such as "
                f"{{'noise': {{'p': 0.3}}}}."
            )
        ((name, given),) = description.items()
        place = f"{place}.{name}" if place else str(name)
        if name not in self.known:
            raise RequestError(f"{place}: no such effect. {_near(name, self.known)}")
        if not isinstance(given, Mapping):
            raise RequestError(f"{place}: got {given!r}, may be arguments and their values, such as {{'p': 0.3}}.")
        effect = self.known[name]
        parameters = {name: one for name, one in inspect.signature(effect).parameters.items() if name != "generator"}
        for argument in given:
            if argument not in parameters:
                raise RequestError(f"{place}.{argument}: no such argument. {_near(argument, parameters)}")
        arguments = {key: self._value(key, value, f"{place}.{key}") for key, value in given.items()}
        if "sample_rate" in parameters and self.sample_rate is not None:
            arguments.setdefault("sample_rate", self.sample_rate)
        for argument, parameter in parameters.items():
            if parameter.default is parameter.empty and argument not in arguments:
                raise RequestError(f"{place}.{argument}: is missing and has no default.")
        make: Callable[..., Augmentation] = effect
        try:
            return make(**arguments)
        except RequestError as error:
            raise RequestError(f"{place}.{error}") from error  # it begins with the argument's name

    def _value(self, key: str, value: object, place: str) -> object:
        if key == "effects":
            if not isinstance(value, list | tuple):
                raise RequestError(f"{place}: got {value!r}, may be a list of effects.")
            return [self.build(item, f"{place}.{number}") for number, item in enumerate(value)]
        if key == "bank":
            if not isinstance(value, str) or value not in self.banks:
                raise RequestError(f"{place}: got {value!r}, may be the name of a bank. {_near(value, self.banks)}")
            return self.banks[value]
        return tuple(value) if isinstance(value, list) else value


def _near(name: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=3)
    return f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(sorted(known)) or 'none'}."
