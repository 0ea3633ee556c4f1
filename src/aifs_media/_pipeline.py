"""The order of steps: submit, wait, collect. Knows only protocols; every step has a module of its own.

A job can enter at any step: what happened before is in its row. Whatever is raised, the row says how far it came.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from typing import TYPE_CHECKING

import anyio

from aifs_media import events
from aifs_media._assets import addressed
from aifs_media._collect import Collector
from aifs_media._outcome import raise_if_ended, raise_if_partial, record
from aifs_media._poll import Deadline
from aifs_media._reconcile import reconcile
from aifs_media._shield import shielded
from aifs_media._submit import submit
from aifs_media._told import RefToldError
from aifs_media._wait import SETTLE_LIMIT, look, stop, wait
from aifs_media.errors import (
    GenerationTimeoutError,
    JobError,
    MediaError,
    PartialResultError,
    SubmissionUncertainError,
)
from aifs_media.records import Failure, Pending

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aifs_media._download import Authorize
    from aifs_media._files import FileClient
    from aifs_media._row import JobRow
    from aifs_media.protocols import Ledger, MediaProvider, Storage
    from aifs_media.records import Asset, Job, State

    OnAsset = Callable[[Asset], Awaitable[object]]

CLEAN_UP_LIMIT = 30.0
"""Seconds that a cancelled call may take to stop the job at the provider, or to keep what was already paid for."""

log = logging.getLogger("aifs_media.pipeline")


class Pipeline:
    """Brings one job to its end.

    Args:
        row: the job and its row.
        provider: who makes the media.
        storage: where they go.
        ledger: where jobs are recorded.
        files: fetches outputs.
        authorize: which headers may go to an output's URL.
        on_asset: the host's own code, which takes each stored asset over before the job counts as done.
    """

    def __init__(
        self,
        row: JobRow,
        *,
        provider: MediaProvider,
        storage: Storage,
        ledger: Ledger,
        files: FileClient,
        authorize: Authorize,
        on_asset: OnAsset | None,
    ) -> None:
        self.row = row
        self._provider = provider
        self._storage = storage
        self._ledger = ledger
        self._on_asset = on_asset
        self._collector = Collector(
            row,
            provider=provider,
            storage=storage,
            files=files,
            authorize=authorize,
            when_all_stored="stored" if on_asset is None else "storing",
        )

    async def start(self) -> None:
        """Create the job at the provider and return without waiting. Does nothing for a job that was created before.

        Raises:
            MediaError: it was refused, its answer was lost, or it failed at once.
        """
        await self._run(self._start)

    async def finish(self, *, once: bool = False) -> None:
        """Go on from wherever the job stands until its media are stored.

        Args:
            once: ask the provider once instead of waiting, send nothing, and stop nothing.

        Raises:
            MediaError: typed by what to do next.
        """
        await self._run(functools.partial(self._finish, once=once))

    async def _run(self, step: Callable[[Deadline], Awaitable[None]]) -> None:
        try:
            await step(self._deadline())
        except anyio.get_cancelled_exc_class():
            if self.row.lease_lost:
                raise
            await shielded(CLEAN_UP_LIMIT, self._after_cancel)
            raise
        except MediaError as error:
            if isinstance(error, PartialResultError):
                # A storage that cannot sign now must not hide what is stored.
                with contextlib.suppress(MediaError):
                    error.assets = tuple(await addressed(error.assets, self._storage))
            self.row.leave(error)
            self.row.tell(events.Failed, code=error.code, message=str(error))
            raise
        finally:
            log.info("%s", self.row.job.stage, extra=self.row.fields("end"))

    async def cancel(self) -> None:
        """Stop the job at the provider; a result that came first is stored and kept.

        Raises:
            MediaError: the result that came first could not be stored.
        """
        await self._stop()
        await self._collect()

    async def _stop(self) -> None:
        """Stop what runs at the provider; where the create's answer was lost, it is looked for first."""
        row = self.row
        if row.job.stage in {"intent", "unknown"}:
            # On record first: whoever finds out later what became of the create must not send it again.
            await row.change(cancel_requested=True)
        # A webhook may have told meanwhile that it was accepted.
        if row.job.stage in {"intent", "unknown"}:
            with contextlib.suppress(SubmissionUncertainError):
                await self._reconcile(
                    "it was cancelled before the create was answered",
                    Deadline.after(row.clock.monotonic(), SETTLE_LIMIT),
                )
        await self._end_cancelled()

    async def _end_cancelled(self) -> None:
        """Bring a job that is to be cancelled to its end: not sent, or stopped at the provider."""
        row = self.row
        if row.job.stage == "new":
            lost = row.job.has_lost_create
            words = "An earlier create may have been accepted." if lost else "It was not accepted before that."
            message = (
                f"The job was cancelled. {words}" if row.job.attempts else "The job was cancelled before it was sent."
            )
            failure = Failure(reason="canceled", message=message, billed="unknown" if lost else "no")
            with contextlib.suppress(RefToldError):
                await row.change(stage="canceled", failure=failure)
        if row.job.stage == "submitted":
            await record(row, await stop(row, provider=self._provider, state=Pending(ref=row.job.ref)))

    def _deadline(self) -> Deadline:
        return Deadline.after(self.row.clock.monotonic(), self.row.job.timeout)

    async def _start(self, deadline: Deadline) -> None:
        await self._settle_lost_create(deadline)
        if self.row.job.stage == "new":
            await self._submit(deadline)
        raise_if_ended(self.row.job)

    async def _finish(self, deadline: Deadline, *, once: bool) -> None:
        row = self.row
        raise_if_ended(row.job)
        if once:
            deadline = Deadline.after(row.clock.monotonic(), 0.0)
        state = await self._settle_lost_create(deadline) or Pending(ref=row.job.ref)
        if row.job.stage == "new":
            if once:
                raise _unsent(row.job)
            state = await self._submit(deadline)
        if row.job.stage == "submitted":
            began = row.clock.monotonic()
            if once:
                state = await look(row, state, provider=self._provider)
            else:
                state = await wait(row, state, provider=self._provider, deadline=deadline)
            row.job = row.job.model_copy(update={"timings": row.timed("wait", row.clock.monotonic() - began)})
            await record(row, state)
        raise_if_ended(row.job)
        await self._collect()
        raise_if_partial(row.job)

    async def _settle_lost_create(self, deadline: Deadline) -> State | None:
        """Find out what became of a create that a process left behind; one of a cancelled job is not sent again."""
        row = self.row
        if row.job.stage not in {"intent", "unknown"}:
            return None
        state = await self._reconcile("the process ended meanwhile", deadline)
        if row.job.cancel_requested:
            await self._end_cancelled()
            raise_if_ended(row.job)
        return state

    async def _collect(self) -> None:
        """Store what is not stored yet, then hand it to the host; the job is done when the host has it."""
        row = self.row
        if row.job.stage not in {"succeeded", "storing"}:
            return
        partial: PartialResultError | None = None
        try:
            await self._collector.collect()
        except PartialResultError as error:
            partial = error
        if self._on_asset is not None:
            await self._hand_over(self._on_asset)
        if partial is not None:
            raise partial

    async def _hand_over(self, on_asset: OnAsset) -> None:
        """Hand what is stored to the host, also where the rest is missing. Raises JobError for whatever the host raises."""
        row = self.row
        assets = await addressed(row.job.assets, self._storage)
        try:
            for asset in assets:
                await on_asset(asset)
        except Exception as error:
            # The host's code may raise anything; the job stays unfinished, so that the asset is handed over again.
            raise JobError(
                f"on_asset raised {type(error).__name__}: {error}",
                job=row.job,
                hint="The asset is stored. resume(job) and recover() hand it over again.",
                retryable=True,
            ) from error
        if self._collector.nothing_to_come:
            await row.change(stage="stored")

    async def _submit(self, deadline: Deadline) -> State:
        """Create the job, for no longer than the caller waits.

        A create that is held open until the media exist, and has no id by which to ask again, ends with its caller's patience.
        """
        row = self.row
        with anyio.move_on_after(deadline.remaining(row.clock.monotonic())):
            return await submit(
                row, provider=self._provider, storage=self._storage, ledger=self._ledger, deadline=deadline
            )
        match row.job.stage:
            case "intent" | "unknown":
                return await self._look_when_time_is_up(deadline)
            case "new":
                raise self._not_sent()
            case _:
                # It was answered in the seconds that a create in flight is given: what is recorded then is what counts.
                raise_if_ended(row.job)
                return Pending(ref=row.job.ref)

    async def _look_when_time_is_up(self, deadline: Deadline) -> State:
        row = self.row
        outcome = "the create was not answered, and its result may be billed"
        try:
            state = await self._reconcile("the wait ran out before the create was answered", deadline)
        except SubmissionUncertainError as error:
            later = (
                "; resume(job) looks for it again." if row.job.stage == "unknown" else " and cannot be fetched later."
            )
            raise GenerationTimeoutError(job=row.job, timeout=row.job.timeout, outcome=outcome + later) from error
        if state is None:
            raise self._not_sent()
        return state

    def _not_sent(self) -> GenerationTimeoutError:
        outcome = "the create was not sent, or not accepted; nothing is billed."
        if self.row.job.has_lost_create:
            outcome = "a create was not answered, and its result may be billed; resume(job) sends another, as on_unknown says."
        return GenerationTimeoutError(job=self.row.job, timeout=self.row.job.timeout, outcome=outcome)

    async def _reconcile(self, reason: str, deadline: Deadline) -> State | None:
        return await reconcile(self.row, provider=self._provider, ledger=self._ledger, reason=reason, deadline=deadline)

    async def _after_cancel(self) -> None:
        """The caller was cancelled: stop the job at the provider, or keep what it has already made."""
        row = self.row
        if row.job.on_cancel == "cancel":
            await self._stop()
        if row.job.on_cancel == "cancel" or not self._ledger.durable:
            # What was made is paid for. A detached job of a durable ledger is left to whoever recovers it.
            try:
                await self._collect()
            except MediaError as error:
                log.warning("not kept after cancel: %s", error.code, extra=row.fields("cancel"))


def _unsent(job: Job) -> GenerationTimeoutError:
    """Return the error of a job that somebody only looked at, and that waits to be sent, perhaps once more."""
    lost = "the create's answer was lost, and it was not sent again"
    outcome = lost if job.has_lost_create else "it was not sent; nothing is billed"
    again = f"{outcome}; resume(job) with a longer timeout sends it."
    return GenerationTimeoutError(job=job, timeout=0.0, outcome=again)
