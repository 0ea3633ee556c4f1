"""Webhooks about jobs whose ref is an object, as some providers need."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from tests.canaries import SIGNATURE

from aifs_media._receive import receive
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.records import Attempt, Job, MediaRequest, Pending, WebhookNote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from aifs_media.records import Capability

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, tzinfo=UTC)
REF: JsonValue = {"id": "one", "region": "eu", "at": f"https://queue.test/one?sig={SIGNATURE}"}


class Queue:
    """A provider whose jobs have a region besides an id."""

    name = "queue"
    capabilities: tuple[Capability, ...] = ()

    def __init__(self, note: WebhookNote) -> None:
        self.note = note

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Pending:
        """Accept it."""
        return Pending(ref=REF)

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookNote:
        """Believe it."""
        return self.note

    async def aclose(self) -> None:
        """Hold nothing."""


@pytest.mark.parametrize(("told", "warned"), [(REF, False), ({**REF, "id": "two"}, True)])
async def test_a_ref_may_be_an_object(told: JsonValue, warned: object, caplog: pytest.LogCaptureFixture) -> None:
    """The same ref is the job's own; another one is logged, and changes nothing."""
    ledger = MemoryLedger()
    attempt = Attempt(
        submit_key="k", provider="queue", model="m", started_at=NOW, send_by=NOW, outcome="accepted", ref=REF
    )
    request = MediaRequest(kind="video", prompt="a fox", provider="queue", model="m")
    job = Job(
        job_id="one", request=request, stage="submitted", created_at=NOW, timeout=60, lifetime=60, on_cancel="detach",
        attempts=(attempt,),
    )  # fmt: skip
    await ledger.create_or_load(job)
    provider = Queue(WebhookNote(delivery_id="d", ref=told, job="/one"))
    with caplog.at_level(logging.INFO):
        assert await receive(provider, ledger=ledger, headers={}, body=b"") == await ledger.load("one")
    assert ("the job is" in caplog.text) is warned
    kept = await ledger.load("one")
    assert kept is not None
    assert kept.ref == REF
