"""What the README promises: its snippets run as they stand, its links lead somewhere."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.dataio.recordings import sound, write

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_library_snippets_run_as_a_script(tmp_path: Path) -> None:
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for number in range(40):
        name = f"{number % 5 + 1}-{number}-A-{number % 2}.wav"
        write(tmp_path / "ESC-50-master" / "audio" / name, sound(44_100 * 2, seed=number), rate=44_100)
        rows.append(f"{name},{number % 5 + 1},{number % 2},{'dog' if number % 2 else 'rain'},False,{number},A")
    (tmp_path / "ESC-50-master" / "meta").mkdir()
    (tmp_path / "ESC-50-master" / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    for number in range(2):
        write(tmp_path / "street" / f"{number}.wav", sound(44_100, seed=number), rate=44_100)
    loading, modelling, *augmenting = SNIPPETS
    assert len(augmenting) == 3
    batch = "import torch\nwaveform, response = batch.waveform, torch.tensor([1.0, 0.5])\n"
    script = tmp_path / "script.py"
    script.write_text(f"{loading}{modelling}{batch}{''.join(augmenting)}print(len(dataset), augment(waveform).shape)\n")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "32 torch.Size([32, 1, 176400])\n"


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    for link in links:
        assert "://" in link or (ROOT / link).exists(), link
    assert links or page != "README.md"


def test_the_peers_extra_names_what_their_environments_have() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["peers"]
    files = (ROOT / "tonearm" / "benchmarks" / "peers").glob("*requirements.txt")
    pins = [line for file in files for line in file.read_text().splitlines()]
    names = {re.split(r"[=<>]", line)[0] for line in pins if line and not line.startswith("#")}
    assert {re.split(r"[=<>]", requirement)[0] for requirement in extra} == names
