"""Bodies of multipart/form-data, read back by the standard library."""

from __future__ import annotations

import email
from typing import TYPE_CHECKING, cast

from aifs_media._forms import FormFile, multipart_form

if TYPE_CHECKING:
    from email.message import Message

    from aifs_media._forms import Form


def parts_of(form: Form) -> list[Message]:
    message = email.message_from_bytes(f"Content-Type: {form.media_type}\r\n\r\n".encode() + form.content)
    return cast("list[Message]", message.get_payload())


def test_fields_and_files() -> None:
    """Every byte of fields and files arrives under its name, in order."""
    data = b"\x89PNG\r\n--\r\n\x00"
    form = multipart_form({"prompt": "füchse", "seed": "7"}, [FormFile("image", "a.png", "image/png", data)])
    prompt, seed, image = parts_of(form)
    assert prompt.get_param("name", header="content-disposition") == "prompt"
    assert prompt.get_payload(decode=True) == "füchse".encode()
    assert prompt.get_filename() is None
    assert seed.get_payload(decode=True) == b"7"
    assert image.get_param("name", header="content-disposition") == "image"
    assert (image.get_filename(), image.get_content_type()) == ("a.png", "image/png")
    assert data in form.content


def test_a_name_stays_in_its_quotes() -> None:
    """Nothing in a name can become a header, and a name that is too long is cut between two letters."""
    form = multipart_form({}, [FormFile("content", 'a"b\r\nX: y.png', "", b"")])
    assert b'filename="a_b__X: y.png"\r\nContent-Type: application/octet-stream\r\n\r\n' in form.content
    long = multipart_form({}, [FormFile("content", "ä" * 300, "", b"")])
    assert 'filename="' + "ä" * 127 + '"' in long.content.decode()
