"""Files inside a JSON answer: each comes out as it was, whatever else the answer holds."""

from __future__ import annotations

import base64
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifs_media._inline import decode, extract

MEBIBYTE = 1024 * 1024


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@given(st.lists(st.binary(max_size=300), max_size=4), st.text(), st.sampled_from([None, 2]))
def test_every_file_comes_out_as_it_was(files: list[bytes], words: str, indent: int | None) -> None:
    """In order, with everything beside them unharmed."""
    body = {"words": words, "data": [{"b64_json": text(data), "words": words} for data in files], "last": [1.5, None]}
    made = extract(json.dumps(body, indent=indent).encode(), "b64_json")
    assert isinstance(made.rest, dict)
    assert (made.rest["words"], made.rest["last"]) == (words, [1.5, None])
    assert [made.file(place) for place in range(len(files))] == [data or None for data in files]
    assert made.rest["data"] == [{"b64_json": place, "words": words} for place in range(len(files))]


def test_half_a_character_spoils_no_other_file() -> None:
    """A member with half of a surrogate pair holds no file; the picture beside it is paid for."""
    body = b'{"data": [{"b64_json": "\\ud800AAA"}, {"b64_json": "' + text(b"picture").encode() + b'"}]}'
    made = extract(body, "b64_json")
    assert made.file(1) == b"picture"


def test_words_that_look_like_a_member_are_words() -> None:
    """A prompt may quote JSON."""
    body = {"revised_prompt": 'write {"b64_json": "AAAA"} on a wall', "b64_json": text(b"picture")}
    made = extract(json.dumps(body).encode(), "b64_json")
    assert isinstance(made.rest, dict)
    assert made.rest["revised_prompt"] == body["revised_prompt"]
    assert made.files == [b"picture"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b'"\\/\\/\\/\\/"', b"\xff\xff\xff"),
        (b'"AAAA\\nAAAA"', bytes(6)),
        (b'"AA\\u003d\\u003d"', b"\0"),
        (b'"data:image/png;base64,AAAA"', bytes(3)),
        (b'"A"', None),
        (b'""', None),
        (b"null", None),
        (b"7", None),
    ],
)
def test_other_spellings(written: bytes, expected: bytes | None) -> None:
    """Escapes, wrapped lines and data URIs are read; what is no file is None."""
    made = extract(b'{"b64_json": %s}' % written, "b64_json")
    assert isinstance(made.rest, dict)
    assert made.file(made.rest["b64_json"]) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"b64_json": "AAAA', b'{"b64_json": "AAAA"'])
def test_what_is_no_json_is_an_error(body: bytes) -> None:
    """Also when it breaks off inside a file."""
    with pytest.raises(ValueError, match=r"."):
        extract(body, "b64_json")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"b64_json": "AAAA", "a": ' + b"[" * 100_000, "not JSON"),
        (b'{"b64_json": "AAAA", "a": [' + b"{}," * 1_000_000 + b"0]}", "values"),
        (b"[" + b'{"b64_json":""},' * 1_000_000 + b"0]", "files"),
    ],
    ids=["deep", "many", "files"],
)
def test_more_than_an_answer_holds_is_an_error(body: bytes, says: str) -> None:
    """Nothing is made of it that would take more room than it does itself."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=says):
            extract(body, "b64_json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 * MEBIBYTE


def test_no_more_than_the_decoded_file_is_held() -> None:
    """Beside the answer, memory holds the files, and no text of them."""
    data = bytes(30 * MEBIBYTE)
    body = json.dumps({"data": [{"b64_json": text(data)}]}).encode()
    tracemalloc.start()
    try:
        made = extract(body, "b64_json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.files == [data]
    print(f"{peak / MEBIBYTE:.1f} MiB beside an answer of {len(body) / MEBIBYTE:.1f} MiB")
    assert peak < 31 * MEBIBYTE


def test_a_data_uri_by_itself() -> None:
    """As a URL member may hold one."""
    assert decode(memoryview(b"data:image/webp;base64,AAAA")) == bytes(3)
