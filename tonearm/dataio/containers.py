"""Walking Ogg pages and MPEG frames, to know whether a file is whole where its decoder would not say.

libsndfile reads an Ogg that lost its end as if it had been shorter, stops after the first of several chained streams,
and guesses the length of an MP3 without a Xing header from its first frame.
"""

from tonearm.errors import AudioError

_BEGIN_OF_STREAM, _END_OF_STREAM = 2, 4  # bits of an Ogg page's header type

# kbit/s by bitrate index, for (MPEG 1, layer 3), (MPEG 1, layer 2) and (MPEG 2 and 2.5, layers 2 and 3)
_V1_L3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_V1_L2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_V2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def check_ogg(data: bytes) -> None:
    """Refuse an Ogg file that is not one whole stream.

    Raises:
        AudioError: a page is missing or cut, the last page does not end the stream, or another stream follows it.

    Reference:
        Pfeiffer: The Ogg encapsulation format, RFC 3533, 2003, section 6.
    """
    place, flags, begun, streams = 0, 0, False, 0
    while place < len(data):
        if data[place : place + 4] != b"OggS" or place + 27 > len(data):
            raise AudioError(f"damaged: no Ogg page where one must begin, {place} bytes into the file")
        segments = data[place + 26]
        table = data[place + 27 : place + 27 + segments]
        end = place + 27 + segments + sum(table)
        if len(table) < segments or end > len(data):
            raise AudioError("cut short: its last Ogg page is not all there")
        flags = data[place + 5]
        if flags & _BEGIN_OF_STREAM:
            streams += begun or streams == 0
            begun = False
        else:
            begun = True
        place = end
    if streams > 1:
        raise AudioError(f"{streams} Ogg streams chained in one file, of which decoders read the first; cut them apart")
    if not flags & _END_OF_STREAM:
        raise AudioError("cut short: the Ogg stream has no last page")


def count_mpeg_frames(data: bytes) -> int:
    """How many samples a channel of an MPEG audio file has: its frames, counted one by one.

    Includes what an encoder added before and after the sound, up to a few thousand samples.

    Reference:
        ISO/IEC 11172-3, 1993, section 2.4.1.3 (the frame's header).
    """
    place, samples = _after_id3(data), 0
    while place + 4 <= len(data):
        frame = _mpeg_frame(data[place : place + 4])
        if frame is None:
            place += 1  # a tag, or padding between frames
            continue
        samples += frame[1]
        place += frame[0]
    return samples


def announces_length(data: bytes) -> bool:
    """Whether an MPEG audio file begins with a frame that tells its length (Xing's, LAME's "Info" or Fraunhofer's)."""
    place = _after_id3(data)
    return any(mark in data[place : place + 256] for mark in (b"Xing", b"Info", b"VBRI"))


def _after_id3(data: bytes) -> int:
    """Where the audio begins behind an ID3v2 tag, whose length is four bytes of seven bits."""
    if data[:3] != b"ID3" or len(data) < 10:
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size


def _mpeg_frame(header: bytes) -> tuple[int, int] | None:
    """(bytes, samples) of the frame with this header, None if it is none."""
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3  # layer 1 means III, 2 means II
    rate_index = header[2] >> 2 & 3
    bitrate_index = header[2] >> 4
    if header[0] != 0xFF or header[1] < 0xE0 or version == 1 or layer not in (1, 2):
        return None
    if rate_index == 3 or bitrate_index in (0, 15):
        return None
    if version == 3:
        bitrate = (_V1_L3 if layer == 1 else _V1_L2)[bitrate_index]
    else:
        bitrate = _V2[bitrate_index]
    samples = 576 if layer == 1 and version != 3 else 1152
    padding = header[2] >> 1 & 1
    return samples // 8 * bitrate * 1000 // _MPEG_RATES[version][rate_index] + padding, samples
