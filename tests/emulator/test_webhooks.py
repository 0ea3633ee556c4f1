"""Webhooks of the emulated Replicate."""

from __future__ import annotations

import base64
import hmac
import http.server
import json
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from aifs_media.testing.emulator import Emulator

SCHNELL = "black-forest-labs/flux-schnell"


class Inbox:
    """A webhook endpoint that keeps what it gets; the first `refusals` deliveries are answered 500."""

    def __init__(self, refusals: int = 0) -> None:
        self.notes: list[tuple[dict[str, str], bytes]] = []
        self.arrived = threading.Condition()
        inbox = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with inbox.arrived:
                    inbox.notes.append(({name.lower(): value for name, value in self.headers.items()}, body))
                    refused = len(inbox.notes) <= refusals
                    inbox.arrived.notify_all()
                self.send_response(500 if refused else 200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook?job=1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def wait_for(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        """Return the notes once there are so many."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.notes) >= count, timeout=5)
            return list(self.notes)

    def close(self) -> None:
        """Free the port."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """A webhook endpoint that refuses its first note."""
    running = Inbox(refusals=1)
    yield running
    running.close()


def test_webhooks_are_signed_and_the_last_one_is_retried(replicate: httpx.Client, inbox: Inbox) -> None:
    """The retry carries the same id, and the signature verifies with the account's secret."""
    body = {"version": SCHNELL, "input": {"prompt": "x"}, "webhook": inbox.url, "webhook_events_filter": ["completed"]}
    created = replicate.post("/predictions", json=body).json()
    (first, data), (second, _) = inbox.wait_for(2)
    assert first["webhook-id"] == second["webhook-id"]
    note = json.loads(data)
    assert (note["id"], note["status"], note["webhook"]) == (created["id"], "succeeded", inbox.url)
    secret = replicate.get("/webhooks/default/secret").json()["key"]
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{first['webhook-id']}.{first['webhook-timestamp']}.".encode() + data
    expected = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert first["webhook-signature"] == f"v1,{expected}"


def test_a_webhook_can_come_twice(emulator: Emulator, replicate: httpx.Client, inbox: Inbox) -> None:
    """A scripted duplicate has the same id and body."""
    emulator.fault("replicate.webhook", "duplicate")
    body = {"version": SCHNELL, "input": {"prompt": "x"}, "webhook": inbox.url, "webhook_events_filter": ["completed"]}
    replicate.post("/predictions", json=body)
    notes = inbox.wait_for(3)
    assert len({headers["webhook-id"] for headers, _ in notes}) == 1
