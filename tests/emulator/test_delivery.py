"""The delivery host: whole files, ranges, conditions, leaks of keys, files of any size."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import av
import pytest

if TYPE_CHECKING:
    import httpx

    from aifs_media.testing.emulator import Emulator


@pytest.fixture
def url(replicate: httpx.Client) -> str:
    """The link of a finished picture."""
    body = {"version": "black-forest-labs/flux-schnell", "input": {"prompt": "a fox", "megapixels": "0.25"}}
    created = replicate.post("/predictions", json=body).json()
    return str(replicate.get(created["urls"]["get"]).json()["output"][0])


def test_a_whole_file(emulator: Emulator, web: httpx.Client, url: str) -> None:
    """Length, entity tag and type; the same bytes every time; the books count both."""
    first, second = web.get(url), web.get(url)
    assert first.content == second.content
    assert first.headers["content-length"] == str(len(first.content))
    assert first.headers["etag"] == second.headers["etag"]
    assert first.headers["content-type"] == "image/webp"
    assert first.headers["x-emulated-by"] == "aifs-media"
    assert emulator.books().predictions[0].downloads == 2


@pytest.mark.parametrize(
    ("wanted", "start", "stop"), [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-20", -20, None)]
)
def test_ranges(web: httpx.Client, url: str, wanted: str, start: int, stop: int | None) -> None:
    """206 with the part and where it lies."""
    whole = web.get(url).content
    part = web.get(url, headers={"range": wanted})
    assert part.status_code == 206
    assert part.content == whole[start:stop]
    first = start if start >= 0 else len(whole) + start
    assert part.headers["content-range"] == f"bytes {first}-{first + len(part.content) - 1}/{len(whole)}"


def test_a_range_beyond_the_end(web: httpx.Client, url: str) -> None:
    """416 with the size."""
    answer = web.get(url, headers={"range": "bytes=99999999-"})
    assert answer.status_code == 416
    assert answer.headers["content-range"].startswith("bytes */")


def test_a_range_of_another_file_gives_the_whole(web: httpx.Client, url: str) -> None:
    """`If-Range` with the entity tag gives the part, with any other the whole file."""
    tag = web.get(url).headers["etag"]
    assert web.get(url, headers={"range": "bytes=5-", "if-range": tag}).status_code == 206
    assert web.get(url, headers={"range": "bytes=5-", "if-range": '"other"'}).status_code == 200


def test_a_file_is_not_there_before_it_is_made(emulator: Emulator, poe: httpx.Client, web: httpx.Client) -> None:
    """Nor is one that never was."""
    assert web.get(f"{emulator.delivery_url}/xezq/nothing/out-0.webp").status_code == 404


def test_leaked_keys_are_recorded_and_refused_on_demand(emulator: Emulator, web: httpx.Client, url: str) -> None:
    """The delivery host must never be sent the key."""
    headers = {"authorization": "Bearer secret"}
    assert web.get(url).status_code == 200
    assert emulator.books().leaks == 0
    assert web.get(url, headers=headers).status_code == 200
    assert emulator.books().leaks == 1
    emulator.switches.refuse_leaked_key = True
    assert web.get(url, headers=headers).status_code == 403
    assert "secret" not in repr(emulator.books())


@pytest.mark.parametrize("query", ["", "?length=known"])
def test_a_film_of_any_size_is_streamed(emulator: Emulator, web: httpx.Client, query: str) -> None:
    """Exactly so many bytes, playable, with a length only when asked."""
    size = 3_000_000
    answer = web.get(f"{emulator.delivery_url}/delivery/blob/{size}.mp4{query}")
    assert len(answer.content) == size
    assert ("content-length" in answer.headers) is bool(query)
    with av.open(io.BytesIO(answer.content)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 8


def test_a_film_smaller_than_a_film_can_be(emulator: Emulator, web: httpx.Client) -> None:
    """400."""
    assert web.get(f"{emulator.delivery_url}/delivery/blob/10.mp4").status_code == 400
