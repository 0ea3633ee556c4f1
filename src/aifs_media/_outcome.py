"""What a provider's answer means for the job's row, and which error an ended job raises."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aifs_media import events
from aifs_media._secrets import redact
from aifs_media.errors import (
    ContentRejectedError,
    GenerationFailedError,
    JobCanceledError,
    NoMediaError,
    OutputExpiredError,
    PartialResultError,
    SubmissionUncertainError,
)
from aifs_media.protocols import Pollable, role
from aifs_media.records import Failed, Failure, Part, Pending, Succeeded

if TYPE_CHECKING:
    from aifs_media._row import JobRow
    from aifs_media.protocols import MediaProvider
    from aifs_media.records import Job, Stage, State

log = logging.getLogger("aifs_media.jobs")

ENDED: dict[str, Stage] = {"canceled": "canceled", "expired": "expired"}


def believed(state: State, provider: MediaProvider) -> State:
    """Return the state that may be recorded of a create: a success without media is asked for again where that can be done."""
    if isinstance(state, Failed) and state.reason == "no_media" and state.ref is not None:
        return Pending(ref=state.ref) if role(provider, Pollable) is not None else state
    return state


async def record(row: JobRow, state: State) -> None:
    """Record what the provider says, in one write, so that no answer is known here and missing in the ledger."""
    first = row.job.attempts[-1].outcome != "accepted"
    *before, last = row.job.attempts
    ref = state.ref if state.ref is not None else last.ref
    attempts = (*before, last.model_copy(update={"outcome": "accepted", "ref": ref}))
    if isinstance(state, Failed):
        failure = Failure(
            reason=state.reason, message=redact(state.message), billed=state.billed, retryable=state.retryable
        )
        stage = ENDED.get(state.reason, "failed")
        await row.change(stage=stage, failure=failure, cost=state.cost, attempts=attempts)
    elif isinstance(state, Succeeded):
        await _record_outputs(row, state, attempts)
    else:
        await row.change(stage="submitted", attempts=attempts)
    if first:
        # A handle may be, or hold, a signed URL.
        told = "" if ref is None else redact(str(ref))
        log.info("accepted, ref %s", told, extra=row.fields("submit"))
        row.tell(events.Submitted, ref=told)
    if row.job.stage == "succeeded":
        made = len(row.job.parts)
        row.tell(events.Generated, outputs=made, missing=max(row.job.request.n - made, 0))


async def _record_outputs(row: JobRow, state: Succeeded, attempts: tuple[object, ...]) -> None:
    made, asked = len(state.outputs), row.job.request.n
    if not made:
        failure = Failure(reason="no_media", message="The provider reported success without any output.")
        await row.change(stage="failed", failure=failure, cost=state.cost, attempts=attempts)
        return
    missing = (f"The provider made {made} of {asked} outputs.",) if made < asked else ()
    await row.change(
        stage="succeeded",
        attempts=attempts,
        parts=tuple(Part(index=index, output=output) for index, output in enumerate(state.outputs)),
        cost=state.cost,
        reported_seed=state.seed if state.seed is not None else row.job.reported_seed,
        warnings=(*row.job.warnings, *state.warnings, *missing),
        emulated=state.emulated,
    )


def raise_if_ended(job: Job) -> None:
    """Raise the error of a job that has ended without its media; the same for everyone who asks again."""
    failure = job.failure
    words = failure.message if failure else ""
    billed = failure is None or failure.billed != "no"
    match job.stage:
        case "uncertain":
            raise SubmissionUncertainError(job=job, reason="it could not be found at the provider")
        case "expired":
            message = words or "The provider deleted the output before it could be fetched."
            raise OutputExpiredError(message, job=job, hint="A new job makes a new one.", maybe_billed=True)
        case "canceled":
            message = words or "The job was cancelled."
            raise JobCanceledError(message, job=job, hint="A new job id starts a new one.", maybe_billed=billed)
        case "failed" if failure is not None and failure.reason == "content_rejected":
            raise ContentRejectedError(
                words, hint="Change the prompt.", provider=job.provider, job_id=job.job_id, maybe_billed=billed
            )
        case "failed":
            kind = NoMediaError if failure is not None and failure.reason == "no_media" else GenerationFailedError
            again = failure is not None and failure.retryable
            hint = "A new job may succeed." if again else ""
            raise kind(words, job=job, hint=hint, retryable=again, maybe_billed=billed)
        case _:
            return


def raise_if_partial(job: Job) -> None:
    """Raise the error of a job that is done and has lost some of its outputs. Raises PartialResultError."""
    lost = {part.index: part.error for part in job.parts if part.asset is None}
    if job.stage == "stored" and lost:
        failed = {index: OutputExpiredError(words, job=job, maybe_billed=True) for index, words in lost.items()}
        raise PartialResultError(job=job, assets=job.assets, failed=failed)
