"""Small real files, for fakes that hand out media: a PNG of any size, and one short MP4."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

from aifs_media.records import InlineFile

if TYPE_CHECKING:
    from aifs_media.records import Kind

# H.264, 64 x 36 pixels, 2 frames in 1 second, no sound; encoded once with x264 and kept, so that no encoder is needed.
_FILM = base64.b64decode(
    "AAAAIGZ0eXBpc29tAAACAGlzb21pc28yYXZjMW1wNDEAAALlbW9vdgAAAGxtdmhkAAAAAAAAAAAAAAAAAAAD6AAAA+gAAQAAAQAAAAAAAAAAAA"
    "AAAAEAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgAAAjR0cmFrAAAAXHRraGQA"
    "AAADAAAAAAAAAAAAAAABAAAAAAAAA+gAAAAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAABAAAAAAAAAAAAAAAAAABAAAAAAEAAAAAkAA"
    "AAAAAkZWR0cwAAABxlbHN0AAAAAAAAAAEAAAPoAAAAAAABAAAAAAGsbWRpYQAAACBtZGhkAAAAAAAAAAAAAAAAAABAAAAAQABVxAAAAAAALWhk"
    "bHIAAAAAAAAAAHZpZGUAAAAAAAAAAAAAAABWaWRlb0hhbmRsZXIAAAABV21pbmYAAAAUdm1oZAAAAAEAAAAAAAAAAAAAACRkaW5mAAAAHGRyZW"
    "YAAAAAAAAAAQAAAAx1cmwgAAAAAQAAARdzdGJsAAAAq3N0c2QAAAAAAAAAAQAAAJthdmMxAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAEAAJABI"
    "AAAASAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAGP//AAAAMWF2Y0MBZBAK/+EAFGdkEAqsuI/zwgAAAwACAAADAA"
    "gIAQAGaO4Dksiw/fj4AAAAABRidHJ0AAAAAAAAFMgAAAAAAAAAGHN0dHMAAAAAAAAAAQAAAAIAACAAAAAAHHN0c2MAAAAAAAAAAQAAAAEAAAAC"
    "AAAAAQAAABxzdHN6AAAAAAAAAAAAAAACAAACcgAAACcAAAAUc3RjbwAAAAAAAAABAAADFQAAAD11ZHRhAAAANW1ldGEAAAAAAAAAIWhkbHIAAA"
    "AAAAAAAG1kaXJhcHBsAAAAAAAAAAAAAAAACGlsc3QAAAAIZnJlZQAAAqFtZGF0AAACUAYF//9M3EXpvebZSLeWLNgg2SPu73gyNjQgLSBjb3Jl"
    "IDE2NSAtIEguMjY0L01QRUctNCBBVkMgY29kZWMgLSBDb3B5bGVmdCAyMDAzLTIwMjUgLSBodHRwOi8vd3d3LnZpZGVvbGFuLm9yZy94MjY0Lm"
    "h0bWwgLSBvcHRpb25zOiBjYWJhYz0xIHJlZj0xIGRlYmxvY2s9MTowOjAgYW5hbHlzZT0weDM6MHgxMzMgbWU9dW1oIHN1Ym1lPTEwIHBzeT0x"
    "IHBzeV9yZD0xLjAwOjAuMDAgbWl4ZWRfcmVmPTAgbWVfcmFuZ2U9MjQgY2hyb21hX21lPTEgdHJlbGxpcz0yIDh4OGRjdD0xIGNxbT0wIGRlYW"
    "R6b25lPTIxLDExIGZhc3RfcHNraXA9MSBjaHJvbWFfcXBfb2Zmc2V0PS0yIHRocmVhZHM9MSBsb29rYWhlYWRfdGhyZWFkcz0xIHNsaWNlZF90"
    "aHJlYWRzPTAgbnI9MCBkZWNpbWF0ZT0xIGludGVybGFjZWQ9MCBibHVyYXlfY29tcGF0PTAgY29uc3RyYWluZWRfaW50cmE9MCBiZnJhbWVzPT"
    "Agd2VpZ2h0cD0wIGtleWludD0xIGtleWludF9taW49MSBzY2VuZWN1dD0wIGludHJhX3JlZnJlc2g9MCByYz1jcmYgbWJ0cmVlPTAgY3JmPTQw"
    "LjAgcWNvbXA9MC42MCBxcG1pbj0wIHFwbWF4PTY5IHFwc3RlcD00IGlwX3JhdGlvPTEuNDAgYXE9MToxLjAwAIAAAAAaZYiEDv/9htjwKK/sSl"
    "yJzBMsG6fb13A6U0EAAAAjZYiCAd/+3zL4FLJHmnxlXwcwlx2NxbIvx6iI3KZTPAl6Wjg="
)


def small_png(width: int = 64, height: int = 64, *, text: str = "") -> bytes:
    """Return a whole PNG of one colour, which follows from `text`: two prompts, two pictures. Sizes in pixels."""
    colour = hashlib.sha256(text.encode()).digest()[:3]
    rows = (b"\0" + colour * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def small_mp4() -> bytes:
    """Return a whole MP4: 64 x 36 pixels, 1 second at 2 frames per second."""
    return _FILM


def small_file(kind: Kind, *, text: str = "") -> InlineFile:
    """Return a small image or video as a provider's output."""
    if kind == "video":
        return InlineFile(data=small_mp4(), media_type="video/mp4")
    return InlineFile(data=small_png(text=text), media_type="image/png")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
