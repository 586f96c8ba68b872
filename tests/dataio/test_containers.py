"""Files whose decoder would not say that something is missing."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.dataio.recordings import sound
from tonearm.dataio.audio_file import probe, read_samples
from tonearm.dataio.containers import check_ogg, count_mpeg_frames
from tonearm.errors import AudioError

SECONDS_5 = 220_500
ENCODER_ADDS = 4 * 1152  # at most: delay, padding and the Xing frame


def encoded(samples: np.ndarray, rate: int, **kinds: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **kinds)
    return file.getvalue()


@pytest.fixture(scope="module")
def ogg() -> bytes:
    return encoded(sound(48_000) // 4, 16_000, format="OGG", subtype="VORBIS")


@pytest.fixture(scope="module")
def mp3() -> bytes:
    return encoded(sound(SECONDS_5) // 4, 44_100, format="MP3")


def test_a_whole_ogg_passes(ogg: bytes) -> None:
    check_ogg(ogg)
    check_ogg(encoded(sound(24_000), 48_000, format="OGG", subtype="OPUS"))


@pytest.mark.parametrize("missing", [1, 7, 100])
def test_an_ogg_whose_last_page_is_cut_is_refused(ogg: bytes, missing: int) -> None:
    with pytest.raises(AudioError, match="cut short: its last Ogg page is not all there"):
        check_ogg(ogg[:-missing])


def test_an_ogg_without_its_last_page_is_refused(ogg: bytes) -> None:
    with pytest.raises(AudioError, match="cut short: the Ogg stream has no last page"):
        check_ogg(ogg[: ogg.rindex(b"OggS")])


def test_chained_and_damaged_oggs_are_refused(tmp_path: Path, ogg: bytes) -> None:
    (tmp_path / "a.ogg").write_bytes(ogg + ogg)
    with pytest.raises(AudioError, match="2 Ogg streams chained in one file"):
        read_samples(tmp_path / "a.ogg", probe(tmp_path / "a.ogg"))
    with pytest.raises(AudioError, match="damaged: no Ogg page where one must begin"):
        check_ogg(ogg[:200] + ogg[201:])


@pytest.mark.parametrize(
    ("rate", "num_frames"), [(44_100, SECONDS_5), (48_000, 96_000), (22_050, 44_100), (8000, 24_000)]
)
def test_mpeg_frames_are_counted(rate: int, num_frames: int) -> None:
    data = encoded(sound(num_frames) // 4, rate, format="MP3")
    assert num_frames <= count_mpeg_frames(data) <= num_frames + ENCODER_ADDS
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + b"\xff\xfb\x90\x00" * 64  # 256 bytes that look like frames
    assert count_mpeg_frames(tag + data) == count_mpeg_frames(data)


def without_xing(data: bytes) -> bytes:
    """The file without its first frame, which tells its length."""
    first = data.index(b"\xff\xfb")
    return data[data.index(b"\xff\xfb", first + 4) :]


@pytest.mark.parametrize("quiet_first", [True, False])
def test_an_mp3_whose_length_is_guessed_is_whole_or_refused(tmp_path: Path, quiet_first: bool) -> None:
    """A variable bitrate: quiet frames at its beginning promise too long a file, loud ones too short a one."""
    quiet, loud = np.zeros(SECONDS_5), np.random.default_rng(0).uniform(-0.9, 0.9, SECONDS_5)
    file = io.BytesIO()
    settings = {"format": "MP3", "bitrate_mode": "VARIABLE", "compression_level": 0.5}
    with soundfile.SoundFile(file, "w", 44_100, 1, **settings) as out:
        out.write(np.concatenate([quiet, loud] if quiet_first else [loud, quiet]))
    path = tmp_path / "a.mp3"
    path.write_bytes(file.getvalue())
    assert len(read_samples(path, probe(path))) == 2 * SECONDS_5
    path.write_bytes(without_xing(file.getvalue()))
    if quiet_first:
        assert len(read_samples(path, probe(path))) >= 2 * SECONDS_5
    else:
        with pytest.raises(AudioError, match="its header does not give its length, so decoding stops after"):
            read_samples(path, probe(path))


def test_an_mp3_that_lost_its_end_is_refused(tmp_path: Path, mp3: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(mp3[: len(mp3) * 3 // 4])
    with pytest.raises(AudioError, match="cut short: 220500 frames announced"):
        read_samples(path, probe(path))
