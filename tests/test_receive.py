"""What is logged of a webhook."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from aifs_media._receive import _log
from aifs_media.records import Attempt, Job, MediaRequest, WebhookNote

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def job(ref: object) -> Job:
    attempt = Attempt(submit_key="k", provider="p", model="m", started_at=NOW, send_by=NOW, ref=ref)  # type: ignore[arg-type]
    request = MediaRequest(kind="image", prompt="a fox", provider="p", model="m")
    return Job(
        job_id="one", request=request, created_at=NOW, timeout=1, lifetime=1, on_cancel="cancel", attempts=(attempt,)
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "warned"),
    [
        ({"id": "a"}, {"id": "a"}, False),
        ({"id": "a"}, {"id": "b"}, True),
        (["a"], "b", True),
        (None, {"id": "b"}, False),
    ],
)
def test_a_ref_may_be_any_json(caplog: pytest.LogCaptureFixture, ours: object, theirs: object, *, warned: bool) -> None:
    """A handle that no set can hold is compared like any other."""
    with caplog.at_level(logging.WARNING, logger="aifs_media.webhooks"):
        _log(job(ours), None, WebhookNote(delivery_id="d", ref=theirs))  # type: ignore[arg-type]
    assert bool(caplog.records) is warned
