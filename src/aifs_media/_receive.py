"""A webhook has come: it is checked, claimed, and tells which job moved. What became of the job is asked, not believed."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aifs_media._secrets import redact
from aifs_media._told import TRIES, named_job, with_ref
from aifs_media.errors import LedgerError, StaleJobError, WebhookRefusedError
from aifs_media.protocols import WebhookVerifier, role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from aifs_media.protocols import Ledger, MediaProvider
    from aifs_media.records import Job, WebhookNote

log = logging.getLogger("aifs_media.webhooks")


async def receive(provider: MediaProvider, *, ledger: Ledger, headers: Mapping[str, str], body: bytes) -> Job | None:
    """Take a webhook and return the job it is about, as it stands now; None if it came before, or is about no job of this ledger.

    Raises:
        WebhookRefusedError: it is not from the provider, too old, too large or not readable; or the provider sends none.
        MediaError: it could not be checked or recorded, so that it should be sent again.
    """
    verifier = role(provider, WebhookVerifier)
    if verifier is None:
        raise WebhookRefusedError(f"The provider {provider.name!r} sends no webhooks.", provider=provider.name)
    note = await verifier.verify_webhook(headers, body)
    if not _is_text(note):
        raise WebhookRefusedError(
            "A webhook was refused: it names its job with characters that no name has.", provider=provider.name
        )
    delivery_id = f"{provider.name}:{note.delivery_id}"
    for _ in range(TRIES):
        job = await _job_of(note, provider, ledger)
        if job is None:
            log.info("a webhook is about no job of this ledger", extra={"provider": provider.name})
            return None
        told = with_ref(job, note.ref)
        version = None if told is None else job.version
        try:
            fresh = await ledger.claim_delivery(delivery_id, job=told, expected_version=version)
        except StaleJobError:
            continue
        if not fresh:
            return None
        _log(job, told, note)
        return await ledger.load(job.job_id, namespace=job.namespace)
    raise LedgerError(
        "A webhook could not be recorded, since its job's row kept changing.",
        hint="It will be sent again.",
        provider=provider.name,
        retryable=True,
    )


async def _job_of(note: WebhookNote, provider: MediaProvider, ledger: Ledger) -> Job | None:
    """Return the job that holds the ref, or else the one that the webhook's address names."""
    holder = await ledger.find_by_ref(provider.name, note.ref)
    if holder is not None:
        return holder
    named = named_job(note.job)
    if named is None:
        return None
    namespace, job_id = named
    job = await ledger.load(job_id, namespace=namespace)
    return job if job is not None and job.provider == provider.name else None


def _is_text(note: WebhookNote) -> bool:
    """Say whether a ledger can look for what a note names: JSON and URLs may hold half a character, and NUL."""
    named = json.dumps([note.delivery_id, note.ref, unquote(note.job)], ensure_ascii=False)
    try:
        named.encode()
    except UnicodeEncodeError:
        return False
    return "\\u0000" not in named


def _log(job: Job, told: Job | None, note: WebhookNote) -> None:
    fields = {
        "job_id": job.job_id, "namespace": job.namespace, "provider": job.provider, "model": job.request.model,
        "step": "webhook",
    }  # fmt: skip
    if told is not None:
        log.info("accepted, ref %s, told by a webhook", redact(str(note.ref)), extra=fields)
    elif job.ref is not None and _id(job.ref) != _id(note.ref):
        # A handle may be, or hold, a signed URL.
        told_of, known = (redact(str(ref)) for ref in (note.ref, job.ref))
        log.warning("a webhook tells of %s, and the job is %s at the provider", told_of, known, extra=fields)


def _id(ref: JsonValue) -> JsonValue:
    """Return what a webhook names a job by: of a ref that is an object, its `id`."""
    return ref.get("id", ref) if isinstance(ref, dict) else ref
