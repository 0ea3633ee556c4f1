"""From outputs at the provider to assets in the storage: fetched, verified and stored, one part per output."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

import anyio

from aifs_media import events
from aifs_media._assets import asset_of, completed, estimated_cost, share_of
from aifs_media._download import EXPIRED_STATUSES, open_output, read_back
from aifs_media._keys import encode_labels, with_extension
from aifs_media._retry import ATTEMPTS, wait_before
from aifs_media._wait import poll
from aifs_media.errors import (
    BadMediaError,
    DownloadError,
    JobError,
    LedgerError,
    MediaError,
    OutputExpiredError,
    PartialResultError,
    StaleJobError,
    StorageError,
    UploadError,
)
from aifs_media.protocols import CostReporter, Pollable, Readable, role
from aifs_media.records import Cost, Failed, RemoteFile, Succeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aifs_media._download import Authorize, VerifiedSource
    from aifs_media._files import FileClient
    from aifs_media._row import JobRow
    from aifs_media.protocols import MediaProvider, Storage
    from aifs_media.records import Job, Stage, State

PARTS_IN_FLIGHT = 4
COST_LIMIT = 10.0

log = logging.getLogger("aifs_media.collect")


class Collector:
    """Brings the outputs of one job home.

    Args:
        row: the job.
        provider: asked for a fresh URL when one has expired, and for the cost.
        storage: where the assets go.
        files: fetches the outputs.
        authorize: which headers may go to an output's URL.
        when_all_stored: the stage to record then.
    """

    def __init__(
        self,
        row: JobRow,
        *,
        provider: MediaProvider,
        storage: Storage,
        files: FileClient,
        authorize: Authorize,
        when_all_stored: Stage,
    ) -> None:
        self._row = row
        self._provider = provider
        self._storage = storage
        self._files = files
        self._authorize = authorize
        self._when_all_stored: Stage = when_all_stored
        self._failed: dict[int, MediaError] = {}
        self._escaped: list[Exception] = []

    async def collect(self) -> None:
        """Store every part that is not stored yet, then say what came of it.

        Raises:
            PartialResultError: some were stored and others were not.
            MediaError: the only output, or every one, could not be stored; the first error.
        """
        row = self._row
        waiting = [part.index for part in row.job.parts if part.asset is None]
        places = anyio.CapacityLimiter(PARTS_IN_FLIGHT)
        async with anyio.create_task_group() as group:
            group.start_soon(self._alone, self._learn_cost)
            for index in waiting:
                group.start_soon(self._alone, functools.partial(self._collect_part, index, places))
        if self._escaped:
            raise self._escaped[0]
        await self._finish()

    @property
    def nothing_to_come(self) -> bool:
        """Whether every output is stored, or gone for good."""
        return all(isinstance(error, OutputExpiredError) for error in self._failed.values())

    async def _alone(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run a step so that its error, for example of the ledger, neither stops the other transfers nor comes as a group."""
        try:
            await step()
        except Exception as error:
            # Raised again by `collect`, when the others have ended.
            self._escaped.append(error)

    async def _learn_cost(self) -> None:
        """Ask the provider's books while the bytes travel; what cannot be told stays unknown."""
        reporter, job = role(self._provider, CostReporter), self._row.job
        if reporter is None or (job.cost is not None and job.cost.status == "reported"):
            return
        cost: Cost | None = None
        with anyio.move_on_after(COST_LIMIT):
            try:
                cost = await reporter.report_cost(job.request, job.attempts[-1])
            except Exception as error:
                # A stranger's adapter may raise anything; the figure is not worth the asset.
                log.info("cost not reported: %s", type(error).__name__, extra=self._row.fields("cost"))
        if cost is not None:
            await self._row.change(cost=cost)

    async def _collect_part(self, index: int, places: anyio.CapacityLimiter) -> None:
        async with places:
            try:
                await self._store_part(index)
            except (LedgerError, StaleJobError):
                raise
            except Exception as error:
                # Kept for the end: one bad output must not cost the others. A stranger's storage may raise anything.
                failure = error if isinstance(error, MediaError) else self._untyped(error)
                self._failed[index] = self._row.name(failure)
                await self._row.change_part(index, error=str(failure))

    def _untyped(self, error: Exception) -> MediaError:
        wrapped = UploadError(
            f"Storing in {self._storage.name!r} raised {type(error).__name__}.",
            hint="resume(job) tries again.",
            retryable=True,
        )
        wrapped.__cause__ = error
        return wrapped

    async def _store_part(self, index: int) -> None:
        row, number = self._row, 0
        while True:
            number += 1
            try:
                return await self._transfer(index)
            except (BadMediaError, DownloadError) as error:
                if isinstance(error, DownloadError) and error.status in EXPIRED_STATUSES:
                    try:
                        await self._refresh(index, error)
                    except OutputExpiredError:
                        if await self._stored_before(index):
                            return None
                        raise
                    again = True
                else:
                    # A broken file may be whole at the second try; the asset is paid for, so it gets one.
                    again = isinstance(error, BadMediaError) and isinstance(row.part(index).output, RemoteFile)
                error.retryable = error.retryable or again
                wait = wait_before(number, error) if again and number < ATTEMPTS else None
                if wait is None:
                    raise
                row.tell(events.Retried, step="download", reason=error.code, wait=wait)
                await row.clock.sleep(wait)

    async def _refresh(self, index: int, error: DownloadError) -> None:
        """Ask the provider for the outputs again, in case their URLs are fresh.

        A refused fetch alone does not mean that the output is gone: that is said by the provider, or by the time it named.

        Raises:
            OutputExpiredError: it is gone for good.
        """
        row, pollable = self._row, role(self._provider, Pollable)
        old = row.part(index).output
        if pollable is not None and row.job.ref is not None:
            state = await poll(pollable, row.job.ref, row.clock)
            kept = not _lacks(state, index)
            if isinstance(state, Succeeded) and kept and state.outputs[index] != old:
                await row.change_part(index, output=state.outputs[index])
                return
        elif isinstance(old, RemoteFile) and old.expires_at is not None:
            kept = row.clock.now() < old.expires_at
        else:
            # Nobody can be asked: 401 and 403 may be meant for us, 404 and 410 are meant for everyone.
            kept = error.status in {401, 403}
        if not kept:
            raise OutputExpiredError(
                f"The provider no longer has output {index} (HTTP {error.status}).",
                job=row.job,
                hint="It was paid for and cannot be fetched any more. A new job makes a new one.",
                maybe_billed=True,
            ) from error

    async def _stored_before(self, index: int) -> bool:
        """Look whether a process that died had stored the output in whole; if so, it is the asset."""
        row, part, readable = self._row, self._row.part(index), role(self._storage, Readable)
        if part.object_key is None or readable is None:
            return False
        started = row.clock.monotonic()
        try:
            source = await read_back(await readable.open(part.object_key), row.job.request.kind)
        except BadMediaError:
            return False
        except StorageError as error:
            if error.retryable or type(error) is not StorageError:
                raise  # it could not be looked at, which is not the same as that it is not there
            return False
        await self._note_stored(index, source, part.object_key, stored_size=source.size, started=started)
        return True

    async def _transfer(self, index: int) -> None:
        row, part = self._row, self._row.part(index)
        assert part.output is not None
        started = row.clock.monotonic()
        if part.object_key is not None:
            # An earlier try, perhaps in a process that died, may have left an open upload behind.
            await self._storage.discard_partial(part.object_key)
        source = await open_output(
            part.output,
            row.job.request.kind,
            client=self._files,
            clock=row.clock,
            authorize=self._authorize,
            on_retry=lambda error, wait: row.tell(events.Retried, step="download", reason=error.code, wait=wait),
            on_bytes=lambda size, total: row.tell(events.Transferred, index=index, size=size, total=total),
        )
        try:
            object_key = with_extension(_stem(row.job, index), source.extension)
            await row.change_part(index, object_key=object_key)
            labels = encode_labels(row.job.request.tags)
            stored = await self._storage.put(object_key, source, media_type=source.media_type, labels=labels)
        finally:
            await source.aclose()
        await self._note_stored(index, source, object_key, stored_size=stored.size, started=started)

    async def _note_stored(
        self, index: int, source: VerifiedSource, object_key: str, *, stored_size: int, started: float
    ) -> None:
        row = self._row
        asset = asset_of(
            row.job,
            index,
            source,
            storage=self._storage.name,
            object_key=object_key,
            stored_size=stored_size,
            address=await self._storage.url(object_key),
            now=row.clock.now(),
            seconds=row.clock.monotonic() - started,
        )
        await row.change_part(index, asset=asset, output=None, error="")

    async def _finish(self) -> None:
        row = self._row
        cost = row.job.cost or estimated_cost(row.job)
        share, timings = share_of(cost, len(row.job.parts)), row.timed_in_all()
        parts = tuple(completed(part, share, timings["total"]) for part in row.job.parts)
        stage: Stage = "storing" if self._failed else self._when_all_stored
        if self._failed and self.nothing_to_come:
            # Nothing more can come: what was stored in time is all there will be.
            stage = self._when_all_stored if row.job.assets else "expired"
        await row.change(parts=parts, cost=cost, timings=timings, stage=stage)
        for part in parts:
            if part.asset is not None:
                row.tell(
                    events.Stored, index=part.index, object_key=part.asset.object_key, size=part.asset.size, cost=share
                )
        if not self._failed:
            return
        if row.job.assets:
            raise PartialResultError(job=row.job, assets=row.job.assets, failed=self._failed)
        first = self._failed[min(self._failed)]
        if isinstance(first, JobError):
            first.job = row.job
        raise first


def _lacks(state: State, index: int) -> bool:
    """Say whether an output is gone by the provider's own words. A job that is "running" again has not lost what it made."""
    match state:
        case Succeeded():
            return index >= len(state.outputs)
        case Failed():
            return state.reason in {"expired", "no_media"}
        case _:
            return False


def _stem(job: Job, index: int) -> str:
    """Return the key of an output without its extension; one that nobody asked for gets a name beside the first."""
    return job.object_stems[index] if index < len(job.object_stems) else f"{job.object_stems[0]}-{index}"
