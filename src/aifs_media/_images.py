"""Walks over PNG, JPEG, GIF and WebP files: is the file complete, and how large is the picture.

Structure only; pixels are not decoded. Sources: PNG (ISO/IEC 15948), JPEG (ITU-T T.81), GIF89a, the WebP container (RFC 9649).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aifs_media._incremental import Measurements

if TYPE_CHECKING:
    from aifs_media._incremental import ByteReader, Step

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_IEND_CHECKSUM = b"\xae\x42\x60\x82"
PNG_MAX_CHUNK = 2**31 - 1

JPEG_END = 0xD9
JPEG_SCAN = 0xDA
# C4, C8 and CC lie in the range of the frame headers and are tables and reserved codes.
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# A stuffed zero, TEM, and the restart markers carry no length.
JPEG_WITHOUT_LENGTH = frozenset({0x00, 0x01, *range(0xD0, 0xD8)})

GIF_EXTENSION = 0x21
GIF_IMAGE = 0x2C
GIF_TRAILER = 0x3B


def walk_png(reader: ByteReader) -> Step[Measurements]:
    """Walk the chunks from the signature to IEND."""
    yield from reader.skip(len(PNG_SIGNATURE))
    length, name = yield from _png_chunk(reader)
    if name != b"IHDR" or length != 13:
        raise reader.bad("it does not start with its header chunk")
    header = yield from reader.take(length + 4)
    has_pixels, frames = False, 0
    while True:
        length, name = yield from _png_chunk(reader)
        if name == b"IEND":
            break
        has_pixels = has_pixels or name == b"IDAT"
        frames += name == b"fcTL"
        yield from reader.skip(length + 4)
    checksum = yield from reader.take(4)
    if length or checksum != PNG_IEND_CHECKSUM or not has_pixels:
        raise reader.bad("it ends without pixel data or with a wrong end chunk")
    yield from reader.padding_to_end()
    width, height = int.from_bytes(header[0:4], "big"), int.from_bytes(header[4:8], "big")
    return Measurements(width=width, height=height, pictures=max(frames, 1))


def _png_chunk(reader: ByteReader) -> Step[tuple[int, bytes]]:
    head = yield from reader.take(8)
    length, name = int.from_bytes(head[:4], "big"), head[4:]
    if length > PNG_MAX_CHUNK or not name.isalpha():
        raise reader.bad("a chunk header is expected there")
    return length, name


def walk_jpeg(reader: ByteReader) -> Step[Measurements]:
    """Walk the marker segments and scans from start to end of image."""
    yield from reader.skip(2)
    width = height = 0
    has_scan = False
    while True:
        # A scan's data has no length. A byte FF in it is followed by 00 or a restart marker, so markers are found by looking for FF.
        yield from reader.skip_past(0xFF)
        code = 0xFF
        while code == 0xFF:
            code = (yield from reader.take(1))[0]
        if code in JPEG_WITHOUT_LENGTH:
            continue
        if code == JPEG_END:
            break
        length = int.from_bytes((yield from reader.take(2)), "big") - 2
        if length < 0:
            raise reader.bad("a segment has an impossible length")
        if code in JPEG_FRAMES:
            frame = yield from reader.take(length)
            height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
            continue
        has_scan = has_scan or code == JPEG_SCAN
        yield from reader.skip(length)
    # A height of 0 means that it is told behind the first scan (a DNL segment), which nobody writes, and few can read.
    if not has_scan or not width or not height:
        raise reader.bad("it ends without a picture, or without its size in the frame's header")
    yield from reader.padding_to_end()
    return Measurements(width=width, height=height)


def walk_gif(reader: ByteReader) -> Step[Measurements]:
    """Walk the blocks from the screen descriptor to the trailer."""
    screen = yield from reader.take(13)
    yield from reader.skip(_gif_palette_bytes(screen[10]))
    width, height = int.from_bytes(screen[6:8], "little"), int.from_bytes(screen[8:10], "little")
    images = 0
    while True:
        block = (yield from reader.take(1))[0]
        if block == GIF_TRAILER:
            break
        if block == GIF_IMAGE:
            images += 1
            descriptor = yield from reader.take(9)
            left, top, across, down = (
                int.from_bytes(descriptor[place : place + 2], "little") for place in (0, 2, 4, 6)
            )
            # Viewers make room for an image that is larger than the screen.
            width, height = max(width, left + across), max(height, top + down)
            # One byte between the palette and the data: the size of the first code.
            yield from reader.skip(_gif_palette_bytes(descriptor[8]) + 1)
        elif block == GIF_EXTENSION:
            yield from reader.skip(1)
        else:
            raise reader.bad("a block of unknown type")
        while size := (yield from reader.take(1))[0]:
            yield from reader.skip(size)
    if not images:
        raise reader.bad("it ends without a picture")
    yield from reader.padding_to_end()
    return Measurements(width=width, height=height, pictures=images)


def _gif_palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def walk_webp(reader: ByteReader) -> Step[Measurements]:
    """Walk the chunks of the RIFF file to the length it announces."""
    riff = yield from reader.take(12)
    end = 8 + int.from_bytes(riff[4:8], "little")
    size: tuple[int, int] | None = None
    has_pixels, frames = False, 0
    while reader.position < end:
        head = yield from reader.take(8)
        name, length = head[:4], int.from_bytes(head[4:], "little")
        next_chunk = reader.position + length + length % 2
        if next_chunk > end:
            raise reader.bad("a chunk is longer than the file says it is itself")
        start = yield from reader.peek(min(length, 10))
        # The canvas of VP8X comes first and is what a viewer shows; frames inside it may be smaller.
        size = size or _webp_size(name, start)
        has_pixels = has_pixels or name in {b"VP8 ", b"VP8L", b"ANMF"}
        frames += name == b"ANMF"
        yield from reader.skip(next_chunk - reader.position)
    if not has_pixels or size is None:
        raise reader.bad("it ends without a picture")
    yield from reader.padding_to_end()
    return Measurements(width=size[0], height=size[1], pictures=max(frames, 1))


def _webp_size(name: bytes, start: bytes) -> tuple[int, int] | None:
    if name == b"VP8X" and len(start) == 10:
        return int.from_bytes(start[4:7], "little") + 1, int.from_bytes(start[7:10], "little") + 1
    if name == b"VP8 " and start[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(start[6:8], "little") & 0x3FFF, int.from_bytes(start[8:10], "little") & 0x3FFF
    if name == b"VP8L" and start[:1] == b"\x2f":
        bits = int.from_bytes(start[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None
