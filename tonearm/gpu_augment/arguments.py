"""What arguments may be: a wrong one, of any type, is a RequestError with its name, what came and what may come."""

import math
import sys
from numbers import Integral, Real
from typing import TypeGuard

from tonearm.errors import RequestError


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number that a float can hold; True and False are none."""
    if isinstance(value, Integral) and abs(int(value)) > sys.float_info.max:
        return False
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole(value: object, *, at_least: int) -> TypeGuard[int]:
    """Whether it is a whole number, ``at_least`` or more, that a tensor can hold."""
    return not isinstance(value, bool) and isinstance(value, Integral) and at_least <= int(value) < 2**63


def check_share(name: str, value: object) -> None:
    """Refuse anything but a number from 0 to 1."""
    if not (is_number(value) and 0.0 <= value <= 1.0):
        raise RequestError(f"{name}: got {value!r}, may be a number from 0 to 1.")


def check_whole(name: str, value: object, *, at_least: int, unit: str = "") -> None:
    """Refuse anything but a whole number, ``at_least`` or more."""
    if not is_whole(value, at_least=at_least):
        raise RequestError(f"{name}: got {value!r}, may be a whole number, {at_least}{unit} or more.")


def check_range(low_name: str, low: object, high_name: str, high: object) -> None:
    """Refuse anything but two finite numbers in order."""
    if not (is_number(low) and is_number(high) and -math.inf < low <= high < math.inf):
        raise RequestError(
            f"{low_name}, {high_name}: got {low!r} and {high!r}, may be finite numbers, {low_name} <= {high_name}."
        )
