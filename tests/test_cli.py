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
from tonearm.commands.output import Pace

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
    assert "1 clip was left out: it cannot be read. class0/broken.wav: " in err
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
    (packed.parent / "table.csv").write_text("clip_id,fold\nclass0/clip00.wav,1\n")
    for words in (
        ("inspect", packed, "--json"),
        ("inspect", packed, "--clips", "--json"),
        ("verify", packed, "--json"),
        ("doctor", "--json"),
        ("pack", "folder", "in", "other", "--json"),
        ("pack", "folder", "in", "x", "--dry-run", "--json"),
        ("append", "folder", "in", packed, "--json"),
        ("relabel", packed, "table.csv", "--json"),
        ("unpack", packed, "files", "--json"),
    ):
        code, out, _ = tonearm(*words)
        assert code == 0
        assert json.loads(out)


WRONG_REQUESTS = [
    (("pack", "esc5", "in", "x"), "unknown layout 'esc5'; there are "),
    (("pack", "folder", "nowhere", "x"), "nowhere: no such folder"),
    (("pack", "esc50", "nowhere", "x"), "nowhere: no such folder"),
    (("pack", "csv", "nowhere.csv", "x"), "nowhere.csv: no such file"),
    (("pack", "folder", "in", "x", "--codec", "mp3"), "unknown codec 'mp3'; there are pcm16, flac, source"),
    (("pack", "folder", "in", "out", "--codec", "flac"), "holds shards of another pack"),
    (
        ("pack", "folder", "in", "x", "--dry-run", "--codec", "mp3"),
        "unknown codec 'mp3'; there are pcm16, flac, source",
    ),
    (("pack", "folder", "nowhere", "x", "--dry-run"), "nowhere: no such folder"),
    (
        ("pack", "folder", "in", "x", "--dry-run", "--codec", "source", "--sample-rate", "16000"),
        "source keeps the files'",
    ),
    (("append", "folder", "in", "nowhere"), "nowhere: no such folder"),
    (("append", "folder", "in", "in"), "not a packed dataset"),
    (("append", "esc5", "in", "out"), "unknown layout 'esc5'; there are "),
    (("append", "folder", "in", "out", "--on-error", "ignore"), "it may be quarantine or fail"),
    (("relabel", "nowhere", "table.csv"), "table.csv: no such file"),
    (("relabel", "out", "in"), "in: a folder; name the CSV file"),
    (("unpack", "nowhere", "x"), "nowhere: no such folder"),
    (("unpack", "out", "in"), "in is not empty, it holds 'class"),
    (("unpack", "out", "x", "--format", "mp3"), "(--format) is 'mp3'; it may be wav or flac"),
    (("inspect", "nowhere"), "nowhere: no such folder"),
    (("inspect", "nowhere", "--clips"), "nowhere: no such folder"),
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
    assert "its only clip cannot be read, a/b.wav: " in one_paragraph(err)
    shard = packed / "shard-00000.h5"
    data = bytearray(shard.read_bytes())
    data[8192] ^= 1
    shard.write_bytes(data)
    code, out, err = tonearm("verify", packed)
    assert code == 1
    assert "its bytes do not match their CRC-32" in out
    assert " found. Run the `tonearm pack` or `append` that wrote the shards named again" in one_paragraph(err)
    code, out, _ = tonearm("pack", "folder", "in", packed)
    assert code == 0
    assert "1 missing or damaged shard packed again: shard-00000.h5" in out
    assert tonearm("verify", packed)[0] == 0


def test_a_dry_run_says_what_a_pack_would_take(tmp_path: Path, tonearm: Run) -> None:
    folder_of(tmp_path / "in", clips=20, classes=2)
    write(tmp_path / "in" / "class0" / "stereo.wav", np.ones((900, 2), np.int16))
    (tmp_path / "in" / "class0" / "broken.wav").write_bytes(b"RIFF")
    code, out, err = tonearm("pack", "folder", "in", "deep/er/out", "--dry-run", "--workers", 2)
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "21 clips, 0.00 h, 8000 Hz, 1 channel, 2 workers"
    assert lines[1] == "  pcm16   0.2 MB, about 1 s"
    assert lines[2] == "  flac    about 0.2 MB, about 1 s"
    assert lines[3].startswith("  source  not possible: codec source keeps the files' own bytes")
    assert lines[4] == "  times, and the size of flac, from 21 clips encoded on this machine"
    assert lines[5].startswith("  deep/er/out has ")
    assert lines[5].endswith("GB free; nothing was written")
    assert "note: class0/broken.wav cannot be read: not readable as audio" in err
    code, out, _ = tonearm("pack", "folder", "in", "out", "--dry-run", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["codecs"]["pcm16"]["exact"]
    assert found["codecs"]["source"]["num_bytes"] is None
    assert found["rejects"][0]["clip_id"] == "class0/broken.wav"
    assert found["free_bytes"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_append_says_what_is_new_and_what_was_there(packed: Path, tonearm: Run, tmp_path: Path) -> None:
    code, out, _ = tonearm("append", "folder", "in", packed)
    assert code == 0
    assert out.splitlines() == [
        f"nothing to append, so nothing was changed: {packed}",
        "20 clips of in were there already",
    ]
    write(tmp_path / "in" / "class9" / "new.wav", np.ones((900, 1), np.int16))
    (tmp_path / "in" / "class9" / "broken.wav").write_bytes(b"RIFF")
    code, out, err = tonearm("append", "folder", "in", packed)
    assert code == 0
    assert out.splitlines() == [
        f"1 new clip in 1 new shard, 0.0 MB: {packed}", "20 clips of in were there already", "1 new class: class9",
    ]  # fmt: skip
    assert "appending 1/1 clips" in err
    assert "1 clip was left out: it cannot be read. class9/broken.wav: " in err
    assert "rejects.csv" in err
    tonearm("relabel", packed, table(tmp_path, "clip_id,fold", "class9/new.wav,3"))
    code, out, err = tonearm("append", "folder", "in", packed)
    assert code == 0
    assert "in says something else of clips that were there already: folds of 1 clip. They stay as they are" in err
    code, out, _ = tonearm("inspect", packed)
    assert "  shards   2 of 2 packs, " in out
    assert "relabelled" in out
    code, out, err = tonearm("append", "folder", "in", packed, "--on-error", "fail")
    assert code == 1
    assert "1 clip(s) cannot be read: class9/broken.wav" in one_paragraph(err)


def test_a_lost_shard_of_an_append_is_told_from_one_of_the_pack(packed: Path, tonearm: Run, tmp_path: Path) -> None:
    folder_of(tmp_path / "more" / "later", clips=3, classes=1)
    assert tonearm("append", "folder", "more", packed)[0] == 0
    (packed / "shard-00001.h5").unlink()
    code, _, err = tonearm("pack", "folder", "in", packed)
    assert code == 1
    assert "missing or damaged: shard-00001.h5, which came with a later append. Run the" in one_paragraph(err)
    code, out, _ = tonearm("append", "folder", "more", packed)
    assert code == 0
    assert out.splitlines() == [
        f"nothing to append: {packed}", "3 clips of more were there already",
        "1 missing or damaged shard packed again: shard-00001.h5",
    ]  # fmt: skip
    assert tonearm("verify", packed)[0] == 0
    code, out, _ = tonearm("pack", "folder", "in", packed)
    assert (code, out.split(",")[1]) == (0, " 2 of them kept from before")


def test_several_clips_left_out_are_spoken_of_as_several(tmp_path: Path, tonearm: Run) -> None:
    folder_of(tmp_path / "in", clips=4, classes=2)
    for name in ("a", "b"):
        (tmp_path / "in" / "class0" / f"{name}.wav").write_bytes(b"RIFF")
    code, _, err = tonearm("pack", "folder", "in", "out")
    assert code == 0
    assert "2 clips were left out: they cannot be read. The first, class0/a.wav: " in err
    assert "; all are in out/rejects.csv." in err


def test_a_file_is_no_folder_to_write_to(packed: Path, tmp_path: Path, tonearm: Run) -> None:
    (tmp_path / "afile").write_text("years of work")
    for words in (("pack", "folder", "in", "afile"), ("unpack", packed, "afile")):
        code, _, err = tonearm(*words)
        assert code == 2
        assert "afile: a file, not a folder. Give a folder for the" in one_paragraph(err)


def test_unpack_names_ten_damaged_clips_and_counts_the_others(packed: Path, tonearm: Run) -> None:
    (packed / "shard-00000.h5").unlink()
    code, out, err = tonearm("unpack", packed, "files")
    assert code == 1
    lines = out.splitlines()
    assert len(lines) == 12
    assert all("shard-00000.h5, clip 'class" in line for line in lines[:10])
    assert lines[10] == "… and 10 more"
    assert "20 clips could not be unpacked" in one_paragraph(err)
    code, out, _ = tonearm("unpack", packed, "files2", "--json")
    assert len(json.loads(out)["problems"]) == 20


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_clips_as_a_table_go_round(packed: Path, tonearm: Run, tmp_path: Path) -> None:
    code, out, _ = tonearm("inspect", packed, "--clips")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "clip_id,labels,fold,split,group,subset,seconds,peak,rms,num_clipped"
    assert lines[1].startswith("class0/clip00.wav,class0,,,,,0.5,0.6")
    assert len(lines) == 21
    code, out, _ = tonearm("relabel", packed, table(tmp_path, *lines))
    assert code == 0
    assert out == f"nothing to change: {packed} says the same of the 20 clips in {tmp_path / 'table.csv'}\n"
    lines[1] = 'class0/clip00.wav,"class1,purr",2,val,g,noisy'
    lines[2] = "class0/clip02.wav,class0,1,,g,"
    code, out, err = tonearm("relabel", packed, table(tmp_path, *lines[:1], *(line + "," * 4 for line in lines[1:3])))
    assert code == 0
    assert out.splitlines() == [
        "changed the labels of 1 clip, folds of 2 clips, splits of 1 clip, groups of 2 clips, subsets of 1 clip: "
        f"{packed}",
        "1 new class: purr",
    ]
    assert "clips of one recording stand in different folds or splits, for example 'g'" in err
    code, out, _ = tonearm("inspect", packed)
    assert "  labels   1.05 a clip, 2 at most" in out
    assert "  subsets  noisy (1)" in out
    assert "  leaks    1 recording in more than one fold or split" in out
    assert "  folds    1 (1), 2 (1)" in out
    code, _, err = tonearm("relabel", packed, table(tmp_path, "clip_id,fold", "nobody,1"))
    assert code == 2
    assert "has no clip 'nobody'" in one_paragraph(err)


def test_a_reader_of_the_clips_may_leave_early(tmp_path: Path, tonearm: Run) -> None:
    write(tmp_path / "a.wav", np.ones((9, 1), np.int16))
    table(tmp_path, "path,label,clip_id", *(f"a.wav,x,{'long' * 9}{clip}" for clip in range(2000)))  # more than a pipe
    assert tonearm("pack", "csv", "table.csv", "out")[0] == 0
    command = f"{sys.executable} -m tonearm inspect out --clips | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True)
    assert done.stdout.startswith("clip_id,labels")
    assert done.stdout.endswith("\n0\n")
    assert done.stderr == ""


def test_unpacking_and_what_is_damaged(packed: Path, tonearm: Run, tmp_path: Path) -> None:
    code, out, err = tonearm("unpack", packed, "files", "--format", "flac")
    assert code == 0
    assert out.startswith("20 clips, 0.")
    assert out.endswith("MB, and labels.csv: files\n")
    assert "unpacking 20/20 clips" in err
    code, out, _ = tonearm("pack", "csv", "files/labels.csv", "again")
    assert code == 0
    assert "20 clips in 1 shard" in out
    shard = packed / "shard-00000.h5"
    data = bytearray(shard.read_bytes())
    data[8192] ^= 1
    shard.write_bytes(data)
    code, out, err = tonearm("unpack", packed, "rest")
    assert code == 1
    assert "CRC-32" in out
    assert "could not be unpacked; the others are in rest" in one_paragraph(err)
    assert (tmp_path / "rest" / "labels.csv").is_file()


def test_hundreds_of_classes_stay_readable(tmp_path: Path, tonearm: Run) -> None:
    write(tmp_path / "a.wav", np.ones((900, 1), np.int16))
    rows = [f"a.wav,c{label:03d},{clip}" for label in range(527) for clip in range(label * label, (label + 1) ** 2, 99)]
    (tmp_path / "t.csv").write_text("path,label,clip_id\n" + "".join(f"{row}\n" for row in rows))
    assert tonearm("pack", "csv", "t.csv", "out")[0] == 0
    code, out, _ = tonearm("inspect", "out")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert len(out) < 1500
    assert lines["most"].startswith("  most     c")
    assert lines["most"].count("(11)") == 10
    assert lines["between"] == "  between  507 classes with 1 to 11 clips"
    assert lines["least"].count("(1)") == 10
    assert len(json.loads(tonearm("inspect", "out", "--json")[1])["classes"]) == 527


def test_the_pace_of_a_pack() -> None:
    now = 0.0
    pace = Pace("clips", lambda: now)
    assert pace.describe(100, 400, 10**7, 4 * 10**7) == ""  # was there before
    now = 2.0
    assert pace.describe(120, 400, 2 * 10**7, 4 * 10**7) == ", 5 MB/s, 4 s left"
    now = 400.0
    assert pace.describe(130, 400, 3 * 10**7, 4 * 10**7) == ", 0 MB/s, 3 min left"
    assert pace.describe(400, 400, 4 * 10**7, 4 * 10**7) == ", 0 MB/s"
    shards = Pace("shards", lambda: now)
    assert shards.describe(0, 9000) == ""
    now = 401.0
    assert shards.describe(1, 9000) == ", 1 shards/s, 2.5 h left"


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
    commands = [
        "pack",
        "append",
        "relabel",
        "unpack",
        "inspect",
        "verify",
        "train",
        "bench",
        "config",
        "doctor",
        "demo",
    ]
    for words in ([], ["bench", "loader"], *([command] for command in commands)):
        done = subprocess.run(
            [sys.executable, "-m", "tonearm", *words, "--help"], check=True, capture_output=True, text=True
        )
        assert "Usage: tonearm" in done.stdout


@pytest.mark.parametrize(
    ("words", "interrupted", "advice"),
    [
        (("inspect", "out"), "tonearm.dataio.verify.inspect_dataset", ""),
        (("verify", "out"), "tonearm.dataio.verify.verify_dataset", ""),
        (("pack", "folder", "in", "x"), "tonearm.dataio.pack_dataset", " What was written is whole: run the same "),
        (("--debug", "append", "folder", "in", "out"), "tonearm.dataio.append_dataset", " What was written is whole: "),
        (("unpack", "out", "x"), "tonearm.dataio.unpack_dataset", " Empty DIR and run it again."),
        (
            ("train", "out", "--config", "x"),
            "tonearm.dataio.open_dataset",
            " What was written is whole: go on with --res",
        ),
    ],
)
def test_ctrl_c_says_how_to_go_on(
    packed: Path, tonearm: Run, monkeypatch: pytest.MonkeyPatch, words: list[str], interrupted: str, advice: str
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(interrupted, interrupt)
    code, _, err = tonearm(*words)
    assert code == 1
    said = one_paragraph(err)
    assert said.startswith(f"tonearm: interrupted.{advice}")
    assert advice or said == "tonearm: interrupted."
    assert signal.getsignal(signal.SIGINT) is before


def test_what_nobody_foresaw_is_a_paragraph_too(packed: Path, tonearm: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("tonearm.dataio.verify.inspect_dataset", fail)
    code, _, err = tonearm("inspect", packed)
    assert code == 1
    assert "failed, MemoryError: no more is known. --debug shows where." in one_paragraph(err)


def test_models_are_listed_and_told_of_one_by_one(tonearm: Run) -> None:
    code, out, _ = tonearm("models")
    assert code == 0
    head, *rows = out.splitlines()
    assert head.split()[:2] == ["name", "parameters"]
    row = next(row for row in rows if row.startswith("erann-8x4-4 "))
    assert row.split()[1:7] == ["24,504,849", "13.102", "G", "26.204", "G", "8.17"]
    assert "44.1 kHz, 128 mel, 1380/345" in row
    assert row.endswith("Verbitskiy 2021")
    code, out, _ = tonearm("models", "ERANN-2x16-1")
    assert code == 0
    assert "erann-2x16-1" in out
    assert "n_fft 1380" in out
    code, out, _ = tonearm("models", "cnn14", "--json")
    told = json.loads(out)
    assert (told["name"], told["parameters"], told["sample_rate"]) == ("cnn14", 80_753_615, 32_000)
    assert told["published_weights"] is True
    code, _, err = tonearm("models", "cnn41")
    assert code == 2
    assert "cnn41: no such model. Did you mean 'cnn14'" in one_paragraph(err)


NAMED = """
features: {n_fft: 256, win_length: 256, hop_length: 128, n_mels: 16}
train: {epochs: 1, batch_size: 4}
model: erann-1x1-1
"""


@pytest.mark.slow
def test_a_run_of_a_named_model_is_trained_scored_and_exported(packed: Path, tonearm: Run, tmp_path: Path) -> None:
    import torch

    from tonearm.models.export import KEY

    (tmp_path / "c.yaml").write_text(NAMED)
    code, out, _ = tonearm("config", "show", "c.yaml")
    assert code == 0
    assert "normalize: none" in out  # the system's, beside the features that the file sets
    assert "n_mels: 16" in out
    assert tonearm("train", packed, "--config", "c.yaml", "--run", "run", "--device", "cpu")[0] == 0
    assert "name: erann-1x1-1" in (tmp_path / "run" / "config.yaml").read_text()
    assert tonearm("evaluate", "run", packed, "--device", "cpu")[0] == 0
    code, out, _ = tonearm("export", "run", "model.pt2")
    assert code == 0
    assert "model.pt2: waveform (batch, channel, time), " in out
    assert " Hz, to scores (batch, 2) before softmax" in out
    extra = {KEY: ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra[KEY])["class_names"] == ["class0", "class1"]
    code, out, _ = tonearm("export", "run", "maps.pt2", "--no-front-end", "--json")
    assert json.loads(out)["inputs"] == {"log_mel": ["batch", "channel", "mel", "frame"]}
    code, _, err = tonearm("export", "run", "model.pth")
    assert code == 2
    assert "it may end in .onnx (ONNX) or .pt2" in one_paragraph(err)


def test_a_named_model_for_another_rate_is_a_wrong_request(packed: Path, tonearm: Run, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: cnn14\n")
    code, _, err = tonearm("train", packed, "--config", "c.yaml", "--run", "run", "--device", "cpu")
    assert code == 2
    assert "model cnn14 was made for 32000 Hz, and the data is" in one_paragraph(err)
    assert not (tmp_path / "run").exists()


def test_published_weights_that_are_not_there_are_a_wrong_request(packed: Path, tonearm: Run, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(NAMED.replace("erann-1x1-1", "{name: erann-1x1-1, weights: w.pth}"))
    code, _, err = tonearm("train", packed, "--config", "c.yaml", "--run", "run", "--device", "cpu")
    assert code == 2
    assert "no weights are published for erann-1x1-1" in one_paragraph(err)
    assert not (tmp_path / "run").exists()
