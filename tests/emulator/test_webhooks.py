"""Webhooks of the emulated Replicate."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING

import pytest
from tests.servers.inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from aifs_media.testing.emulator import Emulator

SCHNELL = "black-forest-labs/flux-schnell"


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
    (_, first, data), (_, second, _) = inbox.wait_for(2)
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
    assert len({headers["webhook-id"] for _, headers, _ in notes}) == 1
