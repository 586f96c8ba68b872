"""Classes that a table numbers, row by row: one name a number, one number a name, from 0 without a gap."""

from pathlib import Path

from tonearm.dataio.datasets.tables import integer
from tonearm.errors import ManifestError


class NumberedClasses:
    """Collects the classes of ``path``, where each row gives a number and a name; see :meth:`add`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._name_of: dict[int, str] = {}
        self._number_of: dict[str, int] = {}

    def add(self, text: str, name: str, *, column: str, line: int) -> int:
        """Note that the row at ``line`` calls the class whose number is ``text`` by ``name``; returns the number.

        Raises:
            ManifestError: not a number, or a number or name that stood with another one further up.
        """
        number = integer(text, column=column, path=self._path, line=line, low=0)
        known = self._name_of.setdefault(number, name)
        if known != name:
            raise ManifestError(
                f"{self._path}, line {line}: {column} {number} is {name!r}, but was {known!r} further up."
            )
        if self._number_of.setdefault(name, number) != number:
            raise ManifestError(
                f"{self._path}, line {line}: {name!r} has {column} {number}, but {self._number_of[name]} further up."
            )
        return number

    def names(self) -> tuple[str, ...]:
        """The names in the order of their numbers.

        Raises:
            ManifestError: a number is missing.
        """
        numbers = sorted(self._name_of)
        gap = next((place for place, number in enumerate(numbers) if place != number), None)
        if gap is not None:
            raise ManifestError(
                f"{self._path}: classes must be numbered 0, 1, 2 … without a gap, but there is no class {gap} "
                f"({len(numbers)} classes up to {numbers[-1]}). Is the table whole?"
            )
        return tuple(self._name_of[number] for number in numbers)
