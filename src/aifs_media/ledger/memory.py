"""Jobs recorded in this process only. What is paid survives everything but the death of the process."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from aifs_media.errors import StaleJobError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue

    from aifs_media.records import Job

FINISHED_KEPT = 10_000


class MemoryLedger:
    """A ledger in memory. Keeps every unfinished job and the newest 10,000 finished ones."""

    durable = False

    def __init__(self) -> None:
        self._unfinished: dict[tuple[str, str], Job] = {}
        self._finished: OrderedDict[tuple[str, str], Job] = OrderedDict()

    async def create_or_load(self, job: Job) -> Job:
        """Record a new job, or return the one that already has its identity."""
        key = (job.namespace, job.job_id)
        known = self._unfinished.get(key) or self._finished.get(key)
        if known is None:
            self._keep(job)
        return known or job

    async def load(self, job_id: str, *, namespace: str = "") -> Job | None:
        """Return the job, or None."""
        key = (namespace, job_id)
        return self._unfinished.get(key) or self._finished.get(key)

    async def update(self, job: Job, *, expected_version: int) -> Job:
        """Replace the row if it still has `expected_version`. Raises StaleJobError."""
        known = await self.load(job.job_id, namespace=job.namespace)
        if known is not None and known.version != expected_version:
            raise StaleJobError(
                f"The job {job.job_id!r} was changed by someone else (version {known.version}, not {expected_version}).",
                job=known,
                hint="Load it again.",
                retryable=True,
            )
        changed = job.model_copy(update={"version": expected_version + 1})
        self._keep(changed)
        return changed

    async def find_by_ref(self, provider: str, ref: JsonValue) -> Job | None:
        """Return the job that holds this provider handle, or None."""
        for job in (*self._unfinished.values(), *self._finished.values()):
            if any(attempt.provider == provider and attempt.ref == ref for attempt in job.attempts):
                return job
        return None

    async def unfinished(self, *, limit: int = 100) -> Sequence[Job]:
        """Return jobs that have not reached an end, oldest first."""
        return sorted(self._unfinished.values(), key=lambda job: job.created_at)[:limit]

    async def aclose(self) -> None:
        """Nothing to close: the jobs stay."""

    def _keep(self, job: Job) -> None:
        key = (job.namespace, job.job_id)
        self._unfinished.pop(key, None)
        self._finished.pop(key, None)
        if job.done:
            self._finished[key] = job
            while len(self._finished) > FINISHED_KEPT:
                self._finished.popitem(last=False)
        else:
            self._unfinished[key] = job
