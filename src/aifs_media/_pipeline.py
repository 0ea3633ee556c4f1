"""The order of steps: select, submit, wait, collect. Knows only protocols; every step has its own module.

A job can enter at any step: what happened before is in its row. Whatever is raised, the row says how far it came.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from aifs_media import events
from aifs_media._collect import Collector, parts_of
from aifs_media._poll import Deadline
from aifs_media._shield import shielded
from aifs_media._submit import find_lost, submit
from aifs_media._wait import stop, wait
from aifs_media.errors import (
    ContentRejectedError,
    GenerationFailedError,
    JobCanceledError,
    JobError,
    MediaError,
    NoMediaError,
    OutputExpiredError,
    SubmissionUncertainError,
)
from aifs_media.records import Failed, Failure, Pending, Succeeded

if TYPE_CHECKING:
    from aifs_media._download import Authorize
    from aifs_media._files import FileClient
    from aifs_media._row import JobRow
    from aifs_media.protocols import Ledger, MediaProvider, Storage
    from aifs_media.records import Job, Stage, State

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
        """Create the job at the provider and return without waiting. Does nothing for a job that was created."""
        if self.row.job.stage == "new":
            await self._note(await self._submit(self._deadline()))

    async def finish(self) -> None:
        """Go on from wherever the job stands until its media are stored.

        Raises:
            MediaError: typed by what to do next; the row says how far the job came.
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
            await row.change(
                stage="canceled",
                failure=Failure(reason="canceled", message="The job was cancelled before it was sent.", billed="no"),
            )
            return
        if row.job.stage == "submitted":
            state = await stop(row, provider=self._provider, state=Pending(ref=row.job.ref))
            if isinstance(state, Failed):
                await self._end(state)
            elif isinstance(state, Succeeded):
                await self._note_outputs(state)
        if row.job.stage in {"succeeded", "storing"}:
            await self._collector.collect()

    def _deadline(self) -> Deadline:
        return Deadline.after(self.row.clock.monotonic(), self.row.job.timeout)

    async def _finish(self, deadline: Deadline) -> None:
        row = self.row
        raise_if_ended(row.job)
        state: State | None = None
        if row.job.stage == "new":
            state = await self._submit(deadline)
        elif row.job.stage in {"intent", "unknown"}:
            state = await find_lost(
                row, provider=self._provider, ledger=self._ledger, reason="the process ended meanwhile"
            )
        elif row.job.stage == "submitted":
            state = Pending(ref=row.job.ref)
        if state is not None:
            began = row.clock.monotonic()
            ended = await wait(row, state, provider=self._provider, deadline=deadline)
            row.job = row.job.model_copy(update={"timings": row.timed("wait", row.clock.monotonic() - began)})
            await self._note(ended)
        if row.job.stage != "stored":
            await self._collector.collect()

    async def _submit(self, deadline: Deadline) -> State:
        return await submit(
            self.row,
            provider=self._provider,
            storage=self._storage,
            ledger=self._ledger,
            deadline=deadline,
        )

    async def _note(self, state: State) -> None:
        """Record how the job ended at the provider. Raises for every end that is not a success."""
        if isinstance(state, Failed):
            await self._end(state)
            raise_if_ended(self.row.job)
        if isinstance(state, Succeeded):
            await self._note_outputs(state)

    async def _end(self, state: Failed) -> None:
        stage: Stage = (
            "canceled" if state.reason == "canceled" else "expired" if state.reason == "expired" else "failed"
        )
        failure = Failure(reason=state.reason, message=state.message, billed=state.billed, retryable=state.retryable)
        await self.row.change(stage=stage, failure=failure, cost=state.cost)

    async def _note_outputs(self, state: Succeeded) -> None:
        row, asked = self.row, self.row.job.request.n
        if not state.outputs:
            failure = Failure(reason="no_media", message="The provider reported success without any output.")
            await row.change(stage="failed", failure=failure, cost=state.cost)
            raise_if_ended(row.job)
        warnings = (*row.job.warnings, *state.warnings)
        missing = max(asked - len(state.outputs), 0)
        if missing:
            warnings = (*warnings, f"The provider made {len(state.outputs)} of {asked} outputs.")
        await row.change(
            stage="succeeded",
            parts=parts_of(state.outputs),
            cost=state.cost,
            reported_seed=state.seed if state.seed is not None else row.job.reported_seed,
            warnings=warnings,
            emulated=state.emulated,
        )
        row.tell(events.Generated, outputs=len(state.outputs), missing=missing)

    async def _after_cancel(self) -> None:
        """The caller was cancelled: stop the job at the provider, or keep what it has already made."""
        row = self.row
        if row.job.stage == "submitted" and row.job.on_cancel == "cancel":
            state = await stop(row, provider=self._provider, state=Pending(ref=row.job.ref))
            if not isinstance(state, Pending):
                try:
                    await self._note(state)
                except JobError:
                    return
        if row.job.stage in {"succeeded", "storing"} and not self._ledger.durable:
            # With a durable ledger another process can fetch it; with this one nobody could once the process is gone.
            try:
                await self._collector.collect()
            except MediaError as error:
                log.warning("not kept after cancel: %s", error.code, extra=row.fields("cancel"))


def raise_if_ended(job: Job) -> None:
    """Raise the error of a job that has ended without its media; the same for everyone who asks again."""
    failure = job.failure
    if job.stage == "uncertain":
        raise SubmissionUncertainError(job=job, reason="it was lost earlier and could not be found at the provider")
    if job.stage == "expired":
        raise OutputExpiredError(
            failure.message if failure else "The provider deleted the output before it could be fetched.",
            job=job,
            hint="A new job makes a new one.",
            maybe_billed=True,
        )
    if job.stage == "canceled":
        raise JobCanceledError(
            failure.message if failure else "The job was cancelled.",
            job=job,
            hint="A new job id starts a new one.",
            maybe_billed=failure is None or failure.billed != "no",
        )
    if job.stage != "failed" or failure is None:
        return
    billed = failure.billed != "no"
    if failure.reason == "content_rejected":
        rejected = ContentRejectedError(
            failure.message, hint="Change the prompt.", provider=job.provider, job_id=job.job_id, maybe_billed=billed
        )
        raise rejected
    kind = NoMediaError if failure.reason == "no_media" else GenerationFailedError
    hint = "A new job may succeed." if failure.retryable else ""
    raise kind(failure.message, job=job, hint=hint, retryable=failure.retryable, maybe_billed=billed)
