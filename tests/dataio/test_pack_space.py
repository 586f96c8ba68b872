"""What a pack asks of the disk, where headers lie or promise nothing, and what becomes of workers that do not start."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.dataio.recordings import folder_of, sound, write
from tonearm.dataio import pack_dataset, read_manifest
from tonearm.dataio import shard_tasks as shard_tasks_module
from tonearm.dataio.audio_file import Probe
from tonearm.dataio.free_space import bytes_needed, write_error
from tonearm.dataio.manifest import Clip, Manifest
from tonearm.dataio.plan import check_source, probe_all
from tonearm.dataio.recording import is_seekable
from tonearm.dataio.shards import DatasetHeader
from tonearm.dataio.workers import ProcessWorker
from tonearm.errors import RequestError, RunError

HEADER = DatasetHeader("made", ("thing",), "pcm16", 8000, 1, 1, "", "", {})


def made(root: Path, *clips: Clip) -> Manifest:
    return Manifest("made", root, ("thing",), clips)


def test_a_flac_that_announces_what_it_cannot_hold_does_not_ask_for_the_room(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", sound())
    content = bytearray(path.read_bytes()[:99])
    content[21] &= 0xF0  # the number of samples: the low half of this byte and the four that follow it
    content[22:26] = (2**30 - 1).to_bytes(4, "big")
    path.write_bytes(content)
    planned, rejects = probe_all(made(tmp_path, Clip("a", "a.flac", (0,))))
    assert not rejects
    assert planned[0].num_frames == 2**30 - 1
    assert bytes_needed(planned, HEADER) < 1_300_000  # nine frames of 65,535 samples


def test_a_true_flac_is_believed(tmp_path: Path) -> None:
    write(tmp_path / "a.flac", 0 * sound(200_000))  # silence, which takes next to nothing
    planned, _ = probe_all(made(tmp_path, Clip("a", "a.flac", (0,))))
    assert bytes_needed(planned, HEADER) > 400_000


def test_an_mp3_cannot_be_longer_than_its_bytes_allow(tmp_path: Path) -> None:
    write(tmp_path / "a.mp3", sound(8000) // 4)
    num_bytes = (tmp_path / "a.mp3").stat().st_size
    planned, rejects = probe_all(
        made(tmp_path, Clip("a", "a.mp3", (0,), end_seconds=0.5), Clip("b", "a.mp3", (0,), end_seconds=20_000.0))
    )
    assert [item.num_frames for item in planned] == [4000]
    reason = f"the clip ends at 20000 s, its file of {num_bytes} bytes at {num_bytes / 1000:g} s at most"
    assert [(reject.clip_id, reject.reason) for reject in rejects] == [("b", reason)]
    lying = replace(planned[0], num_frames=2**30)
    assert bytes_needed([lying], HEADER) - bytes_needed(planned, HEADER) == 2 * (num_bytes * 8 - 4000)


def test_clips_that_round_to_nothing_are_rejects(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", sound(1), rate=768_000)
    with pytest.raises(RunError, match="its only clip does not decode; "):
        pack_dataset(made(tmp_path, Clip("a", "a.wav", (0,))), tmp_path / "out", sample_rate=1000)


def test_the_advice_on_what_source_cannot_take_is_the_callers(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", sound())
    planned, _ = probe_all(made(tmp_path, Clip("a", "a.wav", (0,))))
    with pytest.raises(RequestError, match=r"44100 Hz .*\. Pack with --codec flac or pcm16 instead\.$"):
        check_source(planned, 44_100, 1)
    with pytest.raises(RequestError, match=r"44100 Hz .*\. Convert them first\.$"):
        check_source(planned, 44_100, 1, advice="Convert them first.")
    excerpt = replace(planned[0], clip=Clip("a", "a.wav", (0,), start_seconds=0.1))
    with pytest.raises(RequestError, match=r"from 0.1 s to its end\)\. Convert them first\.$"):
        check_source([excerpt], 8000, 1, advice="Convert them first.")


@pytest.mark.parametrize(
    ("container", "subtype", "seekable"),
    [("WAV", "PCM_U8", True), ("VOC", "PCM_U8", False), ("OGG", "VORBIS", False), ("OGG", "PCM_16", False)],
)
def test_frames_are_sought_where_libsndfile_finds_them(container: str, subtype: str, seekable: bool) -> None:
    assert is_seekable(Probe(100, 8000, 1, container, subtype, 1000)) is seekable


def test_a_folder_that_vanished_does_not_hide_the_error(tmp_path: Path) -> None:
    error = write_error(tmp_path / "gone" / "shard-00000.h5", OSError(5, "Input/output error"), 1_000_000)
    assert "cannot be written (Input/output error); its folder is gone or cannot be looked at" in str(error)


def test_workers_that_were_started_are_closed_when_one_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[ProcessWorker] = []

    class Failing(ProcessWorker):
        def __init__(self) -> None:
            if started:
                raise OSError(11, "Resource temporarily unavailable")
            super().__init__()
            started.append(self)

    monkeypatch.setattr(shard_tasks_module, "ProcessWorker", Failing)
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        pack_dataset(
            read_manifest("folder", folder_of(tmp_path / "in")), tmp_path / "out", num_workers=3, shard_bytes=30_000
        )
    assert [worker._process.poll() is not None for worker in started] == [True]
