"""A TCP proxy on loopback that passes bytes on until a connection's script says otherwise. It knows no protocol, so TLS passes through."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 64 * 1024
# How often a connection that passes nothing on looks whether the proxy stops, in seconds.
LOOK_AGAIN = 0.05


@dataclass(frozen=True)
class Script:
    """What happens to one connection.

    Attributes:
        sent: Bytes from the client that are passed on before it happens; None for all.
        received: Bytes from the server that are passed on before it happens; None for all.
        then: "reset" sends RST to both sides, "close" ends orderly, "stall" passes nothing more on in either direction.
        piece: Bytes from the server that are passed on at a time, 0 for as they come.
        pause: Real seconds between such pieces.
        at_once: Bytes from the server that are passed on before that, as they come: an answer's head, for example.
    """

    sent: int | None = None
    received: int | None = None
    then: Literal["reset", "close", "stall"] = "reset"
    piece: int = 0
    pause: float = 0.0
    at_once: int = 0


REFUSED = Script(sent=0, received=0, then="reset")


class TcpProxy:
    """Stands in front of one address. `connections` counts what came in; `scripts` are used up in its order, then all passes."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition("://")[2].rpartition(":")
        self._upstream = (host, int(port))
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self.port: int = self._listening.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.connections = 0
        self.scripts: list[Script] = []

    @contextmanager
    def running(self) -> Iterator[TcpProxy]:
        """Serve until the block ends."""
        acceptor = threading.Thread(target=self._accept, name="tcp proxy")
        acceptor.start()
        try:
            yield self
        finally:
            self._stopped.set()
            # A thread that waits in accept() is woken by a connection, and not by the closing of its socket.
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                pass
            acceptor.join()
            self._listening.close()
            for thread in self._threads:
                thread.join()

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            if self._stopped.is_set():
                client.close()
                return
            script = self.scripts.pop(0) if self.scripts else Script()
            self.connections += 1
            thread = threading.Thread(target=_Connection(client, script, self._stopped, self._upstream).serve)
            self._threads.append(thread)
            thread.start()


class _Connection:
    """One connection through the proxy, a thread for each direction."""

    def __init__(
        self, client: socket.socket, script: Script, stopped: threading.Event, upstream: tuple[str, int]
    ) -> None:
        self._client = client
        self._script = script
        self._stopped = stopped
        self._upstream = upstream
        self._struck = threading.Event()

    def serve(self) -> None:
        with self._client, socket.create_connection(self._upstream) as server:
            if 0 in {self._script.sent, self._script.received} and self._script == REFUSED:
                _reset(self._client)
                return
            for end in (self._client, server):
                end.settimeout(LOOK_AGAIN)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._pass_on, args=(server, self._client, self._script.received))
            back.start()
            self._pass_on(self._client, server, self._script.sent)
            back.join()
            if self._struck.is_set() and self._script.then == "reset":
                _reset(self._client)
                _reset(server)

    def _pass_on(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        left = limit
        down = sink is self._client
        at_once = self._script.at_once
        while left is None or left > 0:
            size = at_once or self._script.piece or PIECE if down else PIECE
            data = self._receive(source, size if left is None else min(size, left))
            if data is None:
                return
            if not data:
                # One side has ended; what the other still says is passed on.
                with contextlib.suppress(OSError):
                    sink.shutdown(socket.SHUT_WR)
                return
            if down and self._script.pause and not at_once:
                self._stopped.wait(self._script.pause)
            if not self._send(sink, data):
                self._struck.set()
                return
            left = None if left is None else left - len(data)
            at_once = max(at_once - len(data), 0)
        if self._script.then == "stall":
            self._stopped.wait()
        self._struck.set()

    def _receive(self, source: socket.socket, size: int) -> bytes | None:
        """Return the next bytes, b"" at the end of the source, None when the connection is over."""
        while not self._stopped.is_set() and not self._struck.is_set():
            try:
                return source.recv(size)
            except TimeoutError:
                continue
            except OSError:
                self._struck.set()
        return None

    def _send(self, sink: socket.socket, data: bytes) -> bool:
        view = memoryview(data)
        while view and not self._stopped.is_set() and not self._struck.is_set():
            try:
                view = view[sink.send(view) :]
            except TimeoutError:
                continue
            except OSError:
                return False
        return not view


def _reset(end: socket.socket) -> None:
    # Lingering for 0 seconds makes the kernel send RST when the socket is closed.
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
