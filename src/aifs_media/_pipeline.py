"""The order of steps: submit, wait, collect. Knows only protocols; every step has a module of its own.

A job can enter at any step: what happened before is in its row. Whatever is raised, the row says how far it came.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import anyio

from aifs_media import events
from aifs_media._collect import Collector
from aifs_media._outcome import raise_if_ended, record
from aifs_media._poll import Deadline
from aifs_media._shield import shielded
from aifs_media._submit import find_lost, submit
from aifs_media._wait import stop, wait
from aifs_media.errors import GenerationTimeoutError, MediaError, SubmissionUncertainError
from aifs_media.records import Failure, Pending

if TYPE_CHECKING:
    from aifs_media._download import Authorize
    from aifs_media._files import FileClient
    from aifs_media._row import JobRow
    from aifs_media.protocols import Ledger, MediaProvider, Storage
    from aifs_media.records import State

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
    ) -> None:
        self.row = row
        self._provider = provider
        self._storage = storage
        self._ledger = ledger
        self._collector = Collector(row, provider=provider, storage=storage, files=files, authorize=authorize)

    async def start(self) -> None:
        """Create the job at the provider and return without waiting. Does nothing for a job that was created before.

        Raises:
            MediaError: it was refused, its answer was lost, or it failed at once.
        """
        if self.row.job.stage == "new":
            await self._submit(self._deadline())
        raise_if_ended(self.row.job)

    async def finish(self) -> None:
        """Go on from wherever the job stands until its media are stored.

        Raises:
            MediaError: typed by what to do next.
        """
        try:
            await self._finish(self._deadline())
        except anyio.get_cancelled_exc_class():
            await shielded(CLEAN_UP_LIMIT, self._after_cancel)
            raise
        except MediaError as error:
            self.row.tell(events.Failed, code=error.code, message=str(error))
            raise
        finally:
            log.info("%s", self.row.job.stage, extra=self.row.fields("end"))

    async def cancel(self) -> None:
        """Stop the job at the provider; a result that came first is stored and kept.

        Raises:
            MediaError: the result that came first could not be stored.
        """
        row = self.row
        if row.job.stage == "new":
            failure = Failure(reason="canceled", message="The job was cancelled before it was sent.", billed="no")
            await row.change(stage="canceled", failure=failure)
        elif row.job.stage == "submitted":
            await record(row, await stop(row, provider=self._provider, state=Pending(ref=row.job.ref)))
        if row.job.stage in {"succeeded", "storing"}:
            await self._collector.collect()

    def _deadline(self) -> Deadline:
        return Deadline.after(self.row.clock.monotonic(), self.row.job.timeout)

    async def _finish(self, deadline: Deadline) -> None:
        row = self.row
        raise_if_ended(row.job)
        state: State = Pending(ref=row.job.ref)
        if row.job.stage == "new":
            state = await self._submit(deadline)
        elif row.job.stage in {"intent", "unknown"}:
            state = await self._find_lost("the process ended meanwhile")
        if row.job.stage == "submitted":
            began = row.clock.monotonic()
            state = await wait(row, state, provider=self._provider, deadline=deadline)
            row.job = row.job.model_copy(update={"timings": row.timed("wait", row.clock.monotonic() - began)})
            await record(row, state)
        raise_if_ended(row.job)
        if row.job.stage in {"succeeded", "storing"}:
            await self._collector.collect()

    async def _submit(self, deadline: Deadline) -> State:
        """Create the job, for no longer than the caller waits.

        A create that is held open until the media exist, and has no id by which to ask again, ends with its caller's patience.
        """
        row = self.row
        with anyio.move_on_after(deadline.remaining(row.clock.monotonic())):
            return await submit(
                row, provider=self._provider, storage=self._storage, ledger=self._ledger, deadline=deadline
            )
        if row.job.stage == "succeeded":
            return Pending(ref=row.job.ref)
        try:
            return await self._find_lost("the wait ran out before the create was answered")
        except SubmissionUncertainError as error:
            outcome = "the create was not answered; its result may be billed and cannot be fetched later."
            raise GenerationTimeoutError(job=row.job, timeout=row.job.timeout, outcome=outcome) from error

    async def _find_lost(self, reason: str) -> State:
        return await find_lost(self.row, provider=self._provider, ledger=self._ledger, reason=reason)

    async def _after_cancel(self) -> None:
        """The caller was cancelled: stop the job at the provider, or keep what it has already made."""
        row = self.row
        if row.job.stage == "unknown" and row.job.on_cancel == "cancel":
            # Cancelled while the create was held open: the job runs, and only a search can tell under which name.
            with contextlib.suppress(SubmissionUncertainError):
                await self._find_lost("the caller was cancelled before the create was answered")
        if row.job.stage == "submitted" and row.job.on_cancel == "cancel":
            await record(row, await stop(row, provider=self._provider, state=Pending(ref=row.job.ref)))
        if row.job.stage in {"succeeded", "storing"} and not self._ledger.durable:
            # With a durable ledger another process can fetch it; with this one nobody could once the process is gone.
            try:
                await self._collector.collect()
            except MediaError as error:
                log.warning("not kept after cancel: %s", error.code, extra=row.fields("cancel"))
