"""A uvicorn server in a thread of its own, on loopback only."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from aifs_media.testing.emulator.clock import Clock

HOST = "127.0.0.1"
_START_LIMIT = 10.0
# Seconds between looks at whether to stop, and how many quarters of it the last answers get.
_TICK = 0.02
_LAST_TURNS = 20


class ReachableProtocol(H11Protocol):
    """Hands every request the transport of its connection, so that a handler can break it."""

    def connection_made(self, transport: Any) -> None:
        """Put the transport where the application finds it: `scope["state"]["transport"]`."""
        super().connection_made(transport)
        self.app_state: dict[str, Any] = {**self.app_state, "transport": transport}


class _PromptServer(uvicorn.Server):
    """Stops at once: a client that hangs must not hold up the end of a test."""

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            counter += 1
            await anyio.sleep(_TICK)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - its owner closes them
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        # Whoever waited for one of these connections ends by itself within a few turns of the loop.
        for _ in range(_LAST_TURNS):
            if not self.server_state.tasks:
                break
            await anyio.sleep(_TICK / 4)


class ServerThread:
    """Serves one application on two loopback ports until it is stopped."""

    def __init__(self, *, port: int, delivery_port: int, clock: Clock) -> None:
        """Take the two ports; 0 means any free one.

        Raises:
            OSError: If a port is taken.
        """
        self._sockets = [_listen(port), _listen(delivery_port)]
        self.port, self.delivery_port = (listening.getsockname()[1] for listening in self._sockets)
        self._clock = clock
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, application: ASGIApp) -> None:
        """Serve; returns when requests are answered.

        Raises:
            RuntimeError: If the server does not come up.
        """
        config = uvicorn.Config(
            application,
            http=ReachableProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("x-emulated-by", "aifs-media")],
            timeout_keep_alive=30,
        )
        server = _PromptServer(config)
        thread = threading.Thread(target=self._run, args=(server,), name="aifs-media emulator", daemon=True)
        thread.start()
        limit = time.monotonic() + _START_LIMIT
        while not server.started:
            if not thread.is_alive() or time.monotonic() > limit:
                message = f"The emulator did not start on {HOST}:{self.port}. The log of 'uvicorn.error' says why."
                raise RuntimeError(message)
            time.sleep(0.002)
        self._server, self._thread = server, thread

    def stop(self) -> None:
        """Close all connections and wait for the thread to end."""
        self._clock.stopped = True
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join()
        for listening in self._sockets:
            listening.close()

    def _run(self, server: uvicorn.Server) -> None:
        anyio.run(server.serve, self._sockets, backend="asyncio")


def _listen(port: int) -> socket.socket:
    # With the protocol named, asyncio turns Nagle's algorithm off on what it accepts: 40 ms less for each answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError as error:
        listening.close()
        message = (
            f"The emulator cannot listen on {HOST}:{port}: {error.strerror}. Choose another port, or 0 for a free one."
        )
        raise OSError(error.errno, message) from error
    listening.listen(128)
    return listening
