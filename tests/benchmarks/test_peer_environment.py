import sys
from pathlib import Path

import pytest

from tonearm.benchmarks import peer_environment
from tonearm.benchmarks.peer_environment import AUGMENTATION, LOADING, OVERRIDE, environment_folder, peers_python
from tonearm.errors import RequestError, RunError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and requirements that need no download."""
    requirements = tmp_path / "peers" / "requirements.txt"
    requirements.parent.mkdir()
    requirements.write_text("# nothing\n")
    monkeypatch.setattr(peer_environment, "PEERS_FOLDER", requirements.parent)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(OVERRIDE, raising=False)
    return tmp_path / "cache"


def test_the_environment_is_made_once_and_runs(cache: Path) -> None:
    told: list[str] = []
    python = peers_python(announce=told.append)
    assert python == environment_folder() / "bin" / "python"
    made = python.lstat().st_mtime_ns
    assert peers_python(announce=told.append) == python
    assert python.lstat().st_mtime_ns == made
    assert len(told) == 1
    assert [path.name for path in (cache / "tonearm").iterdir()] == [environment_folder().name]
    peer_environment._run([python, "-c", "import sys; sys.exit(sys.prefix == sys.base_prefix)"])


def test_other_requirements_get_another_environment(cache: Path) -> None:
    before = environment_folder()
    (peer_environment.PEERS_FOLDER / "requirements.txt").write_text("numpy\n")
    assert environment_folder() != before
    assert before.parent == environment_folder().parent == cache / "tonearm"


def test_other_peers_have_an_environment_of_their_own(cache: Path) -> None:
    (peer_environment.PEERS_FOLDER / AUGMENTATION).write_text("# nothing else\n")
    python = peers_python(AUGMENTATION)
    assert python == environment_folder(AUGMENTATION) / "bin" / "python"
    assert python.exists()
    assert not environment_folder().exists()


def test_a_failed_installation_leaves_nothing_and_says_why(cache: Path) -> None:
    (peer_environment.PEERS_FOLDER / "requirements.txt").write_text("./not-there.whl\n")
    with pytest.raises(RunError, match=r"could not be made: .*-m pip install[\s\S]*not-there") as caught:
        peers_python()
    assert OVERRIDE in str(caught.value)
    assert list((cache / "tonearm").iterdir()) == []


def test_an_interpreter_can_be_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDE, sys.executable)
    assert peers_python() == Path(sys.executable)
    assert not cache.exists()
    monkeypatch.setenv(OVERRIDE, "/no/such/python")
    with pytest.raises(RequestError, match=r"TONEARM_PEERS_PYTHON is '/no/such/python', but there is no such file"):
        peers_python()


@pytest.mark.parametrize(
    ("requirements", "needed"),
    [
        (LOADING, {"torch", "numpy", "soundfile", "h5py", "webdataset", "litdata", "spdl-io"}),
        (AUGMENTATION, {"torch", "torchaudio", "numpy", "audiomentations", "torch-audiomentations"}),
    ],
)
def test_the_peers_are_pinned_within_the_projects_own_range_of_torch(requirements: str, needed: set[str]) -> None:
    lines = (Path(peer_environment.__file__).parent / "peers" / requirements).read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert needed <= pins.keys()
    assert (2, 11) <= tuple(map(int, pins["torch"].split(".")[:2])) < (2, 15)
