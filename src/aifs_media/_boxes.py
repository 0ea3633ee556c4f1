"""Walks over files made of ISO boxes: MP4 and QuickTime videos, AVIF and HEIF images.

Boxes are followed from the first byte to the last, so a file that lost its tail is noticed, and only the box that describes the
media is kept. Sources: ISO/IEC 14496-12 (boxes), ISO/IEC 23008-12 (HEIF), Apple's QuickTime file format.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from aifs_media._incremental import Measurements
from aifs_media.errors import BadMediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aifs_media._incremental import ByteReader, Step

# A movie description of an hour of video is below 4 MiB. Above this it is skipped, and the measurements stay unknown.
MAX_MOOV_BYTES = 16 * 1024 * 1024
MAX_META_BYTES = 1024 * 1024


def walk_video(reader: ByteReader) -> Step[Measurements]:
    """Walk an MP4 or QuickTime file: `moov` describes it, `mdat` holds the samples, `moof` starts a fragment."""
    measured: Measurements | None = None
    sample_bytes = media_bytes = 0
    fragment_without_media = False
    while not (yield from reader.at_end()):
        name, size = yield from _box_head(reader)
        if name == b"moov":
            moov = yield from _keep(reader, size, limit=MAX_MOOV_BYTES)
            measured, sample_bytes = _measure_movie(moov) if moov is not None else (Measurements(), 0)
            continue
        if name == b"moof":
            fragment_without_media = True
        start = reader.position
        yield from _pass_over(reader, size)
        if name == b"mdat":
            fragment_without_media = False
            media_bytes += reader.position - start
    if measured is None or not media_bytes or fragment_without_media or sample_bytes > media_bytes:
        missing = "movie description" if measured is None else "part of its media data"
        raise BadMediaError(
            f"The {reader.subject} is cut short: its {missing} is missing.", hint="Fetch it again.", retryable=True
        )
    return measured


def walk_still(reader: ByteReader) -> Step[Measurements]:
    """Walk an AVIF or HEIF file: `meta` describes the items, `mdat` (or `idat` inside `meta`) holds them."""
    measured: Measurements | None = None
    has_data = False
    while not (yield from reader.at_end()):
        name, size = yield from _box_head(reader)
        if name == b"meta":
            meta = yield from _keep(reader, size, limit=MAX_META_BYTES)
            measured = _measure_items(meta) if meta is not None else Measurements()
            has_data = has_data or (meta is not None and any(True for _ in _find(meta[4:], b"idat")))
            continue
        has_data = has_data or name == b"mdat"
        yield from _pass_over(reader, size)
    if measured is None or not has_data:
        missing = "description" if measured is None else "picture data"
        raise BadMediaError(
            f"The {reader.subject} is cut short: its {missing} is missing.", hint="Fetch it again.", retryable=True
        )
    return measured


def _box_head(reader: ByteReader) -> Step[tuple[bytes, int | None]]:
    """Return the box's name and the size of what follows; None means up to the end of the file."""
    head = yield from reader.take(8)
    size, name = int.from_bytes(head[:4], "big"), head[4:]
    if not all(0x20 <= byte < 0x7F or byte == 0xA9 for byte in name):
        raise reader.bad("a box is expected there")
    if size == 0:
        return name, None
    header = 8
    if size == 1:
        size = int.from_bytes((yield from reader.take(8)), "big")
        header = 16
    if size < header:
        raise reader.bad(f"the box {name.decode('latin-1')!r} has an impossible size")
    return name, size - header


def _pass_over(reader: ByteReader, size: int | None) -> Step[None]:
    if size is None:
        yield from reader.skip_rest()
    else:
        yield from reader.skip(size)


def _keep(reader: ByteReader, size: int | None, *, limit: int) -> Step[bytes | None]:
    """Return the box's payload, or None where it is above the limit."""
    if size is None:
        rest = yield from reader.peek(limit + 1)
        yield from reader.skip_rest()
        return rest if len(rest) <= limit else None
    if size > limit:
        yield from reader.skip(size)
        return None
    return (yield from reader.take(size))


def _children(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    # Less than a header may remain: QuickTime ends some lists of boxes with four zero bytes.
    while position + 8 <= len(payload):
        size, name = int.from_bytes(payload[position : position + 4], "big"), payload[position + 4 : position + 8]
        header = 8
        if size == 1:
            size, header = int.from_bytes(payload[position + 8 : position + 16], "big"), 16
        elif size == 0:
            size = len(payload) - position
        if size < header or position + size > len(payload):
            raise BadMediaError(f"The file is damaged: the box {name!r} does not fit into the box around it.")
        yield name, payload[position + header : position + size]
        position += size


def _find(payload: bytes, *path: bytes) -> Iterator[bytes]:
    """Yield the payload of every box at that path."""
    for name, child in _children(payload):
        if name != path[0]:
            continue
        if len(path) == 1:
            yield child
        else:
            yield from _find(child, *path[1:])


def _measure_movie(moov: bytes) -> tuple[Measurements, int]:
    """Return the measurements and how many bytes the samples of the video track occupy."""
    try:
        for track in _find(moov, b"trak"):
            if any(handler[8:12] == b"vide" for handler in _find(track, b"mdia", b"hdlr")):
                return _measure_track(moov, track)
    except (struct.error, StopIteration) as error:
        raise BadMediaError("The file is damaged: its movie description cannot be read.") from error
    raise BadMediaError("The file holds no video track.", hint="A video was asked for; this may be sound alone.")


def _measure_track(moov: bytes, track: bytes) -> tuple[Measurements, int]:
    header = next(_find(track, b"tkhd"))
    # Width and height are 16.16 fixed point and come last; the rotation matrix before them is not applied.
    width, height = struct.unpack_from(">II", header, 88 if header[:1] == b"\x01" else 76)
    media_scale, media_duration = _clock(next(_find(track, b"mdia", b"mdhd")))
    samples = ticks = 0
    for table in _find(track, b"mdia", b"minf", b"stbl", b"stts"):
        for count, delta in _pairs(table):
            samples += count
            ticks += count * delta
    ticks = ticks or media_duration
    sizes = [_sample_bytes(table) for table in _find(track, b"mdia", b"minf", b"stbl", b"stsz")]
    measured = Measurements(
        width=width >> 16 or None,
        height=height >> 16 or None,
        duration=_movie_seconds(moov),
        fps=samples * media_scale / ticks if samples and ticks else None,
    )
    return measured, sum(sizes)


def _movie_seconds(moov: bytes) -> float | None:
    scale, ticks = _clock(next(_find(moov, b"mvhd")))
    if not ticks:
        # A fragmented file has its length here, or nowhere.
        for extent in _find(moov, b"mvex", b"mehd"):
            ticks = int.from_bytes(extent[4:], "big")
    return ticks / scale if scale and ticks else None


def _clock(header: bytes) -> tuple[int, int]:
    """Return ticks a second and the duration in ticks (0 where unknown) of an `mvhd` or `mdhd` box."""
    if header[:1] == b"\x01":
        scale, ticks = struct.unpack_from(">IQ", header, 20)
        return scale, 0 if ticks == 2**64 - 1 else ticks
    scale, ticks = struct.unpack_from(">II", header, 12)
    return scale, 0 if ticks == 2**32 - 1 else ticks


def _pairs(table: bytes) -> Iterator[tuple[int, int]]:
    (count,) = struct.unpack_from(">I", table, 4)
    if 8 + count * 8 > len(table):
        raise BadMediaError("The file is damaged: its table of sample times is incomplete.")
    yield from struct.iter_unpack(">II", table[8 : 8 + count * 8])


def _sample_bytes(table: bytes) -> int:
    size: int
    count: int
    size, count = struct.unpack_from(">II", table, 4)
    if size:
        return size * count
    if 12 + count * 4 > len(table):
        raise BadMediaError("The file is damaged: its table of sample sizes is incomplete.")
    return sum(value for (value,) in struct.iter_unpack(">I", table[12 : 12 + count * 4]))


def _measure_items(meta: bytes) -> Measurements:
    """Return the largest size among the items: tiles, thumbnails and alpha planes are never larger than the picture."""
    sizes = [
        (int.from_bytes(extent[4:8], "big"), int.from_bytes(extent[8:12], "big"))
        for extent in _find(meta[4:], b"iprp", b"ipco", b"ispe")
    ]
    if not sizes:
        return Measurements()
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Measurements(width=width, height=height)
