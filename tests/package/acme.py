"""Acme's service on loopback: the other side of examples/acme-provider."""

from __future__ import annotations

import json
import struct
import threading
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "acme-test-key"


def picture(width: int, height: int, shade: int) -> bytes:
    """Return a whole PNG of one colour."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = (b"\0" + bytes((shade, 80, 120)) * width) * height
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Acme(ThreadingHTTPServer):
    """The service with its books: what was created, and with which idempotency key."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.created: list[dict[str, object]] = []
        self.keys: list[str] = []
        self.polls: dict[str, int] = {}
        self.address = f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Acme
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.headers["authorization"] != f"Bearer {KEY}":
            self.answer(401, {"message": "unknown key"})
        elif body["inputs"]["text"] == "no credit":
            self.answer(402, {"message": "nothing left"})
        else:
            self.server.created.append(body)
            self.server.keys.append(self.headers["idempotency-key"])
            self.answer(201, {"id": f"r{len(self.server.created)}", "state": "waiting"})

    def do_GET(self) -> None:
        if self.path.startswith("/files/"):
            number = int(self.path.removeprefix("/files/r"))
            self.answer(200, picture(96, 64, 40 * number))
            return
        ref = self.path.rpartition("/")[2]
        self.server.polls[ref] = self.server.polls.get(ref, 0) + 1
        done = self.server.polls[ref] > 1
        file = {"file": f"http://{self.server.address}/files/{ref}"} if done else {}
        self.answer(200, {"id": ref, "state": "done" if done else "drawing", **file})

    def do_DELETE(self) -> None:
        self.answer(200, {"id": self.path.rpartition("/")[2], "state": "cancelled"})

    def answer(self, status: int, body: bytes | dict[str, object]) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "image/png" if isinstance(body, bytes) else "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        del arguments


@contextmanager
def running() -> Iterator[Acme]:
    """Serve until the block ends."""
    server = Acme()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
