"""The index: replaced in one moment, whatever happens on the way, and read whole by those who come at that moment."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.dataio.recordings import folder_of
from tonearm.dataio import append_dataset, open_dataset, pack_dataset, read_manifest, relabel_dataset
from tonearm.dataio import index as index_module
from tonearm.dataio.clip_rows import clips_of
from tonearm.dataio.index import Index, read_index
from tonearm.dataio.lock import locked_folder
from tonearm.errors import RequestError, RunError, ShardError


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    pack_dataset(read_manifest("folder", folder_of(tmp_path / "in")), tmp_path / "out", shard_bytes=30_000)
    return tmp_path / "out"


def table_of(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def fold_of(root: Path) -> int:
    return next(clip.fold for clip in clips_of(read_index(root)[1]) if clip.clip_id == "class0/clip00.wav")


def test_stopped_at_any_moment_the_dataset_is_the_old_or_the_new_one(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill leaves what stood between two renames."""

    class Killed(BaseException):
        pass

    replace: Callable[[Path, Path], Path] = Path.replace
    folds, renames = {"before": -1}, 0
    for fold in range(1, 5):
        table = table_of(tmp_path / "t.csv", "clip_id,fold", f"class0/clip00.wav,{fold}")
        for at in range(3):  # index.next.h5, index.json, index.h5
            left = at

            def killed(source: Path, target: Path) -> Path:
                nonlocal left, renames
                if left == 0:
                    raise Killed
                left -= 1
                renames += 1
                return replace(source, target)

            monkeypatch.setattr(Path, "replace", killed)
            with pytest.raises(Killed):
                relabel_dataset(packed, table)
            monkeypatch.setattr(Path, "replace", replace)
            found = fold_of(packed)
            assert found == (fold if at == 2 else folds["before"])
            assert len(open_dataset(packed)) == 12
            if at == 2:
                folds["before"] = fold  # and go on from there, index.next.h5 still being the one that counts
    assert renames >= 4 * 3
    summary = relabel_dataset(packed, table_of(tmp_path / "t.csv", "clip_id,fold", "class0/clip00.wav,9"))
    assert summary.changed == {"fold": 1}
    assert not (packed / "index.next.h5").exists()
    assert fold_of(packed) == 9


def test_an_index_that_is_replaced_while_it_is_read_is_read_again(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = index_module._read_table
    calls = 0

    def replaced_meanwhile(root: Path, index: Index) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            monkeypatch.setattr(index_module, "_read_table", original)
            relabel_dataset(packed, table_of(tmp_path / "t.csv", "clip_id,fold", "class0/clip00.wav,4"))
            monkeypatch.setattr(index_module, "_read_table", replaced_meanwhile)
        return original(root, index)

    monkeypatch.setattr(index_module, "_read_table", replaced_meanwhile)
    assert fold_of(packed) == 4
    assert calls == 2


def test_an_index_that_cannot_be_written_leaves_the_old_one(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    before = contents(packed)
    monkeypatch.setattr("tonearm.dataio.index.write_columns", full)
    with pytest.raises(RunError, match="the index cannot be written .No space left on device.. Make room"):
        relabel_dataset(packed, table_of(tmp_path / "t.csv", "clip_id,fold", "class0/clip00.wav,4"))
    assert contents(packed) == before


def test_two_classes_of_one_name_are_refused(packed: Path) -> None:
    path = packed / "index.json"
    path.write_text(path.read_text().replace('"class1"', '"class0"'))
    with pytest.raises(ShardError, match=r"index.json: damaged, the file: .*two classes have one name"):
        open_dataset(packed)


def test_nobody_changes_a_dataset_that_somebody_else_writes(packed: Path, tmp_path: Path) -> None:
    before = contents(packed)
    with locked_folder(packed, what="a test"):
        with pytest.raises(RequestError, match=r"somebody is writing to this folder already \(a test"):
            relabel_dataset(packed, table_of(tmp_path / "t.csv", "clip_id,fold", "class0/clip00.wav,4"))
        with pytest.raises(RequestError, match=r"somebody is writing to this folder already \(a test"):
            append_dataset(read_manifest("folder", tmp_path / "in"), packed)
        assert len(open_dataset(packed)) == 12
    assert contents(packed) == before


def test_columns_of_another_index_are_refused(packed: Path, tmp_path: Path) -> None:
    old = (packed / "index.h5").read_bytes()
    relabel_dataset(packed, table_of(tmp_path / "t.csv", "clip_id,fold", "class0/clip00.wav,4"))
    (packed / "index.h5").write_bytes(old)
    with pytest.raises(ShardError, match=r"index.h5: missing or not the file that index.json describes"):
        open_dataset(packed)
