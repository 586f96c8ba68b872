"""The short way to a plain WAV against libsndfile: the same facts and samples, or left to it."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataio.recordings import sound, write
from tonearm.dataio.audio_file import probe
from tonearm.dataio.plain_wav import HEADER_BYTES, PlainWav, parse_plain_wav, read_plain_wav
from tonearm.errors import AudioError

FMT = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16_000, 2, 16)
DATA = b"data" + struct.pack("<I", 400) + sound(200).tobytes()


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def parse(content: bytes) -> PlainWav | None:
    return parse_plain_wav(content[:HEADER_BYTES], len(content))


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_what_it_reads_is_what_libsndfile_reads(tmp_path: Path, channels: int) -> None:
    samples = sound(5000, channels=channels)
    path = write(tmp_path / "a.wav", samples, rate=44_100, subtype="PCM_16")
    found = parse(path.read_bytes())
    assert found == PlainWav(44, 5000, 44_100, channels)
    out = np.empty((1000, channels), np.int16)
    read_plain_wav(path, found, start=123, out=out)
    assert np.array_equal(out, samples[123:1123])


def test_lists_before_the_samples_are_passed_over() -> None:
    chunk = b"LIST" + struct.pack("<I", 5) + b"INFO?" + b"\0"
    assert parse(riff(FMT, chunk, DATA)) == PlainWav(12 + len(FMT) + len(chunk) + 8, 200, 8000, 1)


@pytest.mark.parametrize(
    ("what", "content"),
    [
        ("cut short", riff(FMT, DATA)[:-2]),
        ("a size unknown when it was written", riff(FMT, b"data\xff\xff\xff\xff" + bytes(400))),
        ("something behind the samples", riff(FMT, DATA, b"LIST" + struct.pack("<I", 4) + b"INFO")),
        ("no samples", riff(FMT, b"data" + bytes(4))),
        ("samples before their format", riff(DATA, FMT)),
        ("two formats", riff(FMT, FMT, DATA)),
        ("an unknown chunk", riff(b"odd " + struct.pack("<I", 2) + b"..", FMT, DATA)),
        ("half a frame", riff(FMT, b"data" + struct.pack("<I", 399) + bytes(399))),
        ("24 bits", riff(FMT[:-2] + struct.pack("<H", 24), DATA)),
        ("not PCM", riff(b"fmt " + struct.pack("<IHHIIHH", 16, 3, 1, 8000, 16_000, 2, 16), DATA)),
        ("no channels", riff(b"fmt " + struct.pack("<IHHIIHH", 16, 1, 0, 8000, 0, 0, 16), DATA)),
        ("a header that is too long", riff(FMT, b"LIST" + struct.pack("<I", 2000) + bytes(2000), DATA)),
        ("big-endian", b"RIFX" + riff(FMT, DATA)[4:]),
        ("a chunk that ends beyond the file", riff(FMT, b"LIST\xff\xff\xff\xff", DATA)),
        ("nothing", b""),
    ],
)
def test_anything_unusual_is_left_to_libsndfile(what: str, content: bytes) -> None:
    assert parse(content) is None, what


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 47), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_header_it_accepts_means_the_same_to_libsndfile(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(riff(FMT, DATA))
    for place, value in changes:
        content[place] = value
    found = parse(bytes(content))
    if found is None:
        return
    path = tmp_path_factory.getbasetemp() / "mutated.wav"
    path.write_bytes(content)
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert (len(samples), rate, samples.shape[1]) == (found.num_frames, found.sample_rate, found.num_channels)
    out = np.empty((found.num_frames, found.num_channels), np.int16)
    read_plain_wav(path, found, start=0, out=out)
    assert np.array_equal(out, samples)


def test_both_ways_say_the_same_of_a_file(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.wav", sound(5000, channels=2), subtype="PCM_16")
    odd = tmp_path / "b.wav"
    odd.write_bytes(riff(plain.read_bytes()[12:], b"LIST" + struct.pack("<I", 4) + b"INFO"))
    first, second = vars(probe(plain)), vars(probe(odd))
    assert (first.pop("data_offset"), second.pop("data_offset")) == (44, None)
    assert first.pop("num_bytes") + 12 == second.pop("num_bytes")
    assert first == second


def test_a_file_that_changed_since_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", sound(5000), subtype="PCM_16")
    found = parse(path.read_bytes())
    assert found is not None
    out = np.empty((5000, 1), np.int16)
    write(path, sound(5000), rate=16_000, subtype="PCM_16")
    with pytest.raises(AudioError, match="it changed while the dataset was packed"):
        read_plain_wav(path, found, start=0, out=out)
    write(path, sound(5000), subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(AudioError, match="cut short: 10000 bytes of samples announced, 9900 are there"):
        read_plain_wav(path, found, start=0, out=out)
    path.unlink()
    with pytest.raises(AudioError, match="cannot be read"):
        read_plain_wav(path, found, start=0, out=out)
