"""From one model of a job to the next: only where the one before cannot have been paid for, or its cancelling was confirmed."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from aifs_media._told import RefToldError
from aifs_media.errors import (
    GenerationTimeoutError,
    JobConflictError,
    MissingCredentialError,
    ProviderError,
    RequestRejectedError,
)
from aifs_media.records import Attempt

if TYPE_CHECKING:
    from aifs_media._row import JobRow
    from aifs_media.errors import MediaError
    from aifs_media.records import Job

log = logging.getLogger("aifs_media.jobs")


async def turn_to_next_model(row: JobRow, error: MediaError) -> bool:
    """Make the job one of its next model; False if there is none, or the one before may still be paid for.

    The attempts stay in the row, each with its model and why it did not serve.
    """
    job = row.job
    if not job.alternatives or not _is_over_unbilled(job, error):
        return False
    following, *left = job.alternatives
    reason = job.failure.reason if job.failure is not None else error.code
    log.info("did not serve: %s; the next model is tried", reason, extra=row.fields("chain"))
    with contextlib.suppress(RefToldError):  # it was accepted after all: the job goes on with the model that it has
        await row.change(
            **{name: getattr(following, name) for name in type(following).model_fields},
            alternatives=tuple(left),
            attempts=_attempts(row, reason),
            stage="new",
            failure=None,
            cost=None,
            parts=(),
            emulated=False,
            cancel_requested=False,
        )
    return True


def _attempts(row: JobRow, reason: str) -> tuple[Attempt, ...]:
    """Return the attempts so far, of which the last one says why the model did not serve."""
    job = row.job
    if job.attempts and (job.attempts[-1].provider, job.attempts[-1].model) == (job.provider, job.request.model):
        *before, last = job.attempts
        return (*before, last.model_copy(update={"reason": reason}))
    # It failed before a create was even about to leave.
    now = row.clock.now()
    none = Attempt(
        submit_key="", provider=job.provider, model=job.request.model, started_at=now, send_by=now,
        outcome="not_accepted", reason=reason,
    )  # fmt: skip
    return (*job.attempts, none)


def _is_over_unbilled(job: Job, error: MediaError) -> bool:
    if job.stage == "new":
        # Nothing was accepted. What is wrong with our own parts would be as wrong with the next model.
        theirs = isinstance(
            error, ProviderError | RequestRejectedError | MissingCredentialError | GenerationTimeoutError
        )
        return theirs and not error.maybe_billed and not isinstance(error, JobConflictError)
    if job.stage == "canceled":
        # Confirmed by the provider, after the caller's time for this model ran out; not by the caller's own wish. Some charge in
        # full for what was running, and say so.
        billed = job.failure is not None and job.failure.billed == "yes"
        return isinstance(error, GenerationTimeoutError) and not billed
    return job.stage == "failed" and job.failure is not None and job.failure.billed == "no"
