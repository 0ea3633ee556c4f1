"""The HTTP of the scripted service: one request per connection, with the standard library."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OWN_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"}


class _Reply(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> object: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class Handler(BaseHTTPRequestHandler):
    """Hands each request to its listener's `reply` and writes what that returns; None closes the connection without a word."""

    def _handle(self) -> None:
        body = self._chunked() if "chunked" in self.headers.get("transfer-encoding", "") else self._counted()
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = cast("Callable[..., _Reply | None]", cast("Any", self.server).reply)(
            self.command, self.path, headers, body
        )
        self.close_connection = True
        if reply is None:
            return
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        own = {"content-type": "application/json", **{name.lower(): value for name, value in reply.headers.items()}}
        try:
            self.send_response(reply.status)
            for name, value in {**own, "content-length": str(len(data)), "connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            # The client has gone, as one that was cancelled does.
            return

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the base class calls them so

    def _counted(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _chunked(self) -> bytes:
        body = bytearray()
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def forward(
    server: str, method: str, path: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Send a request on to another server on this machine, and return status, headers and body of its answer."""
    parts = urlsplit(server)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
    try:
        kept = {name: value for name, value in headers.items() if name not in _OWN_HEADERS}
        connection.request(method, parts.path.rstrip("/") + path, body=body or None, headers=kept)
        answer = connection.getresponse()
        data = answer.read()
        given = {name.lower(): value for name, value in answer.getheaders() if name.lower() not in _OWN_HEADERS}
        return answer.status, given, data
    finally:
        connection.close()
