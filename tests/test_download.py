"""Downloads that break, lie, redirect and never end, from a real server on loopback."""

from __future__ import annotations

import hashlib
import io
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import anyio
import pytest
from PIL import Image

from aifs_media import _download
from aifs_media._clock import SystemClock
from aifs_media._download import open_output
from aifs_media._files import FileClient
from aifs_media._urlguard import URLGuard
from aifs_media.errors import BadMediaError, DownloadError, MediaError, UnsafeURLError
from aifs_media.records import InlineFile, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.anyio


def picture() -> bytes:
    """A PNG of some hundred kilobytes, so that it takes many reads."""
    out = io.BytesIO()
    Image.effect_noise((512, 512), 90).save(out, "PNG")
    return out.getvalue()


PICTURE = picture()


class NoWaiting(SystemClock):
    """Real time without pauses between attempts."""

    async def sleep(self, seconds: float) -> None:
        """Do not wait."""
        await anyio.lowlevel.checkpoint()


class Handler(BaseHTTPRequestHandler):
    """Answers as the test's function says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Note the request and answer it."""
        self.server.seen.append(dict(self.headers))  # type: ignore[attr-defined]
        self.server.answer(self)  # type: ignore[attr-defined]

    def do_POST(self) -> None:
        """Answer a create, whose body is read first."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def send(self, status: int, body: bytes = b"", *, cut: int | None = None, **headers: str) -> None:
        """Send headers and body; `cut` bytes only, then break off."""
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            **{n.replace("_", "-"): v for n, v in headers.items()},
        }.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """One server, its answers, and what it was asked."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Handler], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.seen: list[dict[str, str]] = []
        self.host = f"127.0.0.1:{self.server_port}"
        self.url = f"http://{self.host}/file?signature=canary"

    def handle_error(self, request: object, client_address: object) -> None:
        """Broken pipes are the point."""


@contextmanager
def serving(answer: Callable[[Handler], None]) -> Iterator[Server]:
    """Run a server for one test."""
    server = Server(answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def fetch(
    server: Server,
    *,
    file: RemoteFile | None = None,
    trusted: frozenset[str] | None = None,
    authorize: Callable[[str], dict[str, str]] = lambda url: {"authorization": "canary-key"},
) -> bytes:
    """Fetch as the pipeline does."""
    client = FileClient(URLGuard(trusted=trusted or frozenset({server.host})))
    try:
        source = await open_output(
            file or RemoteFile(url=server.url),
            "image",
            client=client,
            clock=NoWaiting(),
            authorize=authorize,
            on_retry=lambda error, wait: None,
            on_bytes=lambda size, total: None,
        )
        try:
            data = bytearray()
            while chunk := await source.read():
                data += chunk
        finally:
            await source.aclose()
        assert source.sha256 == hashlib.sha256(data).hexdigest()
        assert source.size == len(data)
        return bytes(data)
    finally:
        await client.aclose()


async def test_resumes_where_it_broke() -> None:
    """Two breaks: the rest is asked for by range, and the whole is the same."""

    def answer(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        rest = PICTURE[start:]
        cut = len(rest) // 2 if len(handler.server.seen) < 3 else None  # type: ignore[attr-defined]
        if start:
            handler.send(
                206, rest, cut=cut, Content_Range=f"bytes {start}-{len(PICTURE) - 1}/{len(PICTURE)}", ETag='"a"'
            )
        else:
            handler.send(200, rest, cut=cut, ETag='"a"')

    with serving(answer) as server:
        assert await fetch(server) == PICTURE
        assert [request.get("range", "")[:6] for request in map(_lower, server.seen)] == ["", "bytes=", "bytes="]
        assert _lower(server.seen[1])["if-range"] == '"a"'
        assert "canary-key" not in str(server.seen)


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


async def test_without_ranges_it_skips_what_it_has() -> None:
    """A server that ignores the range sends all again; what was passed on is compared and skipped."""

    def answer(handler: Handler) -> None:
        handler.send(200, PICTURE, cut=100_000 if len(handler.server.seen) == 1 else None)  # type: ignore[attr-defined]

    with serving(answer) as server:
        assert await fetch(server) == PICTURE


@pytest.mark.parametrize("etag", ['W/"a"', '"\u00e9"', ""])
async def test_an_etag_that_cannot_be_asked_for(etag: str) -> None:
    """The rest comes by range alone."""

    def answer(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        if start:
            handler.send(206, PICTURE[start:], Content_Range=f"bytes {start}-{len(PICTURE) - 1}/{len(PICTURE)}")
        else:
            handler.send(200, PICTURE, cut=200_000, ETag=etag)

    with serving(answer) as server:
        assert await fetch(server) == PICTURE
        assert ["if-range" in _lower(request) for request in server.seen] == [False, False]


async def test_a_file_that_changed_is_refused() -> None:
    """Half of one file and half of another are no file."""
    other = picture()

    def answer(handler: Handler) -> None:
        first = len(handler.server.seen) == 1  # type: ignore[attr-defined]
        handler.send(200, PICTURE if first else other, cut=100_000 if first else None)

    with serving(answer) as server:
        with pytest.raises(DownloadError, match="changed between") as broken:
            await fetch(server)
        assert "canary" not in str(broken.value)


async def test_a_range_that_ends_early_is_no_end() -> None:
    """The rest that was asked for comes in two answers, each whole by itself: the length of the first answer counts."""
    ends = iter([200_000, 250_000, len(PICTURE)])

    def answer(handler: Handler) -> None:
        start, end = int((handler.headers.get("Range") or "bytes=0-")[6:-1]), next(ends)
        if start:
            handler.send(206, PICTURE[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(PICTURE)}", ETag='"a"')
        else:
            handler.send(200, PICTURE, cut=end, ETag='"a"')

    with serving(answer) as server:
        assert await fetch(server) == PICTURE
        assert len(server.seen) == 3


async def test_a_file_without_its_end_is_refused() -> None:
    """All bytes came that were announced, and the picture lacks its last ones: it never ends well."""
    with serving(lambda handler: handler.send(200, PICTURE[:-20])) as server, pytest.raises(BadMediaError, match="cut"):
        await fetch(server)


async def test_another_range_is_refused() -> None:
    """Bytes from another place than the one asked for would make a file that nobody made."""

    def answer(handler: Handler) -> None:
        if handler.headers.get("Range"):
            handler.send(206, PICTURE[5:], Content_Range=f"bytes 5-{len(PICTURE) - 1}/{len(PICTURE)}", ETag='"a"')
        else:
            handler.send(200, PICTURE, cut=200_000, ETag='"a"')

    with serving(answer) as server:
        with pytest.raises(DownloadError, match="another range"):
            await fetch(server)


async def test_every_hop_is_asked_for_its_own_headers() -> None:
    """What may go to the first address does not go along to the next one."""

    def answer(handler: Handler) -> None:
        if handler.path.startswith("/file"):
            handler.send(302, Location="/elsewhere")
        else:
            handler.send(200, PICTURE)

    with serving(answer) as server:
        key = {"authorization": "canary-key"}
        file = RemoteFile(url=server.url, auth="provider")
        assert await fetch(server, file=file, authorize=lambda url: key if "/file" in url else {}) == PICTURE
        assert ["authorization" in _lower(request) for request in server.seen] == [True, False]


async def test_three_breaks_are_enough() -> None:
    """The attempts are bounded."""
    with serving(lambda handler: handler.send(200, PICTURE, cut=1000)) as server:
        with pytest.raises(DownloadError):
            await fetch(server)
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    "location", ["/again", "http://127.0.0.1:1/x", "https://[::1", "http://169.254.169.254/", "ftp://x.test/a"]
)
async def test_redirects_end_in_typed_errors(location: str) -> None:
    """A loop ends, and nothing private or malformed is followed."""
    with serving(lambda handler: handler.send(302, Location=location)) as server:
        with pytest.raises(MediaError) as refused:
            await fetch(server)
        assert isinstance(refused.value, UnsafeURLError if location != "/again" else DownloadError)
        assert len(server.seen) <= 4


async def test_trust_does_not_reach_over_a_redirect() -> None:
    """A trusted host is fetched when it is named directly, not when another one points at it."""
    with serving(lambda handler: handler.send(200, PICTURE)) as inner:
        with serving(lambda handler: handler.send(302, Location=inner.url)) as outer:
            with pytest.raises(UnsafeURLError, match="redirect"):
                await fetch(outer, trusted=frozenset({outer.host, inner.host}))
        assert inner.seen == []


async def test_an_untrusted_loopback_is_never_connected() -> None:
    """Without trust, an address of this machine is refused before a byte is sent."""
    with serving(lambda handler: handler.send(200, PICTURE)) as server:
        with pytest.raises(UnsafeURLError):
            await fetch(server, trusted=frozenset({"127.0.0.1:1"}))
        assert server.seen == []


async def test_an_endless_body_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than the cap is refused while it streams."""
    monkeypatch.setitem(_download.BYTE_CAPS, "image", 50_000)
    with serving(lambda handler: handler.send(200, PICTURE)) as server:
        with pytest.raises(BadMediaError, match="more than 50000"):
            await fetch(server)


async def test_a_gzip_body_is_refused_undecoded() -> None:
    """An encoding nobody asked for may be a bomb."""
    with serving(lambda handler: handler.send(200, b"\x1f\x8b", Content_Encoding="gzip")) as server:
        with pytest.raises(BadMediaError, match="encoded"):
            await fetch(server)


async def test_a_stall_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops sending is left after the stall time, in each attempt."""
    monkeypatch.setattr(_download, "STALL_TIMEOUT", 0.1)
    stop = threading.Event()

    def answer(handler: Handler) -> None:
        handler.send(200, b"", Content_Length="100000")
        stop.wait(5)

    with serving(answer) as server:
        with anyio.fail_after(4), pytest.raises(DownloadError, match="stalled"):
            await fetch(server)
        stop.set()


async def test_inline_bytes_are_checked_too() -> None:
    """What came inside the answer is verified like anything else."""
    client = FileClient(URLGuard())
    with pytest.raises(BadMediaError):
        await open_output(
            InlineFile(data=b"<html>"), "image", client=client, clock=NoWaiting(), authorize=lambda url: {},
            on_retry=lambda error, wait: None, on_bytes=lambda size, total: None,
        )  # fmt: skip
