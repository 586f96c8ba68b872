import datetime
import subprocess
from pathlib import Path

import pytest
import torch

import tonearm
from tonearm.benchmarks import environment
from tonearm.benchmarks.environment import current_environment, driver_version, package_version, versions


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's first file in a repository of its own, which has one commit."""
    folder = tmp_path / "repository" / "tonearm"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.setattr(tonearm, "__file__", str(folder / "__init__.py"))
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", ".")
    git(folder.parent, "commit", "--quiet", "-m", "first")
    return folder


def test_commit_and_whether_the_tree_has_changes(package: Path) -> None:
    commit = git(package, "rev-parse", "HEAD")
    clean = current_environment()
    assert (clean.commit, clean.dirty) == (commit, False)
    (package / "__init__.py").write_text("changed = True\n")
    assert current_environment().dirty is True


def test_another_projects_repository_is_not_ours(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = package.parent / ".venv" / "site-packages" / "tonearm"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    monkeypatch.setattr(tonearm, "__file__", str(installed / "__init__.py"))
    environment = current_environment()
    assert (environment.commit, environment.dirty) == (None, None)


def test_the_driver_is_what_nvidia_smi_says_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 580.95.05\necho 580.95.05\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert driver_version() == "580.95.05"
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert driver_version() is None
    tool.unlink()
    assert driver_version() is None


def test_a_tool_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environment, "COMMAND_TIMEOUT_SECONDS", 0.2)
    assert driver_version() is None


def test_what_is_not_installed_has_no_version() -> None:
    assert package_version("nvidia-dali-cuda999") is None
    assert versions()["torch"] == torch.__version__


def test_the_machine_is_described() -> None:
    described = current_environment()
    assert described.cores >= 1
    assert described.threads == torch.get_num_threads()
    assert described.memory_bytes is None or described.memory_bytes > 2**28
    assert described.device == described.cpu != ""
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(described.date)
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=1)
