"""The page of all effects is what the docstrings say now, and none is missing. Nothing here needs matplotlib."""

import doctest
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import docs.docstrings
from docs.augmentation_examples import EXAMPLES, FAMILIES, Example
from docs.augmentation_panels import panels
from docs.make_augmentations import (
    NO_COST,
    PAGE,
    PICTURES,
    REPORT,
    ROOT,
    constructor,
    costs,
    descriptions,
    example_of,
    page,
    without_costs,
)
from tonearm.benchmarks.report import BenchmarkReport
from tonearm.errors import RequestError
from tonearm.gpu_augment import Augmentation, Noise
from tonearm.gpu_augment.serialize import known_effects

EFFECTS = known_effects()
TEXT = PAGE.read_text(encoding="utf-8")
MAX_PICTURE_BYTES = 64 << 10


@pytest.fixture(scope="module")
def report() -> BenchmarkReport:
    return BenchmarkReport.model_validate_json(REPORT.read_text())


def test_the_page_is_what_the_docstrings_say_now(report: BenchmarkReport) -> None:
    assert without_costs(TEXT) == without_costs(page(report)), "make docs writes it anew"


def test_every_effect_has_one_section() -> None:
    sections = re.findall(r"^### (\w+)$", TEXT, flags=re.MULTILINE)
    assert sorted(sections) == sorted(effect.__name__ for effect in EFFECTS.values())


def test_the_page_names_every_picture_that_is_there() -> None:
    named = re.findall(r"\]\(augmentations/([^)]+)\)", TEXT)
    assert sorted(named) == sorted(path.name for path in PICTURES.iterdir())
    assert sorted(named) == sorted(f"{name}.png" for name in EFFECTS)


@pytest.mark.parametrize("name", EFFECTS)
def test_a_picture_is_small_and_holds_neither_date_nor_version(name: str) -> None:
    data = (PICTURES / f"{name}.png").read_bytes()
    assert len(data) < MAX_PICTURE_BYTES
    chunks, place = set(), 8  # behind the signature: length, name, data and CRC of each
    while place < len(data):
        chunks.add(data[place + 4 : place + 8])
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    assert chunks == {b"IHDR", b"PLTE", b"IDAT", b"IEND"}


@pytest.mark.parametrize("name", EFFECTS)
def test_what_is_shown_can_be_made_and_differs_from_before(name: str) -> None:
    effect = EFFECTS[name]
    before, *after = panels(effect, example_of(effect), descriptions(effect))
    assert after
    for panel in after:
        assert np.isfinite(panel.data).all()
        assert panel.data.shape != before.data.shape or np.abs(panel.data - before.data).max() > 0.01
    again = panels(effect, example_of(effect), descriptions(effect))[-1]
    np.testing.assert_array_equal(again.data, after[-1].data)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT)
    assert links
    for link in links:
        assert (PAGE.parent / link).exists(), link


def test_an_effect_without_an_entry_is_named(report: BenchmarkReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(EXAMPLES, "Noise")
    with pytest.raises(RequestError, match="Noise has no entry"):
        page(report)


def test_an_entry_without_its_effect_is_named(report: BenchmarkReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXAMPLES, "Nosie", Example())
    with pytest.raises(RequestError, match="there is no effect Nosie"):
        page(report)


def test_a_function_that_is_not_there_is_named(report: BenchmarkReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXAMPLES, "Noise", Example(("add_nosie",)))
    with pytest.raises(RequestError, match="Noise: tonearm.gpu_augment.functional exports no 'add_nosie'"):
        page(report)
    monkeypatch.setitem(EXAMPLES, "Noise", Example(files=("nosie",)))
    with pytest.raises(RequestError, match="Noise: tonearm.gpu_augment.functional has no file 'nosie'"):
        page(report)


def test_a_family_without_a_heading_is_named(report: BenchmarkReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FAMILIES, "noise")
    with pytest.raises(RequestError, match="FAMILIES has no heading for 'noise'"):
        page(report)


def test_costs_go_to_the_effect_and_its_variants(report: BenchmarkReport) -> None:
    measured = next(result for result in report.results if result.role == "own" and result.ratio_to_ceiling)
    named = ["Noise, white", "Noise, pink", "Noisette", "noise, p=1"]
    few = report.model_copy(update={"results": [measured.model_copy(update={"name": name}) for name in named]})
    assert measured.ratio_to_ceiling is not None
    cost = f"{measured.clips_per_second.median:,.0f} clips/s ({measured.ratio_to_ceiling.median:.3g} of a copy)"
    assert costs(few) == {"noise": f"white: {cost}; pink: {cost}; {cost}"}
    text = page(few)
    assert f"Cost: white: {cost}; pink" in text
    assert f"| white: {cost} |" in text
    assert f"Cost: {NO_COST}" in text
    assert without_costs(text) == without_costs(page(report))
    assert "clips/s" not in without_costs(text).replace("what a plain", "")


def test_a_constructor_is_shown_without_types_and_generator() -> None:
    class Long(Augmentation):
        def __init__(
            self,
            p: float = 0.5,
            *,
            one_name_that_is_very_long: tuple[float, float, float] = (1.0, 2.0, 3.0),
            two_name_that_is_very_long: tuple[float, float, float] = (1.0, 2.0, 3.0),
            generator: torch.Generator | None = None,
        ) -> None:
            super().__init__(generator)

    assert constructor(Noise).startswith('Noise(p=0.5, min_snr_db=0.0, max_snr_db=30.0, color="white"')
    assert "generator" not in constructor(Noise)
    assert constructor(Long) == (
        "Long(p=0.5, *, one_name_that_is_very_long=(1.0, 2.0, 3.0),\n    two_name_that_is_very_long=(1.0, 2.0, 3.0))"
    )


def test_the_text_is_made_without_matplotlib() -> None:
    script = (
        "import sys; sys.modules['matplotlib'] = sys.modules['PIL'] = None\n"
        "from docs.make_augmentations import *\n"
        "print(len(page(BenchmarkReport.model_validate_json(REPORT.read_text()))) > 1000)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_docstrings_are_read() -> None:
    assert doctest.testmod(docs.docstrings).failed == 0

    def described() -> None:
        """First
        line of :func:`~a.b.c`.

        Text ``x`` of :class:`D`.

               y = x

            z = y

        More.

        ===  ===
             b
        ===  ===
        a    b
        ===  ===

        Args:
            nothing: at all.

        Reference:
            One: Two, 1900,
            three.

        Example:
            >>> described()
        """

    read = docs.docstrings.read_docstring(described)
    assert read.summary == "First\nline of `c`."
    formula = "```text\n   y = x\n\nz = y\n```"
    table = "```text\n===  ===\n     b\n===  ===\na    b\n===  ===\n```"
    assert read.description == f"Text `x` of `D`.\n\n{formula}\n\nMore.\n\n{table}"
    assert read.has_formula
    assert read.reference == "One: Two, 1900,\nthree."
    assert not docs.docstrings.read_docstring(Path).has_formula
