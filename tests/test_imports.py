"""Which part may know which: dependencies point one way, and light imports stay light."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tonearm

PACKAGE = Path(tonearm.__file__).parent
GROUND = {"errors", "seeding", "batch", "config", "seed_config", "strict_model", "strict_yaml", "recipes"}
ALLOWED = {
    "dataio": GROUND | {"dataio"},
    "gpu_augment": {"errors", "seeding", "batch", "gpu_augment"},
    "models": GROUND | {"gpu_augment", "models"},
    "training": GROUND | {"dataio", "gpu_augment", "models", "training"},
}


def imported(path: Path) -> set[str]:
    """The parts of tonearm that a file imports, wherever in the file it does."""
    parts = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        parts |= {name.split(".")[1] for name in names if name.startswith("tonearm.")}
    return {part for part in parts if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()}


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_dependencies_point_one_way(part: str) -> None:
    for path in (PACKAGE / part).rglob("*.py"):
        assert imported(path) <= ALLOWED[part], path


def test_only_one_module_imports_dali() -> None:
    lines = {path.name: path.read_text().splitlines() for path in PACKAGE.rglob("*.py")}
    users = [name for name, text in lines.items() if any(re.match("(from|import) nvidia", line) for line in text)]
    assert users == ["decode_dali.py"]


@pytest.mark.parametrize(
    ("module", "kept_out"),
    [
        ("tonearm", {"torch", "nvidia", "h5py"}),
        ("tonearm.cli", {"torch", "nvidia", "h5py", "numpy"}),
        ("tonearm.dataio.pack", {"torch", "nvidia"}),
        ("tonearm.config", {"torch", "nvidia"}),
        ("tonearm.training.loop", {"nvidia", "torchaudio"}),
    ],
)
def test_light_imports_stay_light(module: str, kept_out: set[str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert kept_out.isdisjoint(loaded)


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "tonearm", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"tonearm {tonearm.__version__}\n"
