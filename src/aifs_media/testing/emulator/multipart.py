"""A small reader of multipart/form-data, for uploads of known clients."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Part:
    """One part of a multipart body."""

    file_name: str
    media_type: str
    data: bytes


def multipart(content_type: str, body: bytes) -> dict[str, Part]:
    """Read the parts of a multipart/form-data body by their names; none if it is not one."""
    boundary = _BOUNDARY.search(content_type)
    if boundary is None:
        return {}
    parts: dict[str, Part] = {}
    for piece in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, data = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("utf-8", "replace").split("\r\n") if ": " in line)
        lowered = {name.lower(): value for name, value in headers.items()}
        parameters = dict(_PARAMETER.findall(lowered.get("content-disposition", "")))
        parts[parameters.get("name", "")] = Part(
            parameters.get("filename", ""), lowered.get("content-type", "text/plain"), data.removesuffix(b"\r\n")
        )
    return parts
