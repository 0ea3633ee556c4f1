"""Answers that go wrong on the wire: resets, silence, half a body, a false length."""

from __future__ import annotations

import gzip
import json
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import anyio
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from aifs_media.testing.emulator.faults import Fault

_PIECES = 16
# At most 64 MB a second, so that a client without a limit does not fill the memory at once.
_ENDLESS_PIECE = bytes(64 * 1024)
_ENDLESS_PAUSE = 0.001


class DropConnection(Response):
    """Resets the connection without a single byte of an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - an ASGI signature
        """Abort the transport so that the peer sees a reset."""
        transport = scope["state"]["transport"]
        # Lingering for 0 seconds makes the kernel send RST instead of FIN. The peer may be gone already.
        with suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await _until_disconnected(receive)


class Silence(Response):
    """Never answers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - an ASGI signature
        """Wait for the peer to give up."""
        await _until_disconnected(receive)


class BrokenOff(Response):
    """Sends part of a body under a Content-Length that promised more, then closes the connection."""

    def __init__(self, whole: Response, *, sent: bytes, promised: int) -> None:
        """Take status and headers from `whole`."""
        super().__init__(status_code=whole.status_code, background=whole.background)
        self.raw_headers = _with_header(whole, b"content-length", str(promised).encode())
        self.body = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the part and close."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        scope["state"]["transport"].close()
        await _until_disconnected(receive)


async def answer_before(fault: Fault, request: Request) -> Response | None:
    """Return the answer that replaces the work, or None when the work goes on."""
    match fault.kind:
        case "drop_before":
            return DropConnection()
        case "hang":
            return Silence()
        case "redirect":
            return RedirectResponse(fault.url or str(request.url), status_code=302, headers=dict(fault.headers))
        case "status" if fault.body is not None:
            return _plain(fault)
        case "delay":
            await anyio.sleep(fault.seconds)
            return None
        case _:
            return None


def answer_after(fault: Fault, answer: Response) -> Response:
    """Return the answer as it arrives when this fault strikes after the work was done."""
    body = bytes(answer.body) if hasattr(answer, "body") else b""
    return _AFTER[fault.kind](fault, answer, body)


def _half(_fault: Fault, answer: Response, body: bytes) -> Response:
    return BrokenOff(answer, sent=body[: len(body) // 2], promised=len(body))


def _too_long(_fault: Fault, answer: Response, body: bytes) -> Response:
    return BrokenOff(answer, sent=body, promised=len(body) + 1000)


def _encoded(_fault: Fault, answer: Response, body: bytes) -> Response:
    encoded = _with_body(answer, gzip.compress(body))
    encoded.headers["content-encoding"] = "gzip"
    return encoded


def _mistyped(fault: Fault, answer: Response, _body: bytes) -> Response:
    answer.headers["content-type"] = fault.text or "text/html; charset=utf-8"
    return answer


def _with_a_key_twice(_fault: Fault, answer: Response, body: bytes) -> Response:
    # A JSON reader takes the later of two equal keys; the first is an internal name, as leaked in recordings.
    return _with_body(answer, body.replace(b"{", b'{"model":"replicate-internal/other",', 1))


def _with_unknown_status(fault: Fault, answer: Response, body: bytes) -> Response:
    members = cast("dict[str, object]", json.loads(body))
    return _with_body(answer, json.dumps({**members, "status": fault.text or "hibernating"}).encode())


_AFTER: dict[str, Callable[[Fault, Response, bytes], Response]] = {
    "drop_after": lambda _fault, _answer, _body: DropConnection(),
    "hang_after": lambda _fault, _answer, _body: Silence(),
    "half_body": _half,
    "wrong_length": _too_long,
    "truncated": lambda _fault, answer, body: _with_body(answer, body[: len(body) // 2]),
    "slow_drip": lambda fault, answer, body: _streamed(answer, _drip(body, fault.seconds)),
    "endless": lambda _fault, answer, body: _streamed(answer, _endless(body)),
    "encoded": _encoded,
    "wrong_content_type": _mistyped,
    "duplicate_key": _with_a_key_twice,
    "unknown_status": _with_unknown_status,
}


def _plain(fault: Fault) -> Response:
    body = fault.body or ""
    kind = "application/json" if body.lstrip().startswith("{") else "text/html; charset=utf-8"
    return PlainTextResponse(body, status_code=fault.status, headers={"content-type": kind, **fault.headers})


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drip(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    step = max(1, len(body) // _PIECES)
    for start in range(0, len(body), step):
        yield body[start : start + step]
        await anyio.sleep(seconds)


async def _endless(body: bytes) -> AsyncIterator[bytes]:
    yield body
    while True:
        await anyio.sleep(_ENDLESS_PAUSE)
        yield _ENDLESS_PIECE


def _streamed(answer: Response, pieces: AsyncIterator[bytes]) -> Response:
    streamed = StreamingResponse(pieces, status_code=answer.status_code)
    streamed.raw_headers = [(name, value) for name, value in answer.raw_headers if name != b"content-length"]
    return streamed


def _with_body(answer: Response, body: bytes) -> Response:
    changed = Response(body, status_code=answer.status_code)
    changed.raw_headers = _with_header(answer, b"content-length", str(len(body)).encode())
    return changed


def _with_header(answer: Response, name: bytes, value: bytes) -> list[tuple[bytes, bytes]]:
    return [pair for pair in answer.raw_headers if pair[0] != name] + [(name, value)]
