"""A create whose answer was lost: found at the provider and adopted, proved to be absent, or said to be uncertain.

A provider's list shows the whole account. Only a job with exactly our inputs, among them a seed that we drew ourselves, is
ours for certain; anything else is left alone. And only a complete look that finds nothing, at a time when the create must
have become visible, proves that it was not accepted.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from aifs_media._outcome import believed, record
from aifs_media._retry import ATTEMPTS
from aifs_media._told import RefToldError
from aifs_media.errors import MediaError, SubmissionUncertainError
from aifs_media.protocols import Cancellable, Findable, role
from aifs_media.records import Pending

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

CLOCK_SKEW = 60.0
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
        found = await _look(row, findable, ledger, since, limit=limit)
        if found:
            return await _adopt(row, provider, found, reason)
        if began > forgotten_at:
            await row.change(stage="uncertain")
            raise SubmissionUncertainError(
                job=row.job, reason=reason, hint="The provider's list no longer reaches back."
            )
        if found is not None and began >= visible_by:
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


async def _look(
    row: JobRow, findable: Findable, ledger: Ledger, since: datetime, *, limit: float
) -> Sequence[Found] | None:
    """Return the jobs with our inputs that no row holds; None if the look was not complete within the limit in seconds."""
    until = row.clock.now() + timedelta(seconds=CLOCK_SKEW)
    try:
        with anyio.fail_after(limit):
            found = await findable.find(row.job.request, since=since, until=until)
    except Exception as error:
        # A stranger's adapter may raise anything; whatever it was, it was no complete look.
        reason = error.code if isinstance(error, MediaError) else type(error).__name__
        log.info("could not look for the lost create: %s", reason, extra=row.fields("reconcile"))
        return None
    return [one for one in found if await ledger.find_by_ref(row.job.provider, one.ref) is None]


async def _adopt(row: JobRow, provider: MediaProvider, found: Sequence[Found], reason: str) -> State:
    if not row.job.seed_is_ours:
        await row.change(stage="uncertain")
        hint = f"{len(found)} job(s) at {provider.name!r} have exactly these inputs, and so could be somebody else's: none was touched."
        raise SubmissionUncertainError(job=row.job, reason=reason, hint=hint)
    oldest, *others = sorted(found, key=lambda one: one.created_at)
    if others:
        warning = (
            f"The provider had made {len(found)} jobs of one create; the oldest was kept and the others were cancelled."
        )
        await row.change(warnings=(*row.job.warnings, warning))
        cancellable = role(provider, Cancellable)
        for other in others:
            if cancellable is not None:
                with contextlib.suppress(MediaError):
                    await cancellable.cancel(other.ref)
    state = believed(oldest.state, provider)
    await record(row, state)
    return state


async def _give_up_or_retry(row: JobRow, reason: str) -> None:
    lost = sum(attempt.outcome in {"sending", "unknown"} for attempt in row.job.attempts)
    if row.job.on_unknown == "retry" and lost < ATTEMPTS:
        # Counted over the whole life of the job: the caller accepted a second payment, not any number of them.
        await row.change(stage="new")
        return
    await row.change(stage="uncertain")
    raise SubmissionUncertainError(job=row.job, reason=reason)
