"""Files that come inside a JSON answer, as base64: decoded straight from the answer's bytes.

A JSON reader would make a text of every file first, and an answer may hold tens of megabytes. So the texts are cut out before
the rest is read, and each file exists twice only: as it arrived, and decoded.
"""

from __future__ import annotations

import binascii
import json
import re
from typing import TYPE_CHECKING, NamedTuple

from aifs_media._outside_json import load_json

if TYPE_CHECKING:
    from pydantic import JsonValue

_DATA_URI = re.compile(rb"data:[^,]{0,200};base64,")
_LONGEST_HEAD = 256
MOST_FILES = 1000
"""No model makes more than a few at once; each is worth a copy and a decoding, even an empty one."""


class Extracted(NamedTuple):
    """A JSON answer in which each file's text was replaced by its place in `files`. A file that cannot be decoded is None."""

    rest: JsonValue
    files: list[bytes | None]

    def file(self, place: JsonValue) -> bytes | None:
        """Return the file that stood where a member of `rest` has this value; None where none did, or it was empty."""
        known = isinstance(place, int) and not isinstance(place, bool) and 0 <= place < len(self.files)
        return (self.files[place] or None) if known and isinstance(place, int) else None


def extract(body: bytes, member: str) -> Extracted:
    """Return a JSON body and the files that its members of this name hold as base64, or as a data URI.

    Raises:
        ValueError: it is not JSON, or more than an answer has beside its files.
    """
    # In a text of JSON a quotation mark has a backslash in front, so this is found where a member begins, and nowhere else.
    begin = re.compile(rb'"%s"\s*:\s*"' % re.escape(member.encode()))
    view, rest, files, done = memoryview(body), bytearray(), list[bytes | None](), 0
    while (found := begin.search(body, done)) is not None:
        end = body.find(b'"', found.end())
        if end < 0:
            break
        rest += view[done : found.end() - 1]
        rest += str(len(files)).encode()
        if len(files) == MOST_FILES:
            raise ValueError(f"holds more than {MOST_FILES} files")
        files.append(decode(_unescaped(body, found.end() - 1, end)))
        done = end + 1
    rest += view[done:]
    return Extracted(load_json(rest), files)


def decode(text: memoryview) -> bytes | None:
    """Return what a base64 text or data URI holds; None if it cannot be decoded."""
    head = _DATA_URI.match(bytes(text[:_LONGEST_HEAD]))
    try:
        return binascii.a2b_base64(text[head.end() :] if head else text)
    except binascii.Error:
        return None


def _unescaped(body: bytes, start: int, end: int) -> memoryview:
    """Return a text of JSON, given by its quotation marks: in place, or as a copy where it has escapes, as some servers write "/"."""
    if body.find(b"\\", start, end) < 0:
        return memoryview(body)[start + 1 : end]
    # Half a surrogate pair is no base64 either; what it stands beside may be a picture.
    return memoryview(json.loads(body[start : end + 1]).encode(errors="replace"))
