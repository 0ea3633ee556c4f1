"""The create: recorded before it leaves, sent once, and never repeated unless it provably did not arrive."""

from __future__ import annotations

import contextlib
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from aifs_media import events
from aifs_media._inputs import readable_by_provider
from aifs_media._outcome import record
from aifs_media._retry import ATTEMPTS, retrying, wait_before
from aifs_media._shield import finish_within, shielded
from aifs_media.errors import MediaError, SubmissionUncertainError
from aifs_media.protocols import Findable, Gated, role
from aifs_media.records import Attempt

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from aifs_media._poll import Deadline
    from aifs_media._row import JobRow
    from aifs_media.protocols import Ledger, MediaProvider, Storage
    from aifs_media.records import Failed, Found, MediaRequest, Pending, State, Succeeded

CREATE_GRACE = 5.0
"""Seconds that a create in flight may go on after its caller was cancelled."""

SEND_WITHIN = 30.0
FIND_MARGIN = 60.0
RECORD_LIMIT = 5.0


async def submit(
    row: JobRow, *, provider: MediaProvider, storage: Storage, ledger: Ledger, deadline: Deadline
) -> Pending | Succeeded | Failed:
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
            async with _gate(provider):
                await _intend(row)
                return await finish_within(CREATE_GRACE, lambda request=request: _send(row, provider, request))  # type: ignore[misc]
        except _AnswerLostError as lost:
            return await find_lost(row, provider=provider, ledger=ledger, reason=lost.reason)
        except MediaError as error:
            remaining = deadline.remaining(row.clock.monotonic())
            wait = wait_before(number, error, remaining=remaining) if number < ATTEMPTS else None
            if wait is None:
                raise row.name(error) from error.__cause__
            row.tell(events.Retried, step="submit", reason=error.code, wait=wait)
            await row.clock.sleep(wait)
        finally:
            row.job = row.job.model_copy(update={"timings": row.timed("submit", row.clock.monotonic() - started)})


async def _prepared(row: JobRow, provider: MediaProvider, storage: Storage) -> MediaRequest:
    request, name = row.job.request, row.job.image_input
    if request.image is None or not name:
        return request
    value = await readable_by_provider(request.image, provider=provider, storage=storage, job_id=row.job.job_id)
    return request.model_copy(update={"inputs": {**request.inputs, name: value}})


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


async def _send(row: JobRow, provider: MediaProvider, request: MediaRequest) -> Pending | Succeeded | Failed:
    """Send once, and record the outcome whatever happens."""
    attempt = row.job.attempts[-1]
    try:
        state = await provider.submit(request, submit_key=attempt.submit_key)
    except MediaError as error:
        if not error.maybe_billed:
            await _note_attempt(row, "new", outcome="not_accepted", reason=error.code)
            raise
        await _note_attempt(row, "unknown", outcome="unknown", reason=error.code)
        raise _AnswerLostError(error.message) from error
    except Exception as error:
        # A stranger's adapter may raise anything; whatever it was, the create may have been accepted.
        await _note_attempt(row, "unknown", outcome="unknown", reason=type(error).__name__)
        raise _AnswerLostError(f"{type(error).__name__} in the provider {provider.name!r}") from error
    except BaseException:
        await shielded(RECORD_LIMIT, lambda: _note_attempt(row, "unknown", outcome="unknown", reason="cancelled"))
        raise
    await record(row, state)
    return state


async def _note_attempt(row: JobRow, stage: str, **attempt: object) -> None:
    *before, last = row.job.attempts
    await row.change(stage=stage, attempts=(*before, last.model_copy(update=attempt)))


async def find_lost(row: JobRow, *, provider: MediaProvider, ledger: Ledger, reason: str) -> State:
    """Look for a create whose answer was lost, and adopt it if it is provably ours.

    Raises:
        SubmissionUncertainError: it was not found, or it cannot be told whose it is. It is not sent again.
    """
    findable = role(provider, Findable)
    attempt = row.job.attempts[-1]
    candidates: list[Found] = []
    if findable is not None and row.job.seed_is_ours:
        since = attempt.started_at - timedelta(seconds=FIND_MARGIN)
        until = row.clock.now() + timedelta(seconds=FIND_MARGIN)
        for _ in range(ATTEMPTS):
            with contextlib.suppress(MediaError):
                found = await retrying(lambda: findable.find(row.job.request, since=since, until=until))
                candidates = [one for one in found if await ledger.find_by_ref(provider.name, one.ref) is None]
            if candidates:
                break
            # The provider's list may lag behind its creates.
            await row.clock.sleep(2.0)
    if len(candidates) == 1:
        await record(row, candidates[0].state)
        return candidates[0].state
    await row.change(stage="uncertain")
    hint = (
        f"{len(candidates)} jobs at {provider.name!r} have exactly these inputs; none was touched."
        if candidates
        else ""
    )
    raise SubmissionUncertainError(job=row.job, reason=reason, hint=hint)
