"""Waiting for the provider: poll until it ends, the caller's time runs out, or somebody cancels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from aifs_media import events
from aifs_media._handles import same_job
from aifs_media._outcome import record
from aifs_media._poll import Deadline, next_wait
from aifs_media.errors import GenerationTimeoutError, JobNotFoundError, MediaError, UnexpectedResponseError
from aifs_media.protocols import Cancellable, ForgetsCancelled, Pollable, role
from aifs_media.records import Failed, Pending, Succeeded

if TYPE_CHECKING:
    from pydantic import JsonValue

    from aifs_media._row import JobRow
    from aifs_media.protocols import Clock, MediaProvider
    from aifs_media.records import State

LAST_READ = 1.0
"""Seconds past the caller's time that a status read may take; a provider that is silent must not prolong the wait."""

LOOK_LIMIT = 10.0
"""Seconds that the one status read of a caller who only looks may take."""

STILL_RUNNING = "the job goes on at the provider; resume(job) fetches its result later."

CANCEL_LIMIT = 5.0
"""Seconds that the provider may take to answer a cancellation."""

SECOND_LOOK = 1.0
"""Seconds between two reads of a job that has succeeded and shows no media."""

SETTLE_LIMIT = 10.0
"""Seconds to wait for the provider to confirm a cancellation."""

log = logging.getLogger("aifs_media.wait")


async def wait(
    row: JobRow, state: Pending | Succeeded | Failed, *, provider: MediaProvider, deadline: Deadline
) -> Succeeded | Failed:
    """Ask until the job ends.

    Raises:
        GenerationTimeoutError: the caller's time ran out; the job was cancelled or goes on, as the error says.
        MediaError: the provider cannot be asked any more, for example because the key was revoked.
    """
    reads = 0
    while isinstance(state, Pending):
        pollable = _pollable(provider)
        now = row.clock.monotonic()
        if deadline.remaining(now) <= 0:
            return await _out_of_time(row, provider, state)
        row.tell(events.Progressed, progress=state.progress, queue_position=state.queue_position)
        await row.sleep(deadline.clip(next_wait(reads, hint=state.poll_after), now))
        state = await _ask(row, pollable, state, limit=deadline.remaining(row.clock.monotonic()) + LAST_READ)
        reads += 1
    return state


async def look(row: JobRow, state: Pending | Succeeded | Failed, *, provider: MediaProvider) -> Succeeded | Failed:
    """Ask once, and leave a job that has not ended as it is, whatever it says of the end of a wait.

    Raises:
        GenerationTimeoutError: it has not ended, or that could not be found out.
        MediaError: the provider cannot be asked any more.
    """
    if isinstance(state, Pending):
        state = await _ask(row, _pollable(provider), state, limit=LOOK_LIMIT)
    if isinstance(state, Pending):
        raise GenerationTimeoutError(job=row.job, timeout=0.0, outcome=STILL_RUNNING)
    return state


def _pollable(provider: MediaProvider) -> Pollable:
    pollable = role(provider, Pollable)
    if pollable is None:
        raise UnexpectedResponseError(
            f"The provider {provider.name!r} says 'pending' and cannot be polled.", provider=provider.name
        )
    return pollable


async def poll(pollable: Pollable, ref: JsonValue, clock: Clock) -> State:
    """Ask how a job stands. A success without media is believed only if it is said twice.

    Raises:
        MediaError: it could not be asked. What a stranger's adapter raises otherwise is an UnexpectedResponseError.
    """
    state = await _read(pollable, ref)
    if isinstance(state, Failed) and state.reason == "no_media":
        await clock.sleep(SECOND_LOOK)
        state = await _read(pollable, ref)
    return state


async def _read(pollable: Pollable, ref: JsonValue) -> State:
    try:
        state = await pollable.poll(ref)
    except MediaError:
        raise
    except Exception as error:
        # An adapter that stumbles over an answer says nothing about the job, which stays where it is.
        raise UnexpectedResponseError(
            f"The provider's adapter could not read the job's state ({type(error).__name__}).",
            hint="The job is not lost: resume(job) asks again.",
        ) from error
    if state.ref is not None and not same_job(state.ref, ref):
        raise UnexpectedResponseError(
            "The provider answered about another job than it was asked for.",
            hint="A cache or proxy in between may have mixed up two answers. resume(job) asks again.",
            retryable=True,
        )
    return state


async def _look(row: JobRow, pollable: Pollable, ref: JsonValue) -> State:
    """Ask how a job stands. One that was to be cancelled, and that a forgetful provider does not know any more, is cancelled."""
    try:
        return await poll(pollable, ref, row.clock)
    except JobNotFoundError:
        if not row.job.cancel_requested or role(pollable, ForgetsCancelled) is None:
            raise
        message = "The provider was asked to cancel the job, and does not know it any more."
        return Failed(reason="canceled", message=message, ref=ref)


async def _ask(row: JobRow, pollable: Pollable, state: Pending, *, limit: float) -> Pending | Succeeded | Failed:
    """Read the state once, for no longer than the limit in seconds; a read that failed leaves it as it was."""
    try:
        with anyio.move_on_after(limit):
            return await _look(row, pollable, state.ref)
    except MediaError as error:
        if not error.retryable:
            raise row.name(error) from error.__cause__
        # A read that failed says nothing about the job: ask again in the usual rhythm, or when the server says.
        again = state.model_copy(update={"poll_after": error.retry_after})
        row.tell(events.Retried, step="poll", reason=error.code, wait=error.retry_after or 0.0)
        return again
    return state


async def _out_of_time(row: JobRow, provider: MediaProvider, state: Pending) -> Succeeded | Failed:
    timeout = row.job.timeout
    if row.job.on_cancel == "detach":
        raise GenerationTimeoutError(job=row.job, timeout=timeout, outcome=STILL_RUNNING)
    ended = await stop(row, provider=provider, state=state)
    if isinstance(ended, Succeeded):
        return ended
    if isinstance(ended, Failed):
        await record(row, ended)
        outcome = "the job was cancelled at the provider."
    else:
        outcome = "the provider was asked to cancel the job and has not confirmed it; resume(job) asks again."
    raise GenerationTimeoutError(job=row.job, timeout=timeout, outcome=outcome)


async def stop(row: JobRow, *, provider: MediaProvider, state: Pending) -> Pending | Succeeded | Failed:
    """Ask the provider to stop the job, then see how it ended: a success that came first is kept.

    Never raises for what the provider says; returns the last known state after at most a few seconds.
    """
    await row.change(cancel_requested=True)
    row.tell(events.CancelRequested)
    cancellable, pollable = role(provider, Cancellable), role(provider, Pollable)
    last: Pending | Succeeded | Failed = state
    outcome = "not_supported"
    try:
        if cancellable is not None:
            with anyio.fail_after(CANCEL_LIMIT):
                outcome = "too_late" if await cancellable.cancel(state.ref) == "too_late" else "asked"
        if pollable is not None:
            # One read finds a success that came first; more make sense only if something was asked to stop.
            with anyio.fail_after(SETTLE_LIMIT):
                last = await _settle(row, pollable, state, limit=SETTLE_LIMIT if cancellable is not None else 0.0)
        if isinstance(last, Failed):
            outcome = "canceled"
    except Exception as error:
        # Whatever the adapter raises: the job's deadline at the provider ends it all the same, and the row keeps saying that
        # it was to be cancelled.
        log.warning("cancel failed: %s", type(error).__name__, extra=row.fields("cancel"))
        outcome = "failed"
    row.tell(events.CancelRequested, outcome=outcome)
    return last


async def _settle(row: JobRow, pollable: Pollable, state: Pending, *, limit: float) -> Pending | Succeeded | Failed:
    """Read the state until it is an end, or the limit in seconds is over; at least once."""
    deadline = Deadline.after(row.clock.monotonic(), limit)
    reads = 0
    while True:
        last = await _look(row, pollable, state.ref)
        now = row.clock.monotonic()
        if not isinstance(last, Pending) or deadline.remaining(now) <= 0:
            return last
        await row.clock.sleep(deadline.clip(next_wait(reads, hint=last.poll_after), now))
        reads += 1
