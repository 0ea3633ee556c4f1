"""Bodies of `multipart/form-data`. Pure: the same fields and files always make the same parts, with a fresh boundary between."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class FormFile(NamedTuple):
    """A file of a form: the field's name, the file's name, its media type and its bytes."""

    field: str
    name: str
    media_type: str
    data: bytes


class Form(NamedTuple):
    """A body of `multipart/form-data` and its Content-Type."""

    media_type: str
    content: bytes


def multipart_form(fields: Mapping[str, str], files: Iterable[FormFile] = ()) -> Form:
    """Return the body that carries these fields and files, in this order. A file's name is cut to 255 bytes."""
    boundary = uuid.uuid4().hex
    parts = [_part(boundary, f'name="{_quoted(name)}"', "", value.encode()) for name, value in fields.items()]
    for file in files:
        disposition = f'name="{_quoted(file.field)}"; filename="{_quoted(file.name)}"'
        parts.append(_part(boundary, disposition, file.media_type or "application/octet-stream", file.data))
    return Form(f"multipart/form-data; boundary={boundary}", b"".join(parts) + f"--{boundary}--\r\n".encode())


def _part(boundary: str, disposition: str, media_type: str, value: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    if media_type:
        head += f"Content-Type: {media_type}\r\n"
    return f"{head}\r\n".encode() + value + b"\r\n"


def _quoted(name: str) -> str:
    return re.sub(r'[\r\n"\\]', "_", name).encode()[:255].decode("utf-8", "ignore")
