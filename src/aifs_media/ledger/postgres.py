"""Jobs recorded in PostgreSQL. Several processes on several hosts may share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from aifs_media.errors import ConfigurationError
from aifs_media.ledger import _postgres_rows as rows
from aifs_media.storage._threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    import psycopg
    from pydantic import JsonValue

    from aifs_media.records import Job, Lease, Stage

T = TypeVar("T")


class PostgresLedger:
    """A ledger in four tables, `aifs_media_*`, which the first call makes. Every change is durable when its call returns.

    A call that is cancelled while it waits changes nothing; one that has begun is completed and counts. Leases end by the
    database's clock. Works with poolers that give out connections per transaction. Every method may raise LedgerError (the
    server cannot be reached or is too slow, which is retryable: the next call connects again) and ConfigurationError (the user
    may not make or use the tables, or a newer version made them).

    Args:
        dsn: `postgresql://user:password@host:5432/database`; never shown.
        connections: how many calls may run at a time on one event loop; so many connections stay open until `aclose`.

    Raises:
        ConfigurationError: psycopg is not installed, or the address cannot be read.
    """

    durable = True

    def __init__(self, dsn: str, *, connections: int = 4) -> None:
        try:
            from aifs_media.ledger._postgres_connections import Connections
        except ImportError as error:
            raise ConfigurationError(
                "A PostgreSQL ledger needs psycopg, which is not installed.",
                hint="Run: pip install 'aifs-media[postgres]'",
            ) from error
        self._connections = Connections(dsn, kept=connections)
        self._threads = Threads(connections)

    async def create_or_load(self, job: Job) -> Job:
        """Record a new job, or return the one that already has its identity. Raises StaleJobError if another holds its ref."""
        return await self._run(lambda connection: rows.create_or_load(connection, job))

    async def load(self, job_id: str, *, namespace: str = "") -> Job | None:
        """Return the job, or None."""
        return await self._run_single(lambda connection: rows.load(connection, job_id, namespace))

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Replace the row if it still has `expected_version` and `fence` is the newest. Raises StaleJobError."""
        return await self._threads.run(self._update, job, expected_version, fence)

    def _update(self, job: Job, expected_version: int, fence: int | None) -> Job:
        changed = self._connections.run_single(
            lambda connection: rows.update_alone(connection, job, expected_version=expected_version, fence=fence)
        )
        return changed or self._connections.run(
            lambda connection: rows.update(connection, job, expected_version=expected_version, fence=fence)
        )

    async def find_by_ref(self, provider: str, ref: JsonValue) -> Job | None:
        """Return the job that holds this provider handle, or ever held it; or None."""
        return await self._run_single(lambda connection: rows.find_by_ref(connection, provider, ref))

    async def unfinished(self, *, limit: int = 100) -> Sequence[Job]:
        """Return jobs that have not reached an end: those whose outputs expire soonest first, then the oldest, unsent ones last."""
        return await self._run_single(lambda connection: rows.unfinished(connection, limit))

    async def search(
        self,
        *,
        namespace: str | None = None,
        tags: Mapping[str, str] | None = None,
        stages: Collection[Stage] | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return the jobs that fit all that is given, newest first."""
        return await self._run_single(
            lambda connection: rows.search(connection, namespace=namespace, tags=tags or {}, stages=stages, limit=limit)
        )

    async def acquire(self, job_id: str, *, namespace: str = "", owner: str, seconds: float) -> Lease | None:
        """Take the job's lease for so long; None while another owner holds it. Raises JobNotFoundError."""
        return await self._run_single(
            lambda connection: rows.acquire(connection, job_id, namespace, owner=owner, seconds=seconds)
        )

    async def renew(self, lease: Lease, *, seconds: float) -> Lease:
        """Hold a lease for so long from now. Raises StaleJobError if it was given back or somebody else took it."""
        return await self._run_single(lambda connection: rows.renew(connection, lease, seconds))

    async def release(self, lease: Lease) -> None:
        """Give a lease back; one that is lost already is fine."""
        await self._run_single(lambda connection: rows.release(connection, lease))

    async def claim_delivery(
        self, delivery_id: str, *, job: Job | None = None, expected_version: int | None = None
    ) -> bool:
        """Remember a delivery and make the update that it causes; False if it was claimed before. Raises StaleJobError."""
        version = job.version if job is not None and expected_version is None else expected_version or 0
        return await self._run(
            lambda connection: rows.claim_delivery(connection, delivery_id, job=job, expected_version=version)
        )

    async def prune(self, *, before: datetime) -> int:
        """Forget finished jobs last changed, and deliveries claimed, before that time; return how many jobs."""
        return await self._run(lambda connection: rows.prune(connection, before))

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        await self._threads.run(self._connections.close)

    async def _run(self, work: Callable[[psycopg.Connection], T]) -> T:
        return await self._threads.run(self._connections.run, work)

    async def _run_single(self, work: Callable[[psycopg.Connection], T]) -> T:
        return await self._threads.run(self._connections.run_single, work)
