"""What a webhook tells of a job whose create is not answered yet: the provider's ref.

The webhook writes the ref into the job's row while somebody else, who waits for the create's answer or looks for a lost one, works
from the row as it was before. These functions reconcile the two: a ref that was told is never lost and never sent again. A worker
whose job was taken over while it waited for the answer tells what it learned in the same way.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote, urlencode, urlsplit, urlunsplit

from aifs_media._handles import same_job
from aifs_media._urlguard import is_address
from aifs_media.errors import ConfigurationError, StaleJobError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import JsonValue

    from aifs_media.protocols import Ledger
    from aifs_media.records import Attempt, Job

NOT_KNOWN_YET = frozenset({"new", "intent", "unknown", "uncertain"})
"""Stages of a job whose create may have been accepted without our knowing."""

ENDED = frozenset({"failed", "canceled", "expired"})
"""Stages in which nothing more is made."""

TRIES = 5
"""How often the row is read again because somebody changed it between reading and writing."""


class RefToldError(Exception):
    """What was about to be recorded is no longer true: a webhook has told meanwhile that the create was accepted."""


def webhook_url(base: str, *, provider: str, namespace: str, job_id: str, trusted_hosts: Collection[str]) -> str:
    """Return the address that a provider is given with a create: the configured one, its name, and the job's in the query.

    Raises:
        ConfigurationError: the configured address is not https.
    """
    if not is_address(base):
        raise ConfigurationError(
            "MEDIA_WEBHOOK_URL is not an address.",
            hint="Give the https address at which webhook_app is reached from outside.",
        )
    parts = urlsplit(base)
    if not parts.netloc or not (parts.scheme == "https" or (parts.scheme == "http" and parts.netloc in trusted_hosts)):
        raise ConfigurationError(
            f"MEDIA_WEBHOOK_URL with the scheme {parts.scheme!r} cannot be given to a provider.",
            hint="Give the https address at which webhook_app is reached from outside.",
        )
    job = urlencode({"job": job_name(namespace, job_id)})
    query = f"{parts.query}&{job}" if parts.query else job
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{quote(provider)}", query, ""))


def job_name(namespace: str, job_id: str) -> str:
    """Return namespace and id as one text."""
    return f"{quote(namespace, safe='')}/{quote(job_id, safe='')}"


def named_job(name: str) -> tuple[str, str] | None:
    """Return namespace and id of a job's name, or None where it is no name."""
    namespace, slash, job_id = name.partition("/")
    return (unquote(namespace), unquote(job_id)) if slash and job_id else None


def with_ref(job: Job, ref: JsonValue) -> Job | None:
    """Return the job with its last create accepted under that ref; None where the row knows how its create ended.

    A job that has turned to its next model has no create of that model yet, and nothing to do with what becomes of earlier ones.
    """
    if job.stage not in NOT_KNOWN_YET or not job.attempts or job.ref is not None:
        return None
    *before, last = job.attempts
    if (last.provider, last.model) != (job.provider, job.request.model):
        return None
    if any(attempt.ref is not None and same_job(attempt.ref, ref) for attempt in before):
        return None
    accepted = last.model_copy(update={"outcome": "accepted", "ref": ref})
    return job.model_copy(update={"stage": "submitted", "attempts": (*before, accepted)})


async def tell_ref(job: Job, ref: JsonValue, ledger: Ledger) -> None:
    """Write a ref into the job's row as it stands now, if the row does not know yet how its create ended."""
    for _ in range(TRIES):
        latest = await ledger.load(job.job_id, namespace=job.namespace)
        # Only of the very create that was answered; the job may have gone on to another one.
        same = latest is not None and [one.submit_key for one in latest.attempts] == [
            one.submit_key for one in job.attempts
        ]
        told = with_ref(latest, ref) if latest is not None and same and ref is not None else None
        if latest is None or told is None:
            return
        with contextlib.suppress(StaleJobError):
            await ledger.update(told, expected_version=latest.version)
            return


def told_meanwhile(ours: Job, latest: Job | None) -> bool:
    """Return whether the row differs from ours in nothing but the ref that a webhook told."""
    return (
        latest is not None
        and latest.version == ours.version + 1
        and latest.stage == "submitted"
        and latest.ref is not None
        and ours.ref is None
        and [attempt.submit_key for attempt in latest.attempts] == [attempt.submit_key for attempt in ours.attempts]
    )


def updates_on_told(updates: dict[str, object], told: Job) -> dict[str, object]:
    """Return the changes that somebody who did not know the ref wanted to make, as they are right now that it is known.

    Raises:
        RefToldError: they said that the create was not accepted, that nobody knows, or that the job is over without it.
    """
    attempts = cast("tuple[Attempt, ...]", updates.get("attempts", ()))
    stage = updates.get("stage")
    if stage in NOT_KNOWN_YET or (attempts and attempts[-1].outcome != "accepted") or (stage in ENDED and not attempts):
        raise RefToldError
    if attempts and attempts[-1].ref is None:
        return {**updates, "attempts": (*attempts[:-1], attempts[-1].model_copy(update={"ref": told.ref}))}
    if attempts and not same_job(attempts[-1].ref, told.ref):
        # One create was accepted twice: the answer names the one, the webhook the other, and either may be paid for.
        second = attempts[-1].model_copy(update={"ref": told.ref})
        if stage in ENDED:
            return {"attempts": (*attempts[:-1], attempts[-1].model_copy(update={"reason": "duplicate"}), second)}
        return {
            **updates,
            "attempts": (*attempts[:-1], second.model_copy(update={"reason": "duplicate"}), attempts[-1]),
        }
    return updates
