"""One worker for one job: within the process by turns, across processes by a lease that is renewed while the work goes on."""

from __future__ import annotations

import logging
import os
import socket
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio

from aifs_media import events
from aifs_media._poll import Deadline
from aifs_media._row import MAYBE_BILLED, JobRow
from aifs_media._shield import shielded
from aifs_media.errors import MediaError, StaleJobError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from aifs_media._row import OnEvent
    from aifs_media._wakeups import Wakeups
    from aifs_media.protocols import Clock, Ledger
    from aifs_media.records import Job, Lease

T = TypeVar("T")

log = logging.getLogger("aifs_media.jobs")

LEASE_SECONDS = 30.0
RENEW_EVERY = 10.0
LOOK_AGAIN = 1.0
RELEASE_LIMIT = 5.0


class Turns:
    """Hands out jobs to workers, one at a time each."""

    def __init__(self, *, ledger: Ledger, clock: Clock, wakeups: Wakeups, on_event: OnEvent | None) -> None:
        self._ledger = ledger
        self._clock = clock
        self._wakeups = wakeups
        self._on_event = on_event
        self._owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex}"
        self._running: dict[tuple[str, str], tuple[anyio.Lock, int]] = {}

    async def alone(self, job: Job, work: Callable[[JobRow], Awaitable[T]], *, patience: float) -> T:
        """Do the work while nobody else works on the job; who comes second finds what the first achieved.

        Args:
            job: the job; its row is read again when it is this worker's turn.
            work: what to do with it.
            patience: seconds to wait for a worker in another process.

        Raises:
            StaleJobError: another process works on it, or took it over.
        """
        async with self._turn(job):
            if not self._ledger.durable:
                return await work(await self._row(job))
            lease = await self._take(job, patience)
            try:
                return await self._under(lease, job, work)
            finally:
                await shielded(RELEASE_LIMIT, lambda: self._release(lease))

    def is_busy(self, job: Job) -> bool:
        """Say whether a worker of this process has the job in hand."""
        return (job.namespace, job.job_id) in self._running

    @asynccontextmanager
    async def _turn(self, job: Job) -> AsyncGenerator[None]:
        key = (job.namespace, job.job_id)
        lock, users = self._running.get(key, (anyio.Lock(), 0))
        self._running[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._running[key]
            if users == 1:
                del self._running[key]
            else:
                self._running[key] = (lock, users - 1)

    async def _row(self, job: Job, fence: int | None = None) -> JobRow:
        latest = await self._ledger.load(job.job_id, namespace=job.namespace)
        return JobRow(
            latest or job, ledger=self._ledger, clock=self._clock, wakeups=self._wakeups, on_event=self._on_event,
            fence=fence,
        )  # fmt: skip

    async def _take(self, job: Job, patience: float) -> Lease:
        limit = Deadline.after(self._clock.monotonic(), patience)
        told = False
        while True:
            lease = await self._ledger.acquire(
                job.job_id, namespace=job.namespace, owner=self._owner, seconds=LEASE_SECONDS
            )
            if lease is not None:
                return lease
            if limit.remaining(self._clock.monotonic()) <= LOOK_AGAIN:
                raise StaleJobError(
                    "Another process works on the job.",
                    job=job,
                    hint="Wait for it there, or try again when it has ended.",
                    retryable=True,
                    maybe_billed=job.stage in MAYBE_BILLED,
                )
            if not told:
                self._tell_held(job)
                told = True
            await self._clock.sleep(LOOK_AGAIN)

    def _tell_held(self, job: Job) -> None:
        """Say that the wait is for another process. There is no row of this worker yet that could tell it."""
        fields = {"job_id": job.job_id, "namespace": job.namespace, "provider": job.provider, "step": "lease"}
        log.info("another process works on the job", extra=fields)
        if self._on_event is None:
            return
        request = job.request
        held = events.Held(
            job_id=job.job_id, namespace=job.namespace, seq=0, at=self._clock.now(),
            provider=request.provider, model=request.model, kind=request.kind,
        )  # fmt: skip
        try:
            self._on_event(held)
        except Exception:
            # The host's callback is not part of the job.
            log.exception("on_event raised", extra=fields)

    async def _release(self, lease: Lease) -> None:
        try:
            await self._ledger.release(lease)
        except MediaError as error:
            # It runs out by itself; what the work came to is not worth less for that.
            log.warning("the lease could not be given back: %s", error.code, extra={"job_id": lease.job_id})

    async def _under(self, lease: Lease, job: Job, work: Callable[[JobRow], Awaitable[T]]) -> T:
        """Work while the lease is kept alive; stop when it is lost."""
        row = await self._row(job, lease.fence)
        results: list[T] = []
        errors: list[Exception] = []

        async def keep() -> None:
            held = lease
            while True:
                # Real time, not the injected clock's: this only shows that the worker is alive.
                await anyio.sleep(RENEW_EVERY)
                try:
                    held = await self._ledger.renew(held, seconds=LEASE_SECONDS)
                except StaleJobError:
                    row.lease_lost = True
                    group.cancel_scope.cancel()
                except MediaError as error:
                    # A ledger that cannot be reached for a moment: the next renewal may come in time.
                    if not error.retryable:
                        row.lease_lost = True
                        errors.append(error)
                        group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(keep)
            try:
                results.append(await work(row))
            except Exception as error:
                # Raised below: out of the task group it would come as a group.
                errors.append(error)
            group.cancel_scope.cancel()
        if results:
            return results[0]
        if errors:
            raise row.leave(errors[0]) if isinstance(errors[0], MediaError) else errors[0]
        raise StaleJobError("Another process has taken the job over.", job=row.job, retryable=True)
