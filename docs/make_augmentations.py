"""Writes docs/augmentations.md and its pictures: every effect, told by its own docstrings. `make docs` runs it."""

import importlib.util
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from docs.augmentation_examples import EXAMPLES, FAMILIES, Example
from docs.docstrings import read_docstring
from tonearm.benchmarks.harness import Role
from tonearm.benchmarks.report import BenchmarkReport
from tonearm.benchmarks.table import conditions
from tonearm.errors import RequestError
from tonearm.gpu_augment import Augmentation, functional
from tonearm.gpu_augment.serialize import known_effects, name_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "augmentations.md"
PICTURES = ROOT / "docs" / "augmentations"
REPORT = ROOT / "docs" / "benchmarks" / "augment.json"
NO_COST = "–"
CODE_COLUMNS = 100
COST = """\
Cost: at p = 1; of a copy: of what a plain copy of the batch reaches ([the table](benchmarks/augment.md)). {}
"""

HEAD = """\
# Augmentations

Every effect of `tonearm.gpu_augment`: what it does, its formula and its source, a sound before and after it, and its
cost. For how to call one, see the [README](../README.md#as-a-library); for what holds for all of them, the
[contract](design/augmentation-contract.md). `help(Noise)` explains an effect's arguments; the functions take
parameters as tensors, one value a clip. `make docs` writes this page from the docstrings: change them, not it.

In a configuration an effect is its name with its arguments, as below each picture; `sample_rate` is filled in there.
(BackgroundNoise and BankReverb need a bank from code, `from_dict(…, banks=…)`; a configuration cannot name them.)
The settings are chosen to be seen, not to train with. The sounds are made up, 2 s at 16 kHz, and 0 dB is the loudest
cell before the effect.
"""


def main() -> None:
    """Write all of it, and say what the docstrings lack."""
    from docs.augmentation_pictures import save_picture  # not above: the text is made without matplotlib

    PAGE.write_text(page(BenchmarkReport.model_validate_json(REPORT.read_text())), encoding="utf-8")
    PICTURES.mkdir(exist_ok=True)
    for old in PICTURES.glob("*.png"):
        old.unlink()
    for name, effect in known_effects().items():
        save_picture(effect, example_of(effect), descriptions(effect), PICTURES / f"{name}.png")
        texts = [read_docstring(one) for one in (effect, *documents_of(effect).values())]
        if family_of(effect) != "compose" and not any(text.has_formula for text in texts):
            sys.stderr.write(f"{effect.__name__}: its docstring and its functions' have no formula\n")
        if family_of(effect) != "compose" and not any(text.reference for text in texts):
            sys.stderr.write(f"{effect.__name__}: its docstring and its functions' name no source\n")


def page(report: BenchmarkReport) -> str:
    """The page, with the costs of a report of `tonearm bench augment`.

    Raises:
        RequestError: an effect without an entry in docs/augmentation_examples.py, or an entry without its effect.
    """
    effects = known_effects()
    gone = EXAMPLES.keys() - {effect.__name__ for effect in effects.values()}
    if gone:
        raise RequestError(f"docs/augmentation_examples.py: there is no effect {' or '.join(sorted(gone))}.")
    for effect in effects.values():
        if family_of(effect) not in FAMILIES:
            raise RequestError(f"docs/augmentation_examples.py: FAMILIES has no heading for {family_of(effect)!r}.")
    cost = costs(report)
    table = ["| family | effect | what it does | cost |", "|---|---|---|---|"]
    sections = []
    for family, heading in FAMILIES.items():
        members = {name: effect for name, effect in effects.items() if family_of(effect) == family}
        members = dict(sorted(members.items(), key=lambda member: inspect.getsourcelines(member[1])[1]))
        if members:
            sections.append(f"## {heading}\n")
        for number, (name, effect) in enumerate(members.items()):
            title = effect.__name__
            summary = " ".join(read_docstring(effect).summary.split()).replace("|", r"\|")
            first_cost = cost.get(name, NO_COST).split("; ")[0]
            table.append(f"| {'' if number else heading} | [{title}](#{title.lower()}) | {summary} | {first_cost} |")
            sections.append(section(name, effect, cost.get(name, NO_COST)))
    return "\n".join([HEAD, COST.format(conditions(report)), *table, "", *sections])


def family_of(effect: type[Augmentation]) -> str:
    """The file in which it stands."""
    return effect.__module__.rpartition(".")[2]


def example_of(effect: type[Augmentation]) -> Example:
    """Its entry.

    Raises:
        RequestError: it has none.
    """
    if effect.__name__ not in EXAMPLES:
        raise RequestError(
            f"docs/augmentation_examples.py: {effect.__name__} has no entry. Add the functions that it documents and "
            f"settings that show it, and run make docs."
        )
    return EXAMPLES[effect.__name__]


def documents_of(effect: type[Augmentation]) -> dict[str, Callable[..., Any] | ModuleType]:
    """The functions and then the files that belong to an effect, by their names.

    Raises:
        RequestError: tonearm.gpu_augment.functional has no such function or file.
    """
    example, package = example_of(effect), functional.__name__
    found: dict[str, Callable[..., Any] | ModuleType] = {}
    for name in example.functions:
        if name not in functional.__all__:
            raise RequestError(f"docs/augmentation_examples.py: {effect.__name__}: {package} exports no {name!r}.")
        found[name] = getattr(functional, name)
    for file in example.files:
        if importlib.util.find_spec(f"{package}.{file}") is None:
            raise RequestError(f"docs/augmentation_examples.py: {effect.__name__}: {package} has no file {file!r}.")
        found[f"{file}.py"] = importlib.import_module(f"{package}.{file}")
    return found


def section(name: str, effect: type[Augmentation], cost: str) -> str:
    """What the page says about one effect."""
    title, own = effect.__name__, read_docstring(effect)
    lines = [f"### {title}\n", f"{own.summary}\n"]
    documents = documents_of(effect)
    below = "|".join(name for name in documents if not name.endswith(".py"))
    description = re.sub(rf"\s*\bSee\s+`({below})`\.", "", own.description)
    if description:
        lines.append(f"{description}\n")
    lines.append(f"```python\n{constructor(effect)}\n```\n")
    lines.append(f"![{title}: before and after](augmentations/{name}.png)\n")
    lines += ["```yaml", *map(as_yaml, descriptions(effect)), "```\n"]
    references = [own.reference]
    for document, documented in documents.items():
        text, file = read_docstring(documented), _file_of(documented)
        lines.append(f"[`{document}`](../{file}): {text.summary}\n")
        if text.description:
            lines.append(f"{text.description}\n")
        references.append(text.reference)
    lines += [f"Source: {source}\n" for source in _without_repeats(references)]
    lines.append(f"Cost: {cost}\n")
    return "\n".join(lines)


def _without_repeats(references: Sequence[str]) -> list[str]:
    """Those that are there, but for such as another one begins with."""
    found = [reference for reference in dict.fromkeys(references) if reference]
    return [one for one in found if not any(other != one and other.startswith(one.rstrip(".")) for other in found)]


def _file_of(documented: Callable[..., Any] | ModuleType) -> str:
    """Its path in the repository."""
    module = documented if isinstance(documented, ModuleType) else sys.modules[documented.__module__]
    return f"{module.__name__.replace('.', '/')}.py"


def constructor(effect: type[Augmentation]) -> str:
    """How it is made: its arguments with their defaults, but for the generator."""
    signature = inspect.signature(effect)
    plain = [
        parameter.replace(annotation=parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "generator"
    ]
    text = f"{effect.__name__}{signature.replace(parameters=plain, return_annotation=signature.empty)}"
    # Wrapped between arguments, so no blank within one may count: those that stand before no name or star.
    words = re.sub(r" (?![a-z*])", "\0", text.replace("'", '"'))
    wrapped = textwrap.fill(words, CODE_COLUMNS, subsequent_indent="    ", break_long_words=False)
    return wrapped.replace("\0", " ")


def descriptions(effect: type[Augmentation]) -> list[dict[str, Any]]:
    """The effect as its example has it, one for each variant, as plain data."""
    example = example_of(effect)
    always = {"p": 1.0} if "p" in inspect.signature(effect).parameters else {}
    variants: Mapping[str, Mapping[str, Any]] = example.variants or {"": {}}
    return [{name_of(effect): {**always, **example.settings, **own}} for own in variants.values()]


def as_yaml(description: Mapping[str, Any]) -> str:
    """A list item of a configuration: an effect on one line, the members of a composition on one each."""
    ((name, arguments),) = description.items()
    if "effects" not in arguments:
        return f"- {name}: {_on_a_line(arguments)}"
    lines = [f"- {name}:", *(f"    {key}: {_on_a_line(value)}" for key, value in arguments.items() if key != "effects")]
    members = (f"    {as_yaml(member)}" for member in arguments["effects"])
    return "\n".join([*lines, "    effects:", *members])


def _on_a_line(value: object) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


def costs(report: BenchmarkReport) -> dict[str, str]:
    """What each effect costs, by its name, from a report of `tonearm bench augment`.

    A result belongs to an effect when it is called like its class, or like its class, a comma and a variant.
    """
    found: dict[str, list[str]] = {}
    for name, effect in known_effects().items():
        for result in report.results:
            first, _, variant = result.name.removesuffix(", p=1").partition(", ")
            if result.role == Role.OWN and first in (name, effect.__name__):
                ratio = result.ratio_to_ceiling
                share = NO_COST if ratio is None else f"{ratio.median:.3g}"
                cost = f"{result.clips_per_second.median:,.0f} clips/s ({share} of a copy)"
                found.setdefault(name, []).append(f"{variant}: {cost}" if variant else cost)
    return {name: "; ".join(rows) for name, rows in found.items()}


def without_costs(text: str) -> str:
    """The page, but for what was measured."""
    text = re.sub(r"^(Cost\b).*$", r"\1", text, flags=re.MULTILINE)
    return re.sub(r"\| [^|]* \|$", "| |", text, flags=re.MULTILINE)


if __name__ == "__main__":
    main()
