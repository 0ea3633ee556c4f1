"""Jobs recorded in this process only. What is paid survives everything but the death of the process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from aifs_media._clock import SystemClock
from aifs_media._handles import ref_key
from aifs_media.errors import JobNotFoundError
from aifs_media.ledger._rows import held_refs, lease_lost, ref_held, stale, urgency, utc
from aifs_media.records import Lease

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from pydantic import JsonValue

    from aifs_media.protocols import Clock
    from aifs_media.records import Job, Stage

FINISHED_KEPT = 10_000


@dataclass
class _Row:
    job: Job
    changed_at: datetime
    refs: set[tuple[str, str]]
    owner: str | None = None
    fence: int = 0
    lease_expires_at: datetime | None = None


class MemoryLedger:
    """A ledger in memory. Keeps every unfinished job and the newest 10,000 finished ones.

    Args:
        clock: the time by which leases end and rows grow old; the system's by default.
    """

    durable = False

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._rows: dict[tuple[str, str], _Row] = {}
        self._finished: dict[tuple[str, str], None] = {}  # in the order in which they ended
        self._refs: dict[tuple[str, str], tuple[str, str]] = {}
        self._deliveries: dict[str, datetime] = {}

    async def create_or_load(self, job: Job) -> Job:
        """Record a new job, or return the one that already has its identity. Raises StaleJobError if another holds its ref."""
        row = self._rows.get((job.namespace, job.job_id))
        if row is not None:
            return row.job
        self._hold_refs(job)
        self._keep(_Row(job, self._clock.now(), set(held_refs(job))))
        return job

    async def load(self, job_id: str, *, namespace: str = "") -> Job | None:
        """Return the job, or None."""
        row = self._rows.get((namespace, job_id))
        return row.job if row else None

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Replace the row if it still has `expected_version` and `fence` is the newest. Raises StaleJobError."""
        row = self._rows.get((job.namespace, job.job_id))
        if row is None or row.job.version != expected_version or fence not in {None, row.fence}:
            raise stale(
                job,
                row.job if row else None,
                expected_version=expected_version,
                fence=fence,
                newest_fence=row.fence if row else 0,
            )
        self._hold_refs(job)
        row.job = job.model_copy(update={"version": expected_version + 1})
        row.changed_at = self._clock.now()
        row.refs.update(held_refs(job))
        self._keep(row)
        return row.job

    async def find_by_ref(self, provider: str, ref: JsonValue) -> Job | None:
        """Return the job that holds this provider handle, or ever held it; or None."""
        key = self._refs.get((provider, ref_key(ref)))
        return self._rows[key].job if key else None

    async def unfinished(self, *, limit: int = 100) -> Sequence[Job]:
        """Return jobs that have not reached an end: those whose outputs expire soonest first, then the oldest, unsent ones last."""
        jobs = [row.job for key, row in self._rows.items() if key not in self._finished]
        return sorted(jobs, key=urgency)[:limit]

    async def search(
        self,
        *,
        namespace: str | None = None,
        tags: Mapping[str, str] | None = None,
        stages: Collection[Stage] | None = None,
        limit: int = 100,
    ) -> Sequence[Job]:
        """Return the jobs that fit all that is given, newest first."""
        wanted = (tags or {}).items()
        fitting = [
            row.job
            for row in self._rows.values()
            if (namespace is None or row.job.namespace == namespace)
            and (stages is None or row.job.stage in stages)
            and wanted <= row.job.request.tags.items()
        ]
        fitting.sort(key=lambda job: (job.namespace, job.job_id))
        fitting.sort(key=lambda job: utc(job.created_at), reverse=True)
        return fitting[:limit]

    async def acquire(self, job_id: str, *, namespace: str = "", owner: str, seconds: float) -> Lease | None:
        """Take the job's lease for so long; None while another owner holds it. Raises JobNotFoundError."""
        row = self._rows.get((namespace, job_id))
        if row is None:
            raise JobNotFoundError(f"There is no job {job_id!r} in this ledger.", job_id=job_id)
        now = self._clock.now()
        if row.owner not in {None, owner} and row.lease_expires_at is not None and row.lease_expires_at > now:
            return None
        row.owner, row.fence = owner, row.fence + 1
        row.lease_expires_at = now + timedelta(seconds=seconds)
        return Lease(job_id=job_id, namespace=namespace, owner=owner, fence=row.fence, expires_at=row.lease_expires_at)

    async def renew(self, lease: Lease, *, seconds: float) -> Lease:
        """Hold a lease for so long from now. Raises StaleJobError if it was given back or somebody else took it."""
        row = self._leased(lease)
        if row is None:
            raise lease_lost(lease.job_id)
        row.lease_expires_at = self._clock.now() + timedelta(seconds=seconds)
        return lease.model_copy(update={"expires_at": row.lease_expires_at})

    async def release(self, lease: Lease) -> None:
        """Give a lease back; one that is lost already is fine."""
        row = self._leased(lease)
        if row is not None:
            row.owner = row.lease_expires_at = None

    async def claim_delivery(
        self, delivery_id: str, *, job: Job | None = None, expected_version: int | None = None
    ) -> bool:
        """Remember a delivery and make the update that it causes; False if it was claimed before. Raises StaleJobError."""
        if delivery_id in self._deliveries:
            return False
        if job is not None:
            await self.update(job, expected_version=job.version if expected_version is None else expected_version)
        self._deliveries[delivery_id] = self._clock.now()
        return True

    async def prune(self, *, before: datetime) -> int:
        """Forget finished jobs last changed, and deliveries claimed, before that time; return how many jobs."""
        old = [key for key in self._finished if self._rows[key].changed_at < utc(before)]
        for key in old:
            self._forget(key)
        self._deliveries = {name: at for name, at in self._deliveries.items() if at >= utc(before)}
        return len(old)

    async def aclose(self) -> None:
        """Nothing to close: the jobs stay."""

    def _leased(self, lease: Lease) -> _Row | None:
        row = self._rows.get((lease.namespace, lease.job_id))
        return row if row is not None and (row.owner, row.fence) == (lease.owner, lease.fence) else None

    def _hold_refs(self, job: Job) -> None:
        """Note the job's handles. One stays with its job even where the row no longer shows it."""
        key = (job.namespace, job.job_id)
        for ref in held_refs(job):
            holder = self._refs.get(ref, key)
            if holder != key:
                raise ref_held(job, holder[1])
        self._refs.update(dict.fromkeys(held_refs(job), key))

    def _keep(self, row: _Row) -> None:
        key = (row.job.namespace, row.job.job_id)
        self._rows[key] = row
        self._finished.pop(key, None)
        if row.job.done:
            self._finished[key] = None
            if len(self._finished) > FINISHED_KEPT:
                self._forget(next(iter(self._finished)))

    def _forget(self, key: tuple[str, str]) -> None:
        del self._finished[key]
        for ref in self._rows.pop(key).refs:
            del self._refs[ref]
