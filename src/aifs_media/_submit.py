"""The create: recorded before it leaves, sent once, and sent again only if it provably did not arrive."""

from __future__ import annotations

import contextlib
import functools
import logging
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from aifs_media import events
from aifs_media._inputs import readable_by_provider
from aifs_media._outcome import believed, record
from aifs_media._reconcile import reconcile
from aifs_media._retry import ATTEMPTS, wait_before
from aifs_media._secrets import redact
from aifs_media._shield import finish_within, shielded
from aifs_media._told import RefToldError, tell_ref
from aifs_media.errors import (
    ContentRejectedError,
    LedgerError,
    MediaError,
    ProviderUnavailableError,
    StaleJobError,
    UnexpectedResponseError,
)
from aifs_media.protocols import Gated, role
from aifs_media.records import Attempt, Failure, Pending

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from aifs_media._poll import Deadline
    from aifs_media._row import JobRow
    from aifs_media.protocols import Ledger, MediaProvider, Storage
    from aifs_media.records import MediaRequest, State

CREATE_GRACE = 5.0
"""Seconds that a create in flight may go on after its caller was cancelled."""

SEND_WITHIN = 30.0
"""Seconds after which an intent is too old to be sent: whoever takes the job over waits for that moment."""

RECORD_LIMIT = 5.0

ANSWER_LIMIT = 25.0
"""Seconds for recording what a create was answered with, tries of a ledger that is away included."""

log = logging.getLogger("aifs_media.submit")


async def submit(
    row: JobRow, *, provider: MediaProvider, storage: Storage, ledger: Ledger, deadline: Deadline
) -> State:
    """Create the job at the provider and return what it answered.

    Raises:
        SubmissionUncertainError: the answer was lost and the job could not be found.
        MediaError: the provider refused; nothing is billed.
    """
    number = 0
    while True:
        number += 1
        request = await _prepared(row, provider, storage)
        started = row.clock.monotonic()
        try:
            return await _intend_and_send(row, provider, request, ledger)
        except RefToldError:
            return Pending(ref=row.job.ref, poll_after=0)
        except _AnswerLostError as lost:
            state = await reconcile(row, provider=provider, ledger=ledger, reason=lost.reason, deadline=deadline)
            if state is not None:
                return state
        except MediaError as error:
            if row.job.stage == "intent":
                # It has left, and what became of it could not be recorded: sent once more, it might be paid twice.
                raise row.name(error) from error.__cause__
            remaining = deadline.remaining(row.clock.monotonic())
            wait = wait_before(number, error, remaining=remaining) if number < ATTEMPTS else None
            if wait is None:
                raise row.name(error) from error.__cause__
            row.tell(events.Retried, step="submit", reason=error.code, wait=wait)
            await row.clock.sleep(wait)
        finally:
            row.job = row.job.model_copy(update={"timings": row.timed("submit", row.clock.monotonic() - started)})


async def _intend_and_send(row: JobRow, provider: MediaProvider, request: MediaRequest, ledger: Ledger) -> State:
    async with _gate(provider):
        await _intend(row)
        return await finish_within(CREATE_GRACE, functools.partial(_send, row, provider, request, ledger))


async def _prepared(row: JobRow, provider: MediaProvider, storage: Storage) -> MediaRequest:
    request, name = row.job.request, row.job.image_input
    if request.image is None or not name:
        return request
    value = await readable_by_provider(request.image, provider=provider, storage=storage, job_id=row.job.job_id)
    given = [value] if row.job.image_in_list else value
    return request.model_copy(update={"inputs": {**request.inputs, name: given}})


def _gate(provider: MediaProvider) -> AbstractAsyncContextManager[object]:
    gated = role(provider, Gated)
    return gated.gate() if gated is not None else contextlib.nullcontext()


async def _intend(row: JobRow) -> None:
    now = row.clock.now()
    attempt = Attempt(
        submit_key=uuid.uuid4().hex,
        provider=row.job.request.provider,
        model=row.job.request.model,
        started_at=now,
        send_by=now + timedelta(seconds=SEND_WITHIN),
    )
    await row.change(stage="intent", attempts=(*row.job.attempts, attempt))


class _AnswerLostError(Exception):
    """The create left and no usable answer came back."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def _send(row: JobRow, provider: MediaProvider, request: MediaRequest, ledger: Ledger) -> State:
    """Send once, and record the outcome whatever happens."""
    attempt = row.job.attempts[-1]
    try:
        _still_ours(row)
        state = believed(await provider.submit(request, submit_key=attempt.submit_key), provider)
    except MediaError as error:
        # An answer that makes no sense is no refusal, whatever the adapter says of it.
        if not error.maybe_billed and not isinstance(error, UnexpectedResponseError):
            await _note_refusal(row, error)
            raise
        await _note_unknown(row, error.code)
        raise _AnswerLostError(error.message) from error
    except Exception as error:
        # A stranger's adapter may raise anything; whatever it was, the create may have been accepted.
        await _note_unknown(row, type(error).__name__)
        raise _AnswerLostError(f"{type(error).__name__} in the provider {provider.name!r}") from error
    except BaseException:
        with contextlib.suppress(RefToldError):
            await shielded(RECORD_LIMIT, lambda: _note_unknown(row, "cancelled"))
        raise
    await _record_answer(row, state, ledger)
    if row.job.stage == "submitted" and not isinstance(state, Pending):
        return Pending(ref=row.job.ref)  # a webhook has told of another job of this create, which goes on
    return state


async def _record_answer(row: JobRow, state: State, ledger: Ledger) -> None:
    """Put on record what was answered, also for a caller who is gone or out of patience by now.

    Raises:
        LedgerError: it could not be recorded; the hint names the provider's handle.
        StaleJobError: somebody took the job over while this process slept; the handle was told as a webhook tells it.
    """
    try:
        with anyio.fail_after(ANSWER_LIMIT, shield=True):
            try:
                await record(row, state)
            except StaleJobError:
                await tell_ref(row.job, state.ref, ledger)
                raise
    except (LedgerError, TimeoutError) as error:
        ref = redact(str(state.ref))
        log.warning("accepted, ref %s, which could not be recorded", ref, extra=row.fields("submit"))
        if not isinstance(error, LedgerError):
            error = LedgerError(f"The ledger took nothing within {ANSWER_LIMIT:g} s.", retryable=True)
        error.hint = f"{row.job.provider} has accepted the create as {ref}, which could not be recorded."
        raise error from error.__cause__


def _still_ours(row: JobRow) -> None:
    """Look at lease and time right before the create leaves: a process that slept meanwhile must not send it any more."""
    if row.lease_lost:
        raise StaleJobError("Another process has taken the job over.", job=row.job, retryable=True)
    if row.clock.now() > row.job.attempts[-1].send_by:
        raise ProviderUnavailableError(
            f"The create was held up for more than {SEND_WITHIN:g} s and was not sent.", retryable=True
        )


async def _note_refusal(row: JobRow, error: MediaError) -> None:
    attempts = _with_outcome(row, outcome="not_accepted", reason=error.code)
    if isinstance(error, ContentRejectedError):
        # An end, and the same for everyone who asks again: sent once more, it would be refused once more.
        failure = Failure(reason="content_rejected", message=redact(error.message), billed="no")
        await row.change(stage="failed", failure=failure, attempts=attempts)
    else:
        await row.change(stage="new", attempts=attempts)


async def _note_unknown(row: JobRow, reason: str) -> None:
    await row.change(stage="unknown", attempts=_with_outcome(row, outcome="unknown", reason=reason))


def _with_outcome(row: JobRow, **outcome: object) -> tuple[Attempt, ...]:
    *before, last = row.job.attempts
    return (*before, last.model_copy(update=outcome))
