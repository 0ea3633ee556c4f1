"""A provider on loopback whose answers get lost: just enough of Replicate, fal, OpenAI's videos and Runway for one job.

Every create is accepted and counted, whatever becomes of its answer. Shapes are those of the vendors' documentation and clients.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal

import vendor_routes

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from typing import Self

    Shape = Callable[["FaultyServer", "Job"], object]

Fault = Literal["none", "drop", "500", "502", "slow", "hold"]
SLOW = 4.0


@dataclass
class Job:
    """One accepted create."""

    prompt: str
    values: dict[str, Any]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: float = field(default_factory=time.time)
    state: Literal["running", "done", "canceled"] = "running"


class FaultyServer:
    """The server and its account. `url` is plain HTTP; `tls_host` is the same over TLS, for a client that knows nothing else."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.jobs: list[Job] = []
        self.cancels = 0
        self.fault: Fault = "none"
        self.finishing = True
        self.accepted, self.polled, self.released = threading.Event(), threading.Event(), threading.Event()
        self._servers = [self._listen(None)]
        self.url = self.files_url = f"http://127.0.0.1:{self._servers[0].server_address[1]}"
        if context is not None:
            self._servers.append(self._listen(context))
            self.tls_host = f"localhost:{self._servers[1].server_address[1]}"

    def _listen(self, context: ssl.SSLContext | None) -> ThreadingHTTPServer:
        handler = type("Bound", (Handler,), {"account": self})
        server = Server(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def begin(self, fault: Fault, *, finishing: bool) -> None:
        """Open a new account: the next create's answer suffers `fault`; jobs are done at once, or when `finish` is called."""
        self.jobs, self.cancels = [], 0
        self.fault, self.finishing = fault, finishing
        for event in (self.accepted, self.polled, self.released):
            event.clear()

    def finish(self) -> None:
        """Let every running job succeed, and answer normally from now on."""
        self.fault, self.finishing = "none", True
        self.released.set()
        for job in self.jobs:
            if job.state == "running":
                job.state = "done"

    def accept(self, prompt: str, values: dict[str, Any]) -> Job:
        """Record a create."""
        job = Job(prompt, values, state="done" if self.finishing else "running")
        self.jobs.append(job)
        return job

    def find(self, identifier: str) -> Job | None:
        """Return the job with this id."""
        return next((job for job in self.jobs if job.id == identifier), None)

    def __enter__(self) -> Self:
        """Serve already."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop."""
        self.released.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()


class Server(ThreadingHTTPServer):
    """Says nothing of clients that went away: that is what they are made to do."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what is the server's own mistake."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    account: FaultyServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        for method, pattern, answer in vendor_routes.ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == self.command:
                answer(self, body, *found.groups())
                return
        self.send(404, {"detail": f"{self.command} {path}"})

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the base class's names

    def send(self, status: int, value: object) -> None:
        """Answer."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "image/png" if isinstance(value, bytes) else "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked may be gone
            self.wfile.write(data)

    def created(self, prompt: str, values: dict[str, Any], shape: Shape, status: int) -> None:
        """Accept a create; its answer may get lost."""
        account = self.account
        fault, account.fault = account.fault, "none"
        job = account.accept(prompt, values)
        account.accepted.set()
        match fault:
            case "drop":
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
            case "500" | "502":
                self.send(int(fault), {"detail": "Internal server error", "error": "Internal server error"})
            case "slow":
                time.sleep(SLOW)
                self.send(status, shape(account, job))
            case "hold":
                account.released.wait(60)
                self.close_connection = True
            case _:
                self.send(status, shape(account, job))

    def read(self, identifier: str, shape: Shape, status: Callable[[Job], int]) -> None:
        """Answer a question about a job."""
        account = self.account
        job = account.find(identifier)
        account.polled.set()
        if job is None:
            self.send(404, {"detail": "Not found"})
        else:
            self.send(status(job), shape(account, job))

    def cancel(self, identifier: str, shape: Shape, status: int) -> None:
        """Stop a job."""
        account = self.account
        account.cancels += 1
        job = account.find(identifier)
        if job is not None and job.state == "running":
            job.state = "canceled"
        self.send(status, shape(account, job) if job is not None else {})
