"""Finding the best settings of a contestant in a short pass, before the run that counts."""

from collections.abc import Callable, Mapping, Sequence

Value = str | int
Settings = dict[str, Value]


def sweep(axes: Mapping[str, Sequence[Value]], rate: Callable[[Settings], float]) -> Settings:
    """The settings with the highest rate, found one axis after another, each with the best of those before it.

    Args:
        axes: the values to try, by setting. The first value of each is where the search begins.
        rate: measures settings; asked once for each.
    """
    best = {name: values[0] for name, values in axes.items()}
    rates: dict[tuple[Value, ...], float] = {}

    def known(settings: Settings) -> float:
        key = tuple(settings.values())
        if key not in rates:
            rates[key] = rate(settings)
        return rates[key]

    for name, values in axes.items():
        best = max(({**best, name: value} for value in values), key=known)
    return best


def describe(axes: Mapping[str, Sequence[Value]], best: Settings) -> str:
    """What was swept and what won, for a table's note."""
    return "; ".join(
        f"{name} {best[name]}" + (f" of {', '.join(map(str, values))}" if len(values) > 1 else "")
        for name, values in axes.items()
    )
