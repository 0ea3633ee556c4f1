"""What every ledger derives from a job: its JSON, its place in a list, the provider handles it holds; and the refusals."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from aifs_media._handles import ref_key
from aifs_media.errors import LedgerError, StaleJobError
from aifs_media.records import Job, RemoteFile

EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def utc(moment: datetime) -> datetime:
    """Return the moment in UTC; one without a time zone is in UTC already. Near the ends of the calendar UTC may be beyond them."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return EARLIEST if moment.year == EARLIEST.year else LATEST


def outputs_expire_at(job: Job) -> datetime | None:
    """Return when the provider deletes the first output that is not stored yet, or None where that is not known."""
    outputs = [part.output for part in job.parts if part.asset is None]
    moments = [utc(one.expires_at) for one in outputs if isinstance(one, RemoteFile) and one.expires_at is not None]
    return min(moments, default=None)


def urgency(job: Job) -> tuple[bool, datetime, datetime, str, str]:
    """Return the key that sorts unfinished jobs: outputs that expire soonest first, then the oldest; never sent ones last."""
    return job.stage == "new", outputs_expire_at(job) or LATEST, utc(job.created_at), job.namespace, job.job_id


def held_refs(job: Job) -> list[tuple[str, str]]:
    """Return provider and key of every handle in the job, sorted so that two writers never wait for each other."""
    return sorted({(one.provider, ref_key(one.ref)) for one in job.attempts if one.ref is not None})


def to_json(job: Job) -> str:
    """Return the job as JSON.

    Raises:
        LedgerError: it holds what JSON cannot, for example half of a surrogate pair.
    """
    try:
        return job.model_dump_json()
    except PydanticSerializationError as error:
        raise LedgerError(
            f"The job {job.job_id!r} cannot be written as JSON ({type(error).__name__}).",
            hint="Look for text that is not valid Unicode in the prompt, the options and the tags.",
            job_id=job.job_id,
        ) from None


def from_json(text: str) -> Job:
    """Return the job that a row holds.

    Raises:
        LedgerError: this version of the library cannot read it.
    """
    try:
        return Job.model_validate_json(text)
    except ValidationError as error:
        places = ", ".join(sorted({".".join(str(step) for step in one["loc"]) for one in error.errors()}))
        # Without its cause: what a row holds belongs into no traceback.
        raise LedgerError(
            f"A row of the ledger cannot be read as a job (at {places!r}).",
            hint="It was written by another version of aifs-media, or changed by hand.",
        ) from None


def newer_format(job_id: str, row_format: int) -> LedgerError:
    """Return the refusal to read a row that a newer version of the library wrote."""
    return LedgerError(
        f"The job {job_id!r} was recorded by a newer version of aifs-media (format {row_format}).",
        hint="Update aifs-media in this process too.",
        job_id=job_id,
    )


def stale(job: Job, known: Job | None, *, expected_version: int, fence: int | None, newest_fence: int) -> StaleJobError:
    """Return the refusal of an update, with the job as the ledger has it."""
    if known is None:
        what = f"The job {job.job_id!r} is not in the ledger (any more)"
    elif known.version != expected_version:
        what = f"The job {job.job_id!r} was changed by someone else (version {known.version}, not {expected_version})"
    else:
        what = f"The job {job.job_id!r} was taken over by another worker (fence {newest_fence}, not {fence})"
    return StaleJobError(f"{what}.", job=known or job, hint="Load it again.", retryable=True)


def ref_held(job: Job, holder: str) -> StaleJobError:
    """Return the refusal to record a provider handle that another job holds."""
    return StaleJobError(
        f"The provider's job that {job.job_id!r} would hold belongs to the job {holder!r} already.",
        job=job,
        hint=f"Go on with {holder!r}; one job at the provider is recorded once.",
    )


def lease_lost(job_id: str) -> StaleJobError:
    """Return the refusal to go on with a lease."""
    return StaleJobError(
        f"The lease of the job {job_id!r} was given back or taken by another worker.",
        hint="Stop working on it, or acquire it again.",
        job_id=job_id,
        retryable=True,
    )
