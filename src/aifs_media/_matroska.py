"""The walk over WebM and Matroska videos.

Elements are followed from the first byte to the last. Files that were written to a pipe have containers of unknown size; those
are entered, not passed over, and for them a missing tail can only be noticed inside an element. Source: RFC 8794 (EBML), RFC 9559.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from aifs_media._incremental import Measurements
from aifs_media.errors import BadMediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aifs_media._incremental import ByteReader, Step

EBML = 0x1A45DFA3
DOC_TYPE = 0x4282
SEGMENT = 0x18538067
INFO = 0x1549A966
TIMESTAMP_SCALE = 0x2AD7B1
DURATION = 0x4489
TRACKS = 0x1654AE6B
TRACK_ENTRY = 0xAE
TRACK_TYPE = 0x83
VIDEO_TRACK = 1
DEFAULT_DURATION = 0x23E383
VIDEO = 0xE0
PIXEL_WIDTH = 0xB0
PIXEL_HEIGHT = 0xBA
CLUSTER = 0x1F43B675

NANOSECONDS = 1_000_000_000
DEFAULT_TIMESTAMP_SCALE = 1_000_000
# Both descriptions are some hundred bytes; above this they are passed over, and the measurements stay unknown.
MAX_DESCRIPTION_BYTES = 64 * 1024


def document_type(head: bytes) -> str:
    """Return the `DocType` of the EBML header that a file starts with, or an empty string where there is none."""
    try:
        name, header = next(_elements(head), (0, b""))
        values = [value for child, value in _elements(header) if child == DOC_TYPE] if name == EBML else []
    except BadMediaError:
        return ""
    return values[0].decode("ascii", "replace").rstrip("\0") if values else ""


def walk_matroska(reader: ByteReader) -> Step[Measurements]:
    """Walk the elements of the file's segment."""
    _, header_size = yield from _element_head(reader)
    yield from reader.skip(header_size or 0)
    segment, size = yield from _element_head(reader)
    if segment != SEGMENT:
        raise reader.bad("its segment is expected there")
    end = None if size is None else reader.position + size
    seen: set[int] = set()
    seconds: float | None = None
    video = Measurements()
    while reader.position != end and not (end is None and (yield from reader.at_end())):
        name, size = yield from _element_head(reader)
        seen.add(name)
        if size is None:
            if name != CLUSTER:
                raise reader.bad("an element without a size")
            continue
        if end is not None and reader.position + size > end:
            raise reader.bad("an element is longer than the segment around it")
        if name not in {INFO, TRACKS} or size > MAX_DESCRIPTION_BYTES:
            yield from reader.skip(size)
            continue
        payload = yield from reader.take(size)
        if name == INFO:
            seconds = _seconds(payload)
        else:
            video = _video_track(payload)
    if not {TRACKS, CLUSTER} <= seen:
        raise BadMediaError(
            f"The {reader.subject} is cut short: its tracks or its media data are missing.",
            hint="Fetch it again.",
            retryable=True,
        )
    yield from reader.padding_to_end()
    return replace(video, duration=seconds)


def _element_head(reader: ByteReader) -> Step[tuple[int, int | None]]:
    """Return an element's id, marker included as in the specification, and its size; None means unknown."""
    name = yield from _vint(reader, longest=4)
    size = yield from _vint(reader, longest=8)
    return int.from_bytes(name, "big"), _number(size)


def _vint(reader: ByteReader, *, longest: int) -> Step[bytes]:
    """Consume a number of variable length."""
    first = yield from reader.take(1)
    length = _number_length(first[0])
    if length > longest:
        raise reader.bad("an element is expected there")
    return first + (yield from reader.take(length - 1))


def _number_length(first: int) -> int:
    """Return the bytes of a number by its first byte: the count of leading zero bits and one."""
    return 9 - first.bit_length()


def _number(raw: bytes) -> int | None:
    bits = 7 * len(raw)
    value = int.from_bytes(raw, "big") & ((1 << bits) - 1)
    return None if value == (1 << bits) - 1 else value


def _elements(payload: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(payload):
        name_end = position + _number_length(payload[position])
        if name_end >= len(payload):
            raise BadMediaError("The file is damaged: the description of its tracks is incomplete.")
        start = name_end + _number_length(payload[name_end])
        size = _number(payload[name_end:start])
        if size is None or start + size > len(payload):
            raise BadMediaError("The file is damaged: the description of its tracks is incomplete.")
        yield int.from_bytes(payload[position:name_end], "big"), payload[start : start + size]
        position = start + size


def _seconds(info: bytes) -> float | None:
    values = dict(_elements(info))
    scale = int.from_bytes(values.get(TIMESTAMP_SCALE, b""), "big") or DEFAULT_TIMESTAMP_SCALE
    raw = values.get(DURATION, b"")
    if len(raw) not in {4, 8}:
        return None
    (ticks,) = struct.unpack(">d" if len(raw) == 8 else ">f", raw)
    seconds = float(ticks) * scale / NANOSECONDS
    # NaN and infinity can be written there.
    return seconds if 0 < seconds < float("inf") else None


def _video_track(tracks: bytes) -> Measurements:
    for name, entry in _elements(tracks):
        values = dict(_elements(entry)) if name == TRACK_ENTRY else {}
        if int.from_bytes(values.get(TRACK_TYPE, b""), "big") != VIDEO_TRACK:
            continue
        picture = dict(_elements(values.get(VIDEO, b"")))
        frame_nanoseconds = int.from_bytes(values.get(DEFAULT_DURATION, b""), "big")
        return Measurements(
            width=int.from_bytes(picture.get(PIXEL_WIDTH, b""), "big") or None,
            height=int.from_bytes(picture.get(PIXEL_HEIGHT, b""), "big") or None,
            fps=NANOSECONDS / frame_nanoseconds if frame_nanoseconds else None,
        )
    raise BadMediaError("The file holds no video track.", hint="A video was asked for; this may be sound alone.")
