"""Jobs recorded in a SQLite file on a local disk. Several processes of one host may share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aifs_media._clock import SystemClock
from aifs_media.ledger import _sqlite_rows as rows
from aifs_media.ledger._sqlite_file import SqliteFile
from aifs_media.storage._threads import Threads

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from pydantic import JsonValue

    from aifs_media.protocols import Clock
    from aifs_media.records import Job, Lease, Stage

T = TypeVar("T")


class SqliteLedger:
    """A ledger in one file, which is made by the first call. Every change is on the disk when its call returns.

    A call that is cancelled while it waits changes nothing; one that has begun is completed and counts. Works with SQLite 3.35
    and later. Every method may raise ConfigurationError (the file cannot be a ledger: no directory, not writable, another
    program's, of a newer version) and LedgerError (locked for 5 seconds by another process, which is retryable; no room; a
    disk error).

    Args:
        path: the file, on a local disk; its directory exists. Beside it lie `-wal` and `-shm` while it is open.
        clock: the time by which leases end and rows grow old; the system's by default.
    """

    durable = True

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._file = SqliteFile(path)
        self._threads = Threads(1)

    async def create_or_load(self, job: Job) -> Job:
        """Record a new job, or return the one that already has its identity. Raises StaleJobError if another holds its ref."""
        return await self._write(lambda connection: rows.create_or_load(connection, job, self._clock.now()))

    async def load(self, job_id: str, *, namespace: str = "") -> Job | None:
        """Return the job, or None."""
        return await self._read(lambda connection: rows.load(connection, job_id, namespace))

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Replace the row if it still has `expected_version` and `fence` is the newest. Raises StaleJobError."""
        return await self._write(
            lambda connection: rows.update(
                connection, job, self._clock.now(), expected_version=expected_version, fence=fence
            )
        )

    async def find_by_ref(self, provider: str, ref: JsonValue) -> Job | None:
        """Return the job that holds this provider handle, or ever held it; or None."""
        return await self._read(lambda connection: rows.find_by_ref(connection, provider, ref))

    async def unfinished(self, *, limit: int = 100) -> Sequence[Job]:
        """Return jobs that have not reached an end: those whose outputs expire soonest first, then the oldest, unsent ones last."""
        return await self._read(lambda connection: rows.unfinished(connection, limit))

    async def search(
        self,
        *,
        namespace: str | None = None,
        tags: Mapping[str, str] | None = None,
        stages: Collection[Stage] | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return the jobs that fit all that is given, newest first."""
        return await self._read(
            lambda connection: rows.search(connection, namespace=namespace, tags=tags or {}, stages=stages, limit=limit)
        )

    async def acquire(self, job_id: str, *, namespace: str = "", owner: str, seconds: float) -> Lease | None:
        """Take the job's lease for so long; None while another owner holds it. Raises JobNotFoundError."""
        return await self._write(
            lambda connection: rows.acquire(
                connection, job_id, namespace, self._clock.now(), owner=owner, seconds=seconds
            )
        )

    async def renew(self, lease: Lease, *, seconds: float) -> Lease:
        """Hold a lease for so long from now. Raises StaleJobError if it was given back or somebody else took it."""
        return await self._write(lambda connection: rows.renew(connection, lease, self._clock.now(), seconds))

    async def release(self, lease: Lease) -> None:
        """Give a lease back; one that is lost already is fine."""
        await self._write(lambda connection: rows.release(connection, lease))

    async def claim_delivery(
        self, delivery_id: str, *, job: Job | None = None, expected_version: int | None = None
    ) -> bool:
        """Remember a delivery and make the update that it causes; False if it was claimed before. Raises StaleJobError."""
        version = job.version if job is not None and expected_version is None else expected_version or 0
        return await self._write(
            lambda connection: rows.claim_delivery(
                connection, delivery_id, self._clock.now(), job=job, expected_version=version
            )
        )

    async def prune(self, *, before: datetime) -> int:
        """Forget finished jobs last changed, and deliveries claimed, before that time; return how many jobs."""
        return await self._write(lambda connection: rows.prune(connection, before))

    async def aclose(self) -> None:
        """Close the file; the next call opens it again."""
        await self._threads.run(self._file.close)

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._threads.run(self._file.read, work)

    async def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._threads.run(self._file.write, work)
