"""The statements of the PostgreSQL ledger. Time is the database's.

Those that change more than one row run inside a transaction of their caller.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

from aifs_media._handles import ref_key
from aifs_media.errors import JobNotFoundError
from aifs_media.ledger._postgres_prepared import PreparedStatement
from aifs_media.ledger._rows import (
    from_json,
    held_refs,
    lease_lost,
    newer_format,
    outputs_expire_at,
    ref_held,
    stale,
    to_json,
    utc,
)
from aifs_media.records import FORMAT, Lease

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    import psycopg
    from pydantic import JsonValue

    from aifs_media.ledger._postgres_prepared import Value
    from aifs_media.records import Job, Stage

UPDATE = """
    update aifs_media_jobs set format = %(format)s, version = version + 1, stage = %(stage)s, done = %(done)s,
        changed_at = case when %(done)s then clock_timestamp() else changed_at end, expires_at = %(expires_at)s,
        held = %(held)s, body = %(body)s
    where namespace = %(namespace)s and job_id = %(job_id)s and version = %(expected_version)s
        and (%(fence)s::bigint is null or lease_fence = %(fence)s::bigint)
    """
UPDATE_ALONE = PreparedStatement(UPDATE + " and held = %(held)s")


def create_or_load(connection: psycopg.Connection, job: Job) -> Job:
    """Insert the job, or return the one that already has its identity."""
    cursor = connection.execute(
        """
        insert into aifs_media_jobs (namespace, job_id, format, version, stage, done, tags, created_at, changed_at,
            expires_at, held, body)
        values (%(namespace)s, %(job_id)s, %(format)s, %(version)s, %(stage)s, %(done)s, %(tags)s, %(created_at)s,
            clock_timestamp(), %(expires_at)s, %(held)s, %(body)s)
        on conflict do nothing
        """,
        {**_columns(job), "version": job.version, "tags": _tags(job.request.tags), "created_at": utc(job.created_at)},
    )
    if cursor.rowcount == 0:
        known = load(connection, job.job_id, job.namespace)
        # Pruned in this very moment: to the caller as if it had been pruned a moment later.
        return known or job
    _hold_refs(connection, job)
    return job


def load(connection: psycopg.Connection, job_id: str, namespace: str) -> Job | None:
    """Return the job, or None."""
    row = connection.execute(
        "select format, body from aifs_media_jobs where namespace = %s and job_id = %s", [namespace, job_id]
    ).fetchone()
    if row is None:
        return None
    if row[0] > FORMAT:
        raise newer_format(job_id, row[0])
    return from_json(row[1])


def update_alone(connection: psycopg.Connection, job: Job, *, expected_version: int, fence: int | None) -> Job | None:
    """Replace the row in one statement; None where that is not enough: a handle is new, or the row is not as expected."""
    changed = job.model_copy(update={"version": expected_version + 1})
    values = {**_columns(changed), "expected_version": expected_version, "fence": fence}
    return changed if UPDATE_ALONE.run(connection, values) else None


def update(connection: psycopg.Connection, job: Job, *, expected_version: int, fence: int | None) -> Job:
    """Replace the row; its number of changes and its fence must be the expected ones."""
    changed = job.model_copy(update={"version": expected_version + 1})
    cursor = connection.execute(UPDATE, {**_columns(changed), "expected_version": expected_version, "fence": fence})
    if cursor.rowcount == 0:
        raise _refusal(connection, job, expected_version=expected_version, fence=fence)
    _hold_refs(connection, changed)
    return changed


def find_by_ref(connection: psycopg.Connection, provider: str, ref: JsonValue) -> Job | None:
    """Return the job that holds the handle."""
    row = connection.execute(
        "select job_id, namespace from aifs_media_refs where provider = %s and ref = %s", [provider, ref_key(ref)]
    ).fetchone()
    return None if row is None else load(connection, row[0], row[1])


def unfinished(connection: psycopg.Connection, limit: int) -> list[Job]:
    """Return unfinished jobs, the most urgent first. Rows of a newer version are left to newer workers."""
    rows = connection.execute(
        """
        select body from aifs_media_jobs where not done and format <= %s
        order by stage = 'new', expires_at nulls last, created_at, namespace, job_id limit %s
        """,
        [FORMAT, limit],
    )
    return [from_json(body) for (body,) in rows]


def search(
    connection: psycopg.Connection,
    *,
    namespace: str | None,
    tags: Mapping[str, str],
    stages: Collection[Stage] | None,
    limit: int,
) -> list[Job]:
    """Return the jobs that fit, newest first."""
    rows = connection.execute(
        """
        select body from aifs_media_jobs
        where format <= %(format)s
            and (%(namespace)s::text is null or namespace = %(namespace)s)
            and (%(stages)s::text[] is null or stage = any(%(stages)s))
            and tags @> %(tags)s::text[]
        order by created_at desc, namespace, job_id limit %(limit)s
        """,
        {
            "format": FORMAT,
            "namespace": namespace,
            "stages": None if stages is None else list(stages),
            "tags": _tags(tags),
            "limit": limit,
        },
    )
    return [from_json(body) for (body,) in rows]


def acquire(connection: psycopg.Connection, job_id: str, namespace: str, *, owner: str, seconds: float) -> Lease | None:
    """Take the lease if it is free, has run out, or is the owner's own."""
    row = connection.execute(
        """
        update aifs_media_jobs
        set lease_owner = %(owner)s, lease_fence = lease_fence + 1, lease_expires_at = clock_timestamp() + %(time)s
        where namespace = %(namespace)s and job_id = %(job_id)s
            and (lease_owner is null or lease_owner = %(owner)s or lease_expires_at <= clock_timestamp())
        returning lease_fence, lease_expires_at
        """,
        {"namespace": namespace, "job_id": job_id, "owner": owner, "time": timedelta(seconds=seconds)},
    ).fetchone()
    if row is not None:
        return Lease(job_id=job_id, namespace=namespace, owner=owner, fence=row[0], expires_at=utc(row[1]))
    known = connection.execute(
        "select 1 from aifs_media_jobs where namespace = %s and job_id = %s", [namespace, job_id]
    ).fetchone()
    if known is None:
        raise JobNotFoundError(f"There is no job {job_id!r} in this ledger.", job_id=job_id)
    return None


def renew(connection: psycopg.Connection, lease: Lease, seconds: float) -> Lease:
    """Move the lease's end."""
    row = connection.execute(
        """
        update aifs_media_jobs set lease_expires_at = clock_timestamp() + %s
        where namespace = %s and job_id = %s and lease_owner = %s and lease_fence = %s
        returning lease_expires_at
        """,
        [timedelta(seconds=seconds), lease.namespace, lease.job_id, lease.owner, lease.fence],
    ).fetchone()
    if row is None:
        raise lease_lost(lease.job_id)
    return lease.model_copy(update={"expires_at": utc(row[0])})


def release(connection: psycopg.Connection, lease: Lease) -> None:
    """Free the lease if it is still this one."""
    connection.execute(
        """
        update aifs_media_jobs set lease_owner = null, lease_expires_at = null
        where namespace = %s and job_id = %s and lease_owner = %s and lease_fence = %s
        """,
        [lease.namespace, lease.job_id, lease.owner, lease.fence],
    )


def claim_delivery(connection: psycopg.Connection, delivery_id: str, *, job: Job | None, expected_version: int) -> bool:
    """Remember the delivery and make its update. A second claim at the same time waits for the first to end."""
    cursor = connection.execute(
        "insert into aifs_media_deliveries (delivery_id, claimed_at) values (%s, clock_timestamp()) on conflict do nothing",
        [delivery_id],
    )
    if cursor.rowcount == 0:
        return False
    if job is not None:
        update(connection, job, expected_version=expected_version, fence=None)
    return True


def prune(connection: psycopg.Connection, before: datetime) -> int:
    """Delete what is old, and what belongs to it."""
    moment = utc(before)
    jobs = connection.execute(
        "delete from aifs_media_jobs where done and changed_at < %s returning namespace, job_id", [moment]
    ).fetchall()
    with connection.cursor() as cursor:
        cursor.executemany("delete from aifs_media_refs where namespace = %s and job_id = %s", jobs)
    connection.execute("delete from aifs_media_deliveries where claimed_at < %s", [moment])
    return len(jobs)


def _columns(job: Job) -> dict[str, Value]:
    return {
        "namespace": job.namespace,
        "job_id": job.job_id,
        "format": FORMAT,
        "stage": job.stage,
        "done": job.done,
        "expires_at": outputs_expire_at(job),
        "held": json.dumps(held_refs(job)),
        "body": to_json(job),
    }


def _tags(tags: Mapping[str, str]) -> list[str]:
    # Name and value as one text that the index can find whole; JSON keeps them apart.
    return [json.dumps(pair) for pair in tags.items()]


def _hold_refs(connection: psycopg.Connection, job: Job) -> None:
    """Note the job's handles. One stays with its job even where the row no longer shows it."""
    for provider, ref in held_refs(job):
        connection.execute(
            """
            insert into aifs_media_refs (provider, ref, namespace, job_id) values (%s, %s, %s, %s) on conflict do nothing
            """,
            [provider, ref, job.namespace, job.job_id],
        )
        holder = connection.execute(
            "select namespace, job_id from aifs_media_refs where provider = %s and ref = %s", [provider, ref]
        ).fetchone()
        if holder is not None and holder != (job.namespace, job.job_id):
            raise ref_held(job, str(holder[1]))


def _refusal(connection: psycopg.Connection, job: Job, *, expected_version: int, fence: int | None) -> Exception:
    row = connection.execute(
        "select lease_fence from aifs_media_jobs where namespace = %s and job_id = %s", [job.namespace, job.job_id]
    ).fetchone()
    known = load(connection, job.job_id, job.namespace)
    newest = row[0] if row else 0
    return stale(job, known, expected_version=expected_version, fence=fence, newest_fence=newest)
