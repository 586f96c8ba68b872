"""The command line as a user meets it: what it prints, how it leaves, and that no request ends in a traceback."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.dataio.recordings import folder_of, write
from tonearm.cli import main

CONFIG = """
features: {n_fft: 256, win_length: 256, hop_length: 128, n_mels: 16}
augmentation: {waveform: [{noise: {p: 0.5}}]}
train: {epochs: 2, batch_size: 4, lr: 1e-2}
model: {blocks: [{res: [4, 4]}, {pooling: {mode: avg}}]}
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tonearm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command in this process; returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tonearm", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def packed(tmp_path: Path, tonearm: Run) -> Path:
    folder_of(tmp_path / "in", clips=20, classes=2)
    assert tonearm("pack", "folder", tmp_path / "in", tmp_path / "out", "--workers", 1)[0] == 0
    return tmp_path / "out"


def one_paragraph(err: str) -> str:
    lines = [line for line in err.splitlines() if line.startswith("tonearm: ")]
    assert len(lines) == 1
    assert "Traceback" not in err
    return lines[0]


def test_from_recordings_to_a_score(tmp_path: Path, tonearm: Run) -> None:
    folder_of(tmp_path / "in", clips=20, classes=2)
    (tmp_path / "in" / "class0" / "broken.wav").write_bytes(b"RIFF")
    code, out, err = tonearm("pack", "folder", "in", "out")
    assert code == 0
    assert "20 clips in 1 shard," in out
    assert "1 clip could not be read and left out, the first class0/broken.wav" in err
    code, out, _ = tonearm("inspect", "out")
    assert code == 0
    assert "in: 20 clips" in out
    assert "rejected 1" in out
    assert tonearm("verify", "out")[0] == 0
    (tmp_path / "c.yaml").write_text(CONFIG)
    code, out, _ = tonearm("train", "out", "train.lr=0.005", "--config", "c.yaml", "--run", "run", "--device", "cpu")
    assert code == 0
    lines = out.splitlines()
    assert "a random tenth of the recordings, seed 0" in lines[0]
    assert lines[1].startswith("epoch   1/2  loss ")
    assert lines[-1].startswith("limited by ")
    assert "lr: 0.005" in (tmp_path / "run" / "config.yaml").read_text()
    code, out, _ = tonearm("evaluate", "run", "out", "--device", "cpu", "--json")
    assert code == 0
    assert json.loads(out)["num_clips"] == 2
    code, out, _ = tonearm("train", "out", "--resume", "run", "--device", "cpu", "--json")
    assert code == 0
    assert json.loads(out)["epochs"] == 2


def test_json_is_one_document(packed: Path, tonearm: Run) -> None:
    for words in (("inspect", packed, "--json"), ("verify", packed, "--json"), ("doctor", "--json")):
        code, out, _ = tonearm(*words)
        assert code == 0
        assert json.loads(out)


WRONG_REQUESTS = [
    (("pack", "esc5", "in", "x"), "unknown layout 'esc5'; there are esc10, esc50, folder, csv"),
    (("pack", "folder", "nowhere", "x"), "nowhere: no such folder"),
    (("pack", "esc50", "nowhere", "x"), "nowhere: no such folder"),
    (("pack", "csv", "nowhere.csv", "x"), "nowhere.csv: no such file"),
    (("pack", "folder", "in", "x", "--codec", "mp3"), "unknown codec 'mp3'; there are pcm16, flac, source"),
    (("pack", "folder", "in", "out", "--codec", "flac"), "holds shards of another pack"),
    (("inspect", "nowhere"), "nowhere: no such folder"),
    (("verify", "in"), "not a packed dataset"),
    (("train", "nowhere", "--config", "esc10"), "nowhere: no such folder"),
    (("train", "out", "--config", "nowhere.yaml"), "nowhere.yaml: no such file"),
    (("train", "out"), "train needs --config FILE"),
    (("train", "out", "--resume", "run", "--fold", "2"), "no --config, --fold, --run or key=value beside it"),
    (("train", "in", "--config", "esc10"), "not a packed dataset"),
    (("evaluate", "out", "out"), "Are the arguments swapped?"),
    (("pack", "folder", "in", "in"), "holds other files, 'class0' for one"),
    (("train", "out", "--config", "esc10"), "sample_rate is 44100 in the configuration, but"),
    (("train", "out", "--config", "esc10", "sample_rate=8000", "--fold", "3"), "no fold 3; its clips have no fold"),
    (("train", "out", "--config", "esc10", "train.epoch=3"), "Did you mean 'epochs'"),
    (("train", "out", "--config", "esc10", "train.epochs=many"), "train.epochs: got 'many'"),
    (("train", "out", "--config", "esc10", "--device", "tpu"), "--device tpu"),
    (("train", "out", "--config", "esc10", "--seed-dialect", "de"), "it may be en or ru"),
    (("train", "out", "--resume", "nowhere"), "no last.pt in it"),
    (("evaluate", "nowhere", "out"), "no last.pt in it"),
    (("config", "show", "nowhere.yaml"), "nowhere.yaml: no such file"),
    (("bench", "report", "nowhere.json"), "nowhere.json: cannot be read"),
    (("demo", "--out", "in"), "is not an earlier demo's"),
]


@pytest.mark.parametrize(("words", "message"), WRONG_REQUESTS)
def test_a_wrong_request_is_one_paragraph_and_exit_2(
    packed: Path, tonearm: Run, words: tuple[str, ...], message: str
) -> None:
    code, _, err = tonearm(*words)
    assert message in one_paragraph(err)
    assert code == 2


def test_unknown_options_and_commands_exit_2(tonearm: Run) -> None:
    assert tonearm("pack", "--nonsense")[0] == 2
    assert tonearm("polish")[0] == 2


def test_failures_are_one_paragraph_and_exit_1(packed: Path, tonearm: Run, tmp_path: Path) -> None:
    index = packed / "index.json"
    text = index.read_text()
    index.write_text(text.replace('"format_version": 1', '"format_version": 9'))
    code, _, err = tonearm("inspect", packed)
    assert code == 1
    assert "shard format 9, but this tonearm reads format 1. Pack the dataset again" in one_paragraph(err)
    index.write_text(text)
    (tmp_path / "junk" / "a").mkdir(parents=True)
    (tmp_path / "junk" / "a" / "b.wav").write_bytes(b"junk")
    code, _, err = tonearm("pack", "folder", "junk", "x")
    assert code == 1
    assert "none of the 1 clips can be read" in one_paragraph(err)
    shard = packed / "shard-00000.h5"
    data = bytearray(shard.read_bytes())
    data[8192] ^= 1
    shard.write_bytes(data)
    code, out, err = tonearm("verify", packed)
    assert code == 1
    assert "its bytes do not match their CRC-32" in out
    assert " found. Delete the shards named" in one_paragraph(err)


def test_debug_shows_the_traceback(tonearm: Run) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        tonearm("--debug", "inspect", "nowhere")


def test_config_show_and_translate(tonearm: Run, tmp_path: Path) -> None:
    code, out, _ = tonearm("config", "show", "esc10", "train.lr=1e-4")
    assert code == 0
    assert "lr: 0.0001" in out
    english = tonearm("config", "translate", Path(__file__).parent.parent / "configs" / "seed-readme.yaml")
    russian = tonearm(
        "config", "translate", Path(__file__).parent.parent / "configs" / "seed-readme.yaml", "--seed-dialect", "ru"
    )
    assert english[0] == russian[0] == 0
    assert english[1] != russian[1]
    assert "note: " in english[2]
    (tmp_path / "ours.yaml").write_text(english[1])
    assert tonearm("config", "show", "ours.yaml")[1] == english[1]


def test_leaks_between_folds_are_said(tmp_path: Path, tonearm: Run) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.wav", np.ones((900, 1), np.int16))
    rows = "".join(f"{number}.wav,x{number % 2},{number},same\n" for number in range(4))
    (tmp_path / "clips.csv").write_text("path,label,fold,group\n" + rows)
    code, _, err = tonearm("pack", "csv", "clips.csv", "out")
    assert code == 0
    assert "clips of one recording stand in different folds or splits, for example 'same'" in err


def test_help_of_every_command_is_short_and_there() -> None:
    for words in ([], ["pack"], ["train"], ["bench"], ["bench", "loader"], ["config"], ["doctor"], ["demo"]):
        done = subprocess.run(
            [sys.executable, "-m", "tonearm", *words, "--help"], check=True, capture_output=True, text=True
        )
        assert "Usage: tonearm" in done.stdout


def test_ctrl_c_says_how_to_go_on(packed: Path, tonearm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr("tonearm.dataio.verify.inspect_dataset", interrupt)
    code, _, err = tonearm("inspect", packed)
    assert code == 1
    assert "interrupted. What was written is whole" in one_paragraph(err)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_nobody_foresaw_is_a_paragraph_too(packed: Path, tonearm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("tonearm.dataio.verify.inspect_dataset", fail)
    code, _, err = tonearm("inspect", packed)
    assert code == 1
    assert "failed, MemoryError: no more is known. --debug shows where." in one_paragraph(err)
