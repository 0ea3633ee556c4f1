"""A row that a webhook changes while somebody works from what it was before."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aifs_media._clock import SystemClock
from aifs_media._row import JobRow
from aifs_media._told import RefToldError, with_ref
from aifs_media._wakeups import Wakeups
from aifs_media.errors import StaleJobError
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.records import Attempt, Failure, Job, MediaRequest

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def working(ledger: MemoryLedger) -> JobRow:
    """Return a row whose create is on its way."""
    attempt = Attempt(submit_key="k", provider="p", model="m", started_at=NOW, send_by=NOW)
    job = Job(
        job_id="one", request=MediaRequest(kind="image", prompt="a fox", provider="p", model="m"), stage="intent",
        created_at=NOW, timeout=60, lifetime=60, on_cancel="detach", attempts=(attempt,),
    )  # fmt: skip
    return JobRow(
        await ledger.create_or_load(job), ledger=ledger, clock=SystemClock(), wakeups=Wakeups(), on_event=None
    )


async def tell(ledger: MemoryLedger, ref: str) -> None:
    job = await ledger.load("one")
    assert job is not None
    told = with_ref(job, ref)
    assert told is not None
    assert await ledger.claim_delivery("d", job=told, expected_version=job.version)


@pytest.mark.parametrize("stage", ["new", "unknown", "uncertain"])
async def test_who_gives_up_learns_that_it_was_accepted(stage: str) -> None:
    """The create's answer is lost, or a refusal; a webhook has told meanwhile that the provider has the job."""
    ledger = MemoryLedger()
    row = await working(ledger)
    await tell(ledger, "r1")
    lost = row.job.attempts[-1].model_copy(update={"outcome": "unknown"})
    with pytest.raises(RefToldError):
        await row.change(stage=stage, attempts=(lost,))
    assert (row.job.stage, row.job.ref) == ("submitted", "r1")
    assert await ledger.load("one") == row.job


async def test_the_answer_finds_the_ref_recorded() -> None:
    """What the provider answers is recorded on top of what the webhook told."""
    ledger = MemoryLedger()
    row = await working(ledger)
    await tell(ledger, "r1")
    accepted = row.job.attempts[-1].model_copy(update={"outcome": "accepted", "ref": "r1"})
    await row.change(stage="submitted", attempts=(accepted,))
    await row.change(cancel_requested=True)
    kept = await ledger.load("one")
    assert kept is not None
    assert (kept.stage, kept.ref, kept.cancel_requested) == ("submitted", "r1", True)


async def test_a_second_job_of_one_create_stays_in_the_row() -> None:
    """The answer names the one and a webhook the other; either may be paid for."""
    ledger = MemoryLedger()
    row = await working(ledger)
    await tell(ledger, "r1")
    accepted = row.job.attempts[-1].model_copy(update={"outcome": "accepted", "ref": "r2"})
    await row.change(stage="submitted", attempts=(accepted,))
    assert [attempt.ref for attempt in row.job.attempts] == ["r1", "r2"]
    for ref in ("r1", "r2"):
        assert await ledger.find_by_ref("p", ref) == row.job


async def test_a_job_that_was_told_does_not_end_without_it() -> None:
    """A refusal was believed, and whoever cancels then does not know that the create was accepted after all."""
    ledger = MemoryLedger()
    row = await working(ledger)
    await tell(ledger, "r1")
    with pytest.raises(RefToldError):
        await row.change(stage="canceled", failure=Failure(reason="canceled", message="", billed="no"))
    assert (row.job.stage, row.job.ref) == ("submitted", "r1")


async def test_the_job_that_failed_is_not_the_one_that_goes_on() -> None:
    """One create was accepted twice: the answer tells of one that failed, a webhook of another."""
    ledger = MemoryLedger()
    row = await working(ledger)
    await tell(ledger, "r1")
    failed = row.job.attempts[-1].model_copy(update={"outcome": "accepted", "ref": "r2"})
    await row.change(stage="failed", attempts=(failed,), failure=Failure(reason="generation_failed", message=""))
    assert (row.job.stage, row.job.ref, row.job.failure) == ("submitted", "r1", None)
    assert [attempt.ref for attempt in row.job.attempts] == ["r2", "r1"]


async def test_a_webhook_about_a_job_of_an_earlier_create_is_not_about_this_one() -> None:
    """Its ref is in the row already, with the create that it belongs to."""
    ledger = MemoryLedger()
    row = await working(ledger)
    earlier = row.job.attempts[-1].model_copy(update={"submit_key": "e", "outcome": "accepted", "ref": "r0"})
    job = row.job.model_copy(update={"attempts": (earlier, *row.job.attempts)})
    assert with_ref(job, "r0") is None
    assert with_ref(job, "r1") is not None


async def test_any_other_change_is_somebody_elses() -> None:
    """Only a ref that was told is taken over; whoever else wrote the row has the job now."""
    ledger = MemoryLedger()
    row = await working(ledger)
    other = await ledger.load("one")
    assert other is not None
    await ledger.update(other.model_copy(update={"cancel_requested": True}), expected_version=other.version)
    with pytest.raises(StaleJobError):
        await row.change(stage="unknown")
    assert not await row.was_told()


async def test_a_webhook_about_an_earlier_model_changes_nothing() -> None:
    """A job that has turned to its next model is not told the handle of the one before."""
    row = await working(MemoryLedger())
    (first,) = row.job.attempts
    turned = row.job.model_copy(
        update={
            "stage": "new",
            "attempts": (first.model_copy(update={"outcome": "not_accepted"}),),
            "request": row.job.request.model_copy(update={"model": "other"}),
        }
    )
    assert with_ref(turned, "r1") is None
