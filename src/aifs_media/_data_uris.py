"""Files inside a text: `data:image/png;base64,...`, as some providers answer them. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

from aifs_media.records import InlineFile

_DATA_URI = re.compile(r"data:(?P<media_type>[^;,]*)(?:;[^;,]*)*?(?P<base64>;base64)?,(?P<data>.*)", re.DOTALL)


def inline_file(text: str) -> InlineFile | None:
    """Return the file in a data URI; None where there is none, or its data are damaged."""
    match = _DATA_URI.fullmatch(text)
    if match is None:
        return None
    data = unquote_to_bytes(match["data"])
    if match["base64"]:
        try:
            data = base64.b64decode(b"".join(data.split()), validate=True)
        except binascii.Error:
            return None
    return InlineFile(data=data, media_type=match["media_type"]) if data else None
