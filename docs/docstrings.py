"""A docstring of the package as Markdown: its description with formulas, and its source."""

import inspect
import re
import textwrap
from dataclasses import dataclass

_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Reference|Example|Examples|Note):$", re.MULTILINE)
_ROLE = re.compile(r":\w+:`(?:~[\w.]*?(\w+)|([\w.]+))`")

# A table; or indented lines, blank ones between them too; or a paragraph.
_BLOCK = re.compile(r"^===.*\n(?:.+\n?)*|(?:^    .*\n?(?:\n(?=    ))*)+|(?:^(?!    ).+\n?)+", re.MULTILINE)


@dataclass(frozen=True)
class Docstring:
    """What the page takes from one docstring.

    Attributes:
        summary: its first paragraph.
        description: the paragraphs behind it, indented blocks (formulas) and tables among them as code; or "".
        has_formula: whether there is an indented block.
        reference: author, title, year, and where we deviate; "" if it names none.
    """

    summary: str
    description: str
    has_formula: bool
    reference: str


def read_docstring(documented: object) -> Docstring:
    """The docstring of a class or a function.

    Example:
        >>> def halve(x):
        ...     '''Make ``x`` smaller.
        ...
        ...         y = x / 2
        ...
        ...     Reference:
        ...         Euclid: Elements.
        ...     '''
        >>> read_docstring(halve).reference
        'Euclid: Elements.'
        >>> print(read_docstring(halve).description)
        ```text
        y = x / 2
        ```
    """
    body, *sections = _SECTION.split(inspect.getdoc(documented) or "")
    texts = dict(zip(sections[::2], sections[1::2], strict=True))
    blocks = _BLOCK.findall(body)
    summary, *others = (_code(block) if block.startswith(("    ", "===")) else _prose(block) for block in blocks)
    has_formula = any(block.startswith("    ") for block in blocks)
    return Docstring(summary, "\n\n".join(others), has_formula, _prose(inspect.cleandoc(texts.get("Reference", ""))))


def _code(block: str) -> str:
    return f"```text\n{textwrap.dedent(block).rstrip()}\n```"


def _prose(block: str) -> str:
    text = _ROLE.sub(lambda found: f"`{found[1] or found[2]}`", block.strip())
    return text.replace("``", "`")
