"""A recording is read in full, or refused with the reason."""

import io
from pathlib import Path

import numpy as np
import pytest

from tests.dataio.recordings import sound, write
from tonearm.dataio.audio_file import _find_samples, decode_bytes, encode_flac, probe, read_samples
from tonearm.errors import AudioError

FORMATS = [
    ("a.wav", {"subtype": "PCM_16"}),
    ("a.wav", {"subtype": "PCM_24"}),
    ("a.wav", {"subtype": "FLOAT"}),
    ("a.wav", {"format": "RF64", "subtype": "PCM_16"}),
    ("a.wav", {"format": "WAVEX", "subtype": "PCM_16"}),
    ("a.w64", {"subtype": "PCM_16"}),
    ("a.aiff", {"subtype": "PCM_16"}),
    ("a.au", {"subtype": "PCM_16"}),
    ("a.flac", {"subtype": "PCM_16"}),
    ("a.ogg", {"subtype": "VORBIS"}),
    ("a.mp3", {}),
]


@pytest.mark.parametrize(("name", "kinds"), FORMATS)
def test_every_format_reads_whole_and_is_refused_when_cut_short(
    tmp_path: Path, name: str, kinds: dict[str, str]
) -> None:
    path = write(tmp_path / name, sound(16_000) // 4, **kinds)
    header = probe(path)
    assert len(read_samples(path, header)) >= 16_000
    whole = path.read_bytes()
    for length in (len(whole) * 6 // 10, len(whole) - 2000):
        path.write_bytes(whole[:length])
        with pytest.raises(AudioError, match=r"cut short|does not decode|not readable"):
            read_samples(path, probe(path))


def test_lossless_formats_are_exact(tmp_path: Path) -> None:
    samples = sound()
    for name in ("a.wav", "a.flac", "a.aiff"):
        path = write(tmp_path / name, samples, subtype="PCM_16")
        assert np.array_equal(read_samples(path, probe(path)), samples)


def test_a_streamed_wav_whose_header_knows_no_size_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", sound(), subtype="PCM_16")
    data = bytearray(path.read_bytes())
    start = data.index(b"data") + 4
    for unknown in (b"\xff\xff\xff\xff", b"\x00\xf0\xff\x7f"):  # ffmpeg's and sox's
        data[start : start + 4] = data[4:8] = unknown
        path.write_bytes(data)
        assert len(read_samples(path, probe(path))) == 4000


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the file is empty"), (b"<html>not found</html>", "not readable as audio"), (b"\0" * 5000, "not readable")],
)
def test_what_is_no_audio_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=message):
        probe(path)


def test_a_wav_without_samples_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no samples"):
        probe(write(tmp_path / "a.wav", sound(0)))
    with pytest.raises(AudioError, match="no such file"):
        probe(tmp_path / "b.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(tmp_path: Path, bad: float) -> None:
    samples = np.zeros(100, np.float32)
    samples[50] = bad
    path = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN or infinite"):
        read_samples(path, probe(path))


def test_flac_in_memory_is_lossless_and_junk_is_refused() -> None:
    samples = sound(channels=2)
    assert np.array_equal(decode_bytes(encode_flac(samples, 8000), num_frames=len(samples)) * 32768, samples)
    with pytest.raises(AudioError, match="does not decode"):
        decode_bytes(b"fLaC junk", num_frames=1)


def test_names_that_are_no_files_say_so(tmp_path: Path) -> None:
    (tmp_path / "x.wav").mkdir()
    with pytest.raises(AudioError, match="not a file"):
        probe(tmp_path / "x.wav")
    with pytest.raises(AudioError, match="not readable as audio"):
        probe(tmp_path / ("x" * 300 + ".wav"))


def with_texts(path: Path, mark: bytes, order: str) -> bytes:
    """The file's bytes with four long texts before the samples, more than libsndfile's log holds."""
    whole = path.read_bytes()
    place = whole.index(mark)
    if order == "little":
        texts = b"".join(
            name + (900).to_bytes(4, "little") + b"x" * 900 for name in (b"INAM", b"IART", b"ICMT", b"ICOP")
        )
        texts = b"LIST" + (len(texts) + 4).to_bytes(4, "little") + b"INFO" + texts
    else:
        texts = b"".join(b"ANNO" + (900).to_bytes(4, "big") + b"x" * 900 for _ in range(4))
    size = (len(whole) + len(texts) - 8).to_bytes(4, order)  # type: ignore[arg-type]
    return whole[:4] + size + whole[8:place] + texts + whole[place:]


@pytest.mark.parametrize(
    ("name", "kinds", "mark", "order"),
    [
        ("a.wav", {"subtype": "PCM_16"}, b"data", "little"),
        ("a.wav", {"subtype": "PCM_24"}, b"data", "little"),
        ("a.wav", {"subtype": "PCM_24", "endian": "BIG"}, b"data", "big"),
        ("a.aiff", {"subtype": "PCM_16"}, b"SSND", "big"),
    ],
)
def test_long_texts_do_not_hide_that_a_file_was_cut_short(
    tmp_path: Path, name: str, kinds: dict[str, str], mark: bytes, order: str
) -> None:
    path = write(tmp_path / name, sound(40_000), **kinds)
    whole = with_texts(path, mark, order)
    path.write_bytes(whole)
    assert probe(path).num_frames == 40_000
    path.write_bytes(whole[:-40_000])
    with pytest.raises(AudioError, match=r"cut short: its header announces \d+ bytes, \d+ are there"):
        probe(path)


@pytest.mark.parametrize("container", ["NIST", "AVR", "VOC", "SVX", "PVF", "MAT4", "MAT5", "IRCAM"])
@pytest.mark.parametrize("thirds", [2, 3])
def test_containers_that_do_not_tell_whether_they_are_whole_are_refused(
    tmp_path: Path, container: str, thirds: int
) -> None:
    path = write(tmp_path / "a.sound", sound(16_000), format=container, subtype="PCM_16")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * thirds // 3])
    with pytest.raises(
        AudioError, match=f"nobody can tell whether a {container} file is whole; convert it to WAV or FLAC"
    ):
        probe(path)


def test_the_walk_through_chunks_ends_in_a_file_of_zeros() -> None:
    file = io.BytesIO(b"RIFF".ljust(1_000_000, b"\0"))
    assert _find_samples(file) == []
    assert file.tell() < 100_000


def test_raw_samples_are_not_audio(tmp_path: Path) -> None:
    path = tmp_path / "x.raw"
    path.write_bytes(bytes(1000))
    with pytest.raises(AudioError, match="not readable as audio"):
        probe(path)
