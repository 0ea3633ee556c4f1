"""The statements of the SQLite ledger. Each function runs inside a transaction of its caller."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from aifs_media._handles import ref_key
from aifs_media.errors import JobNotFoundError
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
    import sqlite3
    from collections.abc import Collection, Mapping

    from pydantic import JsonValue

    from aifs_media.records import Job, Stage


def create_or_load(connection: sqlite3.Connection, job: Job, now: datetime) -> Job:
    """Insert the job, or return the one that already has its identity."""
    known = load(connection, job.job_id, job.namespace)
    if known is not None:
        return known
    connection.execute(
        """
        insert into jobs (namespace, job_id, format, version, stage, done, created_at, changed_at, expires_at, body)
        values (:namespace, :job_id, :format, :version, :stage, :done, :created_at, :changed_at, :expires_at, :body)
        """,
        {**_columns(job, now), "created_at": _text(job.created_at)},
    )
    _hold_refs(connection, job)
    connection.executemany(
        "insert into tags (namespace, job_id, name, value) values (?, ?, ?, ?)",
        [(job.namespace, job.job_id, name, value) for name, value in job.request.tags.items()],
    )
    return job


def load(connection: sqlite3.Connection, job_id: str, namespace: str) -> Job | None:
    """Return the job, or None."""
    row = connection.execute(
        "select format, body from jobs where namespace = ? and job_id = ?", (namespace, job_id)
    ).fetchone()
    if row is None:
        return None
    if row[0] > FORMAT:
        raise newer_format(job_id, row[0])
    return from_json(row[1])


def update(connection: sqlite3.Connection, job: Job, now: datetime, *, expected_version: int, fence: int | None) -> Job:
    """Replace the row; its number of changes and its fence must be the expected ones."""
    changed = job.model_copy(update={"version": expected_version + 1})
    cursor = connection.execute(
        """
        update jobs set format = :format, version = :version, stage = :stage, done = :done,
            changed_at = :changed_at, expires_at = :expires_at, body = :body
        where namespace = :namespace and job_id = :job_id and version = :expected_version
            and (:fence is null or lease_fence = :fence)
        """,
        {**_columns(changed, now), "expected_version": expected_version, "fence": fence},
    )
    if cursor.rowcount == 0:
        raise _refusal(connection, job, expected_version=expected_version, fence=fence)
    _hold_refs(connection, changed)
    return changed


def find_by_ref(connection: sqlite3.Connection, provider: str, ref: JsonValue) -> Job | None:
    """Return the job that holds the handle."""
    row = connection.execute(
        "select job_id, namespace from refs where provider = ? and ref = ?", (provider, ref_key(ref))
    ).fetchone()
    return None if row is None else load(connection, row[0], row[1])


def unfinished(connection: sqlite3.Connection, limit: int) -> list[Job]:
    """Return unfinished jobs, the most urgent first. Rows of a newer version are left to newer workers."""
    rows = connection.execute(
        """
        select body from jobs where done = 0 and format <= ?
        order by stage = 'new', expires_at is null, expires_at, created_at, namespace, job_id limit ?
        """,
        (FORMAT, limit),
    )
    return [from_json(body) for (body,) in rows]


def search(
    connection: sqlite3.Connection,
    *,
    namespace: str | None,
    tags: Mapping[str, str],
    stages: Collection[Stage] | None,
    limit: int,
) -> list[Job]:
    """Return the jobs that fit, newest first."""
    conditions: list[str] = ["format <= ?"]
    values: list[str | int] = [FORMAT]
    if namespace is not None:
        conditions.append("namespace = ?")
        values.append(namespace)
    if stages is not None:
        conditions.append(f"stage in ({', '.join('?' * len(stages))})")
        values.extend(stages)
    for name, value in tags.items():
        conditions.append(
            "exists (select 1 from tags where tags.namespace = jobs.namespace and tags.job_id = jobs.job_id"
            " and name = ? and value = ?)"
        )
        values.extend((name, value))
    # Only fixed texts are joined here; every value is bound.
    query = (
        f"select body from jobs where {' and '.join(conditions)} order by created_at desc, namespace, job_id limit ?"  # noqa: S608
    )
    return [from_json(body) for (body,) in connection.execute(query, (*values, limit))]


def acquire(
    connection: sqlite3.Connection, job_id: str, namespace: str, now: datetime, *, owner: str, seconds: float
) -> Lease | None:
    """Take the lease if it is free, has run out, or is the owner's own."""
    row = connection.execute(
        "select lease_owner, lease_fence, lease_expires_at from jobs where namespace = ? and job_id = ?",
        (namespace, job_id),
    ).fetchone()
    if row is None:
        raise JobNotFoundError(f"There is no job {job_id!r} in this ledger.", job_id=job_id)
    holder, fence, expires_at = row
    if holder not in {None, owner} and expires_at > _text(now):
        return None
    lease = Lease(
        job_id=job_id, namespace=namespace, owner=owner, fence=fence + 1, expires_at=now + timedelta(seconds=seconds)
    )
    connection.execute(
        "update jobs set lease_owner = ?, lease_fence = ?, lease_expires_at = ? where namespace = ? and job_id = ?",
        (owner, lease.fence, _text(lease.expires_at), namespace, job_id),
    )
    return lease


def renew(connection: sqlite3.Connection, lease: Lease, now: datetime, seconds: float) -> Lease:
    """Move the lease's end."""
    renewed = lease.model_copy(update={"expires_at": now + timedelta(seconds=seconds)})
    cursor = connection.execute(
        """
        update jobs set lease_expires_at = ?
        where namespace = ? and job_id = ? and lease_owner = ? and lease_fence = ?
        """,
        (_text(renewed.expires_at), lease.namespace, lease.job_id, lease.owner, lease.fence),
    )
    if cursor.rowcount == 0:
        raise lease_lost(lease.job_id)
    return renewed


def release(connection: sqlite3.Connection, lease: Lease) -> None:
    """Free the lease if it is still this one."""
    connection.execute(
        """
        update jobs set lease_owner = null, lease_expires_at = null
        where namespace = ? and job_id = ? and lease_owner = ? and lease_fence = ?
        """,
        (lease.namespace, lease.job_id, lease.owner, lease.fence),
    )


def claim_delivery(
    connection: sqlite3.Connection, delivery_id: str, now: datetime, *, job: Job | None, expected_version: int
) -> bool:
    """Remember the delivery and make its update."""
    cursor = connection.execute(
        "insert into deliveries (delivery_id, claimed_at) values (?, ?) on conflict do nothing",
        (delivery_id, _text(now)),
    )
    if cursor.rowcount == 0:
        return False
    if job is not None:
        update(connection, job, now, expected_version=expected_version, fence=None)
    return True


def prune(connection: sqlite3.Connection, before: datetime) -> int:
    """Delete what is old, and what belongs to it."""
    moment = _text(before)
    for table in ("refs", "tags"):
        connection.execute(
            f"delete from {table} where (namespace, job_id) in "  # noqa: S608 - one of two fixed names
            "(select namespace, job_id from jobs where done = 1 and changed_at < ?)",
            (moment,),
        )
    jobs = connection.execute("delete from jobs where done = 1 and changed_at < ?", (moment,))
    connection.execute("delete from deliveries where claimed_at < ?", (moment,))
    return jobs.rowcount


def _text(moment: datetime) -> str:
    # One width and one zone, so that text sorts as time does.
    return utc(moment).isoformat(timespec="microseconds")


def _columns(job: Job, now: datetime) -> dict[str, str | int | None]:
    expires_at = outputs_expire_at(job)
    return {
        "namespace": job.namespace,
        "job_id": job.job_id,
        "format": FORMAT,
        "version": job.version,
        "stage": job.stage,
        "done": int(job.done),
        "changed_at": _text(now),
        "expires_at": None if expires_at is None else _text(expires_at),
        "body": to_json(job),
    }


def _hold_refs(connection: sqlite3.Connection, job: Job) -> None:
    """Note the job's handles. One stays with its job even where the row no longer shows it."""
    for provider, ref in held_refs(job):
        connection.execute(
            "insert into refs (provider, ref, namespace, job_id) values (?, ?, ?, ?) on conflict do nothing",
            (provider, ref, job.namespace, job.job_id),
        )
        holder = connection.execute(
            "select namespace, job_id from refs where provider = ? and ref = ?", (provider, ref)
        ).fetchone()
        if holder != (job.namespace, job.job_id):
            raise ref_held(job, holder[1])


def _refusal(connection: sqlite3.Connection, job: Job, *, expected_version: int, fence: int | None) -> Exception:
    row = connection.execute(
        "select lease_fence from jobs where namespace = ? and job_id = ?", (job.namespace, job.job_id)
    ).fetchone()
    known = load(connection, job.job_id, job.namespace)
    newest = row[0] if row else 0
    return stale(job, known, expected_version=expected_version, fence=fence, newest_fence=newest)
