"""A create whose answer was lost: found at the provider and adopted, proved to be absent, or said to be uncertain.

A provider's list shows the whole account. Only a job with our inputs, among them a seed that we drew ourselves, is ours for
certain; how much of the inputs has to be compared beside that seed is the adapter's knowledge. Anything else is left alone. And only a complete look that finds nothing, at a time when the create must
have become visible, proves that it was not accepted.
"""

from __future__ import annotations

import contextlib
import json
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from aifs_media._handles import ref_key, same_job
from aifs_media._outcome import believed, record
from aifs_media._retry import ATTEMPTS
from aifs_media._secrets import redact
from aifs_media._told import RefToldError
from aifs_media.errors import MediaError, SubmissionUncertainError
from aifs_media.protocols import Cancellable, Findable, role
from aifs_media.records import Pending, Succeeded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from aifs_media._poll import Deadline
    from aifs_media._row import JobRow
    from aifs_media.protocols import Ledger, MediaProvider
    from aifs_media.records import Found, State

CREATE_LIMIT = 110.0
"""Seconds that a create can be on its way: a look-up of the model's version before it, the longest hold, and a margin."""

LAST_LOOK = 6.0
"""Seconds past the caller's time at which a look ends. A create in flight may have had five of them."""

CLOCK_SKEW = 900.0
"""Seconds by which our clock and the provider's may differ. A window that misses our own job would prove that it is not there."""

WAITS = (1.0, 2.0, 4.0, 8.0, 10.0)

log = logging.getLogger("aifs_media.reconcile")


async def reconcile(
    row: JobRow, *, provider: MediaProvider, ledger: Ledger, reason: str, deadline: Deadline
) -> State | None:
    """Find out what became of the last attempt.

    Returns:
        The state of the job that was adopted, or that a webhook tells of; or None if the create was provably not accepted, so
        that it may be sent again.

    Raises:
        SubmissionUncertainError: it cannot be told (yet). Where looking again later makes sense, the row stays "unknown".
    """
    try:
        findable = role(provider, Findable)
        if findable is not None and row.job.find_window:
            return await _look_for(row, findable, provider=provider, ledger=ledger, reason=reason, deadline=deadline)
        await _give_up_or_retry(row, reason)
    except RefToldError:
        return Pending(ref=row.job.ref, poll_after=0)
    return None


async def _look_for(
    row: JobRow, findable: Findable, *, provider: MediaProvider, ledger: Ledger, reason: str, deadline: Deadline
) -> State | None:
    job = row.job
    attempt = job.attempts[-1]
    since = attempt.started_at - timedelta(seconds=CLOCK_SKEW)
    visible_by = attempt.send_by + timedelta(seconds=CREATE_LIMIT + job.find_lag)
    forgotten_at = attempt.started_at + timedelta(seconds=job.find_window)
    looks = 0
    while True:
        if await row.was_told():
            raise RefToldError
        began = row.clock.now()
        limit = max(deadline.at + LAST_LOOK - row.clock.monotonic(), 1.0)
        found = await _look(row, findable, since, limit=limit)
        free = None if found is None else await _not_held(row, ledger, found, reason)
        if free:
            return await _adopt(row, provider, free, reason)
        if began > forgotten_at:
            await row.change(stage="uncertain")
            raise SubmissionUncertainError(
                job=row.job, reason=reason, hint="The provider's list no longer reaches back."
            )
        if free is not None and began >= visible_by:
            log.info("the lost create was not accepted", extra=row.fields("reconcile"))
            *before, last = row.job.attempts
            await row.change(stage="new", attempts=(*before, last.model_copy(update={"outcome": "not_accepted"})))
            return None
        wait = WAITS[min(looks, len(WAITS) - 1)]
        looks += 1
        if deadline.remaining(row.clock.monotonic()) <= wait:
            hint = "It was not sent again. resume(job) looks for it once more, and knows more a few minutes later."
            raise SubmissionUncertainError(job=row.job, reason=reason, hint=hint)
        await row.sleep(wait)


async def _look(row: JobRow, findable: Findable, since: datetime, *, limit: float) -> list[Found] | None:
    """Return the jobs with our inputs, each once; None if the look was not complete within the limit in seconds."""
    until = row.clock.now() + timedelta(seconds=CLOCK_SKEW)
    try:
        with anyio.fail_after(limit):
            found = await findable.find(row.job.request, since=since, until=until)
    except Exception as error:
        # A stranger's adapter may raise anything; whatever it was, it was no complete look.
        reason = error.code if isinstance(error, MediaError) else type(error).__name__
        log.info("could not look for the lost create: %s", reason, extra=row.fields("reconcile"))
        return None
    # Pages of a list move while they are read, so that a job may be on two of them.
    return list({ref_key(one.ref): one for one in found}.values())


async def _not_held(row: JobRow, ledger: Ledger, found: Sequence[Found], reason: str) -> list[Found]:
    """Return those of the jobs that no row holds.

    Raises:
        SubmissionUncertainError: another row holds the only one with our own seed, which shows that the create was accepted.
    """
    free: list[Found] = []
    elsewhere, adopted = "", False
    for one in found:
        holder = await ledger.find_by_ref(row.job.provider, one.ref)
        if holder is None:
            free.append(one)
        elif (holder.namespace, holder.job_id) != (row.job.namespace, row.job.job_id):
            elsewhere = holder.job_id
            # A row without a create of its own: somebody took over by hand what nobody knew the row of.
            adopted = adopted or not holder.attempts[-1].submit_key
        elif not any(same_job(attempt.ref, one.ref) for attempt in row.job.attempts) and await row.was_told():
            raise RefToldError
    if elsewhere and not free and (row.job.seed_is_ours or adopted):
        await row.change(stage="uncertain")
        hint = f"The create was accepted, and the job {elsewhere!r} of this ledger has it: go on with that."
        raise SubmissionUncertainError(job=row.job, reason=reason, hint=hint)
    return free


async def _adopt(row: JobRow, provider: MediaProvider, found: Sequence[Found], reason: str) -> State:
    if not row.job.seed_is_ours:
        names = ", ".join(_name(row, one) for one in found)
        await row.change(stage="uncertain", warnings=(*row.job.warnings, f"May be this job: {names}."))
        hint = (
            f"{len(found)} job(s) at {provider.name!r} look just like it, and so could be somebody else's: none was "
            f"touched. If one is yours, adopt() brings its media: {names}."
        )
        raise SubmissionUncertainError(job=row.job, reason=reason, hint=hint)
    kept, *others = sorted(found, key=_worth)
    if others:
        await _put_aside(row, provider, kept, others)
    state = believed(kept.state, provider)
    await record(row, state)
    return state


def _worth(one: Found) -> tuple[int, datetime]:
    """Sort what is made or being made before what failed, and then the oldest first."""
    order = 0 if isinstance(one.state, Succeeded) else 1 if isinstance(one.state, Pending) else 2
    return order, one.created_at


async def _put_aside(row: JobRow, provider: MediaProvider, kept: Found, others: Sequence[Found]) -> None:
    """Keep the names of further jobs of one create in the row, since they may be paid for; then stop them."""
    *before, last = row.job.attempts
    accepted = last.model_copy(update={"outcome": "accepted"})
    seconds = [accepted.model_copy(update={"ref": other.ref, "reason": "duplicate"}) for other in others]
    # On record first: what a provider tells of one that was stopped must not be taken for the end of the one that is kept.
    ours = accepted.model_copy(update={"ref": kept.ref})
    await row.change(stage="submitted", attempts=(*before, *seconds, ours))
    cancellable = role(provider, Cancellable)
    for other in others:
        outcome = "it goes on" if isinstance(other.state, Pending) else "had ended"
        if isinstance(other.state, Pending) and cancellable is not None:
            with contextlib.suppress(MediaError):
                outcome = "had ended" if await cancellable.cancel(other.ref) == "too_late" else "was asked to stop"
        warning = f"The provider made a second job of one create, {_name(row, other)}; {outcome}."
        await row.change(warnings=(*row.job.warnings, warning))


def _name(row: JobRow, one: Found) -> str:
    return redact(f"{row.job.provider}:{one.ref if isinstance(one.ref, str) else json.dumps(one.ref)}")


async def _give_up_or_retry(row: JobRow, reason: str) -> None:
    lost = sum(attempt.outcome in {"sending", "unknown"} for attempt in row.job.attempts)
    if row.job.on_unknown == "retry" and lost < ATTEMPTS:
        # Counted over the whole life of the job: the caller accepted a second payment, not any number of them.
        await row.change(stage="new")
        return
    await row.change(stage="uncertain")
    raise SubmissionUncertainError(job=row.job, reason=reason)
