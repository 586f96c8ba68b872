from pathlib import Path

import pytest
import soundfile

from tonearm.benchmarks.clip_set import announce_size, write_clip_set, write_flac_files
from tonearm.dataio import open_dataset, pack_dataset, read_manifest
from tonearm.errors import RequestError


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip_set(tmp_path_factory.mktemp("clips"), num_clips=30, sample_rate=8000, duration_seconds=1.5)


@pytest.fixture(scope="module")
def paths(table: Path) -> list[Path]:
    return sorted(table.parent.glob("*.wav"))


def test_every_clip_of_the_set_is_another_file_of_the_asked_format(paths: list[Path], table: Path) -> None:
    assert len({path.read_bytes() for path in paths}) == len(paths) == 30
    info = soundfile.info(paths[7])
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (8000, 1, 12000, "PCM_16")
    assert table.read_text().splitlines()[:2] == ["path,label", "000000.wav,steady"]


def test_a_set_that_is_there_is_kept_and_one_that_was_interrupted_is_written_again(tmp_path: Path) -> None:
    def write() -> Path:
        return write_clip_set(tmp_path, num_clips=2, sample_rate=8000, duration_seconds=1.5)

    table = write()
    (table.parent / "000000.wav").write_bytes(b"mine")
    assert write() == table
    assert (table.parent / "000000.wav").read_bytes() == b"mine"
    table.unlink()
    write()
    assert soundfile.info(table.parent / "000000.wav").frames == 12000


def test_the_flac_files_are_the_bytes_that_were_packed_and_a_dataset_of_their_own(tmp_path: Path, table: Path) -> None:
    manifest = read_manifest("csv", table)
    pack_dataset(manifest, tmp_path / "packed", codec="flac")
    dataset = open_dataset(tmp_path / "packed")
    files = write_flac_files(dataset, tmp_path / "files")
    assert files[7].read_bytes() == dataset.payload(7).tobytes()
    found = read_manifest("csv", tmp_path / "files" / "labels.csv")
    assert [clip.labels for clip in found.clips] == [clip.labels for clip in manifest.clips]
    assert [found.root / clip.path for clip in found.clips] == files
    files[3].write_bytes(b"mine")
    assert write_flac_files(dataset, tmp_path / "files") == files
    assert files[3].read_bytes() == b"mine"


def test_the_size_is_announced_and_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    told: list[str] = []
    announce_size(tmp_path, 2.5e9 / 1e3, told.append)
    assert "take up to 0.0 GB" in told[0]
    with pytest.raises(
        RequestError, match=r"but the clips may take 1,?000000\.0 GB in all their forms\. Ask for fewer"
    ):
        announce_size(tmp_path, 1e15, told.append)
