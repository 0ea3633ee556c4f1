"""An HTTP endpoint on loopback that keeps every POST it gets."""

from __future__ import annotations

import http.server
import threading
from typing import NamedTuple


class Delivery(NamedTuple):
    """One POST: its path with the query, its headers by lower-case name, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes


class Inbox:
    """Keeps what it gets; the first `refusals` deliveries are answered 500."""

    def __init__(self, refusals: int = 0) -> None:
        self.deliveries: list[Delivery] = []
        self.arrived = threading.Condition()
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with inbox.arrived:
                    inbox.deliveries.append(Delivery(self.path, headers, body))
                    refused = len(inbox.deliveries) <= refusals
                    inbox.arrived.notify_all()
                self.send_response(500 if refused else 200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.url = f"http://{self.host}/hook?job=1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def wait_for(self, count: int) -> list[Delivery]:
        """Return the deliveries once there are so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.deliveries) >= count, timeout=10)
            return list(self.deliveries)

    def close(self) -> None:
        """Free the port."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
