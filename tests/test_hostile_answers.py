"""Servers that mean harm: bombs, endless and dripping bodies, false lengths, two files in one. Typed errors, in bounded memory."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import logging
import threading
import time
import tracemalloc
import zlib
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from PIL import Image
from tests.canaries import SIGNATURE
from tests.test_download import PICTURE, Handler, Server, fetch, serving

from aifs_media import _download
from aifs_media._http import ANSWER_LIMIT, HttpClient, parse_retry_after
from aifs_media.errors import BadMediaError, DownloadError, ProviderUnavailableError, UnexpectedResponseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
PAGE = b"<html><script>alert(1)</script></html>"


def zeros_in_gzip(size: int) -> bytes:
    """Return zeros, packed."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(MEBIBYTE)) for _ in range(size // MEBIBYTE)) + packer.flush()


BOMB = zeros_in_gzip(200 * MEBIBYTE)
BOMB_IN_A_BOMB = gzip.compress(BOMB)


@contextmanager
def at_most(mebibytes: int) -> Iterator[None]:
    """Measure what Python allocates meanwhile."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    print(f"at most {peak / MEBIBYTE:.1f} MiB")
    assert peak <= mebibytes * MEBIBYTE


def endless(handler: Handler, start: bytes, piece: bytes, **headers: str) -> None:
    """Send the start, and then pieces until the client has gone."""
    handler.send(200, start, Content_Length="", Connection="close", **headers)
    handler.close_connection = True
    handler.server.sent = len(start)  # type: ignore[attr-defined]
    with contextlib.suppress(OSError):
        while handler.server.sent < 4 * ANSWER_LIMIT:  # type: ignore[attr-defined]
            handler.wfile.write(piece)
            handler.server.sent += len(piece)  # type: ignore[attr-defined]


def with_size(width: int, height: int) -> bytes:
    """A PNG whose head promises this size."""
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    rest = PICTURE[PICTURE.index(b"IHDR") + 17 + 4 :]
    return PICTURE[:12] + head + zlib.crc32(head).to_bytes(4, "big") + rest


def gif() -> bytes:
    """A small GIF."""
    out = io.BytesIO()
    Image.new("P", (8, 8)).save(out, "GIF")
    return out.getvalue()


def dripping(start: bytes, drop: bytes) -> Callable[[Handler], None]:
    """Return an answer of which each part comes in time, and whose head has no end."""

    def answer(handler: Handler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(start)
            # Ends by itself where nothing else ends it, so that a test without a limit fails.
            for _ in range(1000):
                time.sleep(0.02)
                handler.wfile.write(drop)

    return answer


class SlowReader(Handler):
    """Takes a while before it reads what it was sent."""

    def do_POST(self) -> None:  # noqa: N802 - the name that the server calls
        """Let the line fill up first."""
        time.sleep(0.6)
        super().do_POST()


HEADS = pytest.mark.parametrize(
    ("start", "drop"),
    [(b"HTTP/1.1 200 OK\r\nx-a: ", b"a"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["a header", "continue"],
)


# -- files -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (PICTURE + PAGE, "appended|behind|after"),
        (gif() + PAGE, "appended|behind|after"),
        (b"GIF89a" + PAGE * 30, None),
        (b"\x89PNG\r\n\x1a\n" + PAGE * 30, None),
        (with_size(60_000, 60_000), "60000 x 60000"),
        (with_size(2**31 - 1, 2**31 - 1), "2147483647"),
        (BOMB, "gzip"),
    ],
    ids=["png+page", "gif+page", "gif head", "png head", "gigapixels", "largest", "bomb without a name"],
)
async def test_a_file_that_is_something_else(body: bytes, says: str | None) -> None:
    """Two files in one, a head with a page behind it, and pictures that would unpack to gigabytes."""
    with serving(lambda handler: handler.send(200, body, Content_Type="image/png")) as server:
        with at_most(16), pytest.raises(BadMediaError, match=says):
            await fetch(server)


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br", "deflate"])
async def test_a_packed_file_is_not_unpacked(encoding: str) -> None:
    """Nothing but identity was asked for."""
    with serving(lambda handler: handler.send(200, BOMB, Content_Encoding=encoding)) as server:
        with at_most(16), pytest.raises(BadMediaError, match="encoded"):
            await fetch(server)
        assert {name.lower(): value for name, value in server.seen[0].items()}["accept-encoding"] == "identity"


async def test_an_endless_file_is_left_soon() -> None:
    """A picture with zeros behind it for ever is refused at once, and not at the cap."""
    with serving(lambda handler: endless(handler, PICTURE, bytes(64 * 1024))) as server:
        with at_most(16), anyio.fail_after(20), pytest.raises(BadMediaError):
            await fetch(server)
    # What the kernel took before the client closed.
    assert server.sent < 32 * MEBIBYTE  # type: ignore[attr-defined]


async def test_a_length_that_is_too_short() -> None:
    """A part under its own right length is no file, whatever follows on the line."""
    with serving(lambda handler: handler.send(200, PICTURE, Content_Length=str(len(PICTURE) // 2))) as server:
        with pytest.raises(BadMediaError):
            await fetch(server)


@HEADS
async def test_a_head_that_drips(monkeypatch: pytest.MonkeyPatch, start: bytes, drop: bytes) -> None:
    """Before a file's first byte there is a limit, too, in each attempt."""
    monkeypatch.setattr(_download, "STALL_TIMEOUT", 0.3)
    with serving(dripping(start, drop)) as server:
        with anyio.fail_after(10), pytest.raises(DownloadError, match="stalled"):
            await fetch(server)
        assert len(server.seen) == 3


# -- answers ---------------------------------------------------------------------------------------------------------------


@contextmanager
def client_of(server: Server) -> Iterator[HttpClient]:
    """A provider's client for a server of this machine."""
    yield HttpClient(provider="acme", base_url=f"http://{server.host}", headers={"authorization": "Bearer key"})


async def test_a_bomb_in_an_answer() -> None:
    """It is unpacked no further than the limit."""
    with (
        serving(lambda handler: handler.send(200, BOMB, Content_Encoding="gzip")) as server,
        client_of(server) as client,
    ):
        with at_most(96), pytest.raises(UnexpectedResponseError, match="more than") as refused:
            await client.read("GET", "/x")
        await client.aclose()
    assert not refused.value.maybe_billed


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate", "br", "zstd", "compress", "gzip,gzip,gzip"])
async def test_other_encodings_stay_packed(encoding: str) -> None:
    """Bombs within bombs, and what was not asked for, are not unpacked: then it is not JSON."""
    with (
        serving(lambda handler: handler.send(200, BOMB_IN_A_BOMB, Content_Encoding=encoding)) as server,
        client_of(server) as client,
    ):
        with at_most(8):
            answer = await client.read("GET", "/x")
        await client.aclose()
    with pytest.raises(UnexpectedResponseError, match="not JSON"):
        answer.json()
    assert {name.lower(): value for name, value in server.seen[0].items()}["accept-encoding"] == "gzip"


@pytest.mark.parametrize("costs", [False, True])
async def test_an_endless_answer(*, costs: bool) -> None:
    """It is left at the limit; of a create it is said that it may be billed."""
    with serving(lambda handler: endless(handler, b'{"a": "', b"a" * 64 * 1024)) as server, client_of(server) as client:
        with at_most(96), anyio.fail_after(50), pytest.raises(UnexpectedResponseError, match="more than") as refused:
            await (client.create("/x", json={}) if costs else client.read("GET", "/x"))
        await client.aclose()
    assert refused.value.maybe_billed is costs


@pytest.mark.parametrize("costs", [False, True])
async def test_an_answer_that_drips(*, costs: bool) -> None:
    """Each byte comes in time, and the answer does not: it ends within the call's time."""
    stop = threading.Event()

    def answer(handler: Handler) -> None:
        handler.send(200, b"{", Content_Length="1000")
        with contextlib.suppress(OSError):
            while not stop.wait(0.02):
                handler.wfile.write(b" ")
                handler.wfile.flush()

    with serving(answer) as server, client_of(server) as client:
        with anyio.fail_after(20), pytest.raises(ProviderUnavailableError) as refused:
            await (client.create("/x", json={}, timeout=0.5) if costs else client.read("GET", "/x", timeout=0.5))
        stop.set()
        await client.aclose()
    assert refused.value.maybe_billed is costs
    assert refused.value.retryable is not costs


@HEADS
@pytest.mark.parametrize("costs", [False, True])
async def test_a_head_of_an_answer_that_drips(start: bytes, drop: bytes, *, costs: bool) -> None:
    """The limit is for head and body together."""
    with serving(dripping(start, drop)) as server, client_of(server) as client:
        with anyio.fail_after(10), pytest.raises(ProviderUnavailableError) as refused:
            await (client.create("/x", json={}, timeout=0.5) if costs else client.read("GET", "/x", timeout=0.5))
        await client.aclose()
    assert refused.value.maybe_billed is costs
    assert refused.value.retryable is not costs


async def test_the_log_of_httpx_holds_no_queries_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """They may hold a provider's token, or the host's; other requests of the process are logged as ever."""
    with serving(lambda handler: handler.send(200, b"{}")) as server, client_of(server) as client:
        await client.read("GET", f"/job?token={SIGNATURE}", params={"page": "2"})
        await client.create(f"/jobs?fal_webhook=https%3A%2F%2Fhost.test%2F%3Fsecret%3D{SIGNATURE}", json={})
        await client.aclose()
        async with httpx.AsyncClient(trust_env=False) as other:
            await other.get(f"http://{server.host}/theirs?page=2")
    ours, create, theirs = (record.getMessage() for record in caplog.records if record.name == "httpx")
    assert ours == f'HTTP Request: GET http://{server.host}/job "HTTP/1.1 200 OK"'
    assert create == f'HTTP Request: POST http://{server.host}/jobs "HTTP/1.1 200 OK"'
    assert theirs == f'HTTP Request: GET http://{server.host}/theirs?page=2 "HTTP/1.1 200 OK"'
    assert len(logging.getLogger("httpx").filters) == 1


async def test_the_limit_of_a_held_answer_begins_when_the_request_was_sent() -> None:
    """A slow way to the server, and a request of many bytes, take nothing of the time that the answer has."""
    body = bytes(16 * MEBIBYTE)

    def answer(handler: Handler) -> None:
        time.sleep(0.6)
        handler.send(200, b"{}")

    with serving(answer) as server, client_of(server) as client:
        server.RequestHandlerClass = SlowReader
        answered = await client.create("/x", content=body, timeout=1.0)
        await client.aclose()
    assert answered.status == 200


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (gzip.compress(b"{}") + b"behind its end", "damaged gzip"),
        (gzip.compress(b"{}")[:-20], "not JSON|damaged gzip"),
        (b"{}", "damaged gzip"),
        (gzip.compress(b"[" * 200_000), "not JSON"),
        (gzip.compress(b'{"a":' * 200_000), "not JSON"),
        (gzip.compress(b"9" * 1_000_000), "not JSON"),
        (gzip.compress(b"[" + b"{}," * (5 * MEBIBYTE) + b"0]"), "more than 250000 values"),
    ],
    ids=["tail", "cut", "no gzip", "deep list", "deep object", "long number", "empty objects"],
)
async def test_an_answer_that_cannot_be_read(body: bytes, says: str) -> None:
    """Damaged, unpackable or too deep: an answer without sense, and no crash."""
    with (
        serving(lambda handler: handler.send(200, body, Content_Encoding="gzip")) as server,
        client_of(server) as client,
    ):
        # The body itself is held, while it comes and when it is whole.
        with at_most(48), pytest.raises(UnexpectedResponseError, match=says):
            (await client.read("GET", "/x")).json()
        await client.aclose()


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        ("7", 7.0),
        ("-5", 0.0),
        ("Mon, 01 Jan 2029 00:00:30 GMT", 30.0),
        ("Mon, 01 Jan 2029 00:00:30 -0000", 30.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1e400", None),
        ("9" * 400, None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 32 Jan 2029 00:00:00 GMT", None),
        ("Mon, 01 Jan 2029 99:00:00 GMT", None),
        ("Mon, 01 Jan 2029 00:00:00 +99999999999999999999", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
async def test_a_wait_is_a_number_or_nothing(told: str, wait: float | None) -> None:
    """Whatever a server asks to wait until."""
    assert parse_retry_after(told, now=datetime(2029, 1, 1, tzinfo=UTC)) == wait


@pytest.mark.parametrize("size", [2, 300_000, 5_000_000])
async def test_a_packed_answer_is_read(size: int) -> None:
    """Gzip is what was asked for."""
    sent = {"text": "ab" * (size // 2)}
    body = gzip.compress(json.dumps(sent).encode())
    with (
        serving(lambda handler: handler.send(200, body, Content_Encoding="gzip")) as server,
        client_of(server) as client,
    ):
        assert (await client.read("GET", "/x")).json() == sent
        await client.aclose()
