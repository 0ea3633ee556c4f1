"""From fal's answers to states and errors. Pure.

Facts: fal.ai/docs (queue, cancel, errors, request errors), and fal-client 1.0.3. There is no status for failure: a job that is
COMPLETED may have an `error`, or its result is an error status with a body in one of three forms.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aifs_media._data_uris import inline_file
from aifs_media.errors import RequestRejectedError
from aifs_media.providers._reading import link, shown, text, whole
from aifs_media.toolkit import (
    ContentRejectedError,
    Failed,
    ModelRetiredError,
    PaymentRequiredError,
    Pending,
    RemoteFile,
    Succeeded,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aifs_media.records import Billed, FailureReason
    from aifs_media.toolkit import Answer, JsonValue, MediaError, Output

    Redact = Callable[[str], str]

Document = dict[str, "JsonValue"]

URLS = ("status_url", "response_url", "cancel_url")
BILLING_URL = "https://fal.ai/dashboard/billing"
WORDS_IN_MESSAGES = 500

_NO_CREDIT = re.compile(r"exhausted balance|top[ _-]?up", re.IGNORECASE)
_STILL_RUNNING = "request is still in progress"
_MODERATED = "content_policy_violation"
_STARTED_TOO_LATE = "request_timeout"
_CANCELLED = frozenset({"client_cancelled", "client_disconnected"})
_NOT_THE_JOBS = frozenset({401, 403, 404, 408, 429})
"""Statuses of a result that may be about our question, in whatever form they come; others below 500 are the model's own."""


# -- states ------------------------------------------------------------------------------------------------------------


def accepted(answer: Answer) -> Pending:
    """Return the job that a create's answer names. Its ref holds the addresses as fal gave them, which nobody should build.

    Raises:
        UnexpectedResponseError: it names none; what was accepted may be billed.
    """
    body = answer.json_or_none()
    if not isinstance(body, dict) or not text(body.get("status_url")):
        raise UnexpectedResponseError(
            f"fal answered a create with HTTP {answer.status} and no address to ask.",
            hint="Look at https://fal.ai/dashboard/requests before you try again.",
            provider=answer.provider,
            request_id=answer.request_id,
            maybe_billed=True,
        )
    ref: Document = {
        "id": text(body.get("request_id")) or None,
        **{name: body[name] for name in URLS if text(body.get(name))},
    }
    return Pending(ref=ref, queue_position=whole(body.get("queue_position")))


def urls_of(ref: JsonValue) -> dict[str, str]:
    """Return the addresses in a ref; a text is taken for the address of the status, which tells the others."""
    held = ref if isinstance(ref, dict) else {"status_url": ref}
    return {name: url for name in URLS if isinstance(url := held.get(name), str)}


def document_of(answer: Answer) -> Document:
    """Return the status document.

    Raises:
        UnexpectedResponseError: it is none; retryable, since a broken answer says nothing about the job.
    """
    body = _object(answer)
    if not isinstance(body.get("status"), str):
        raise UnexpectedResponseError(
            f"fal answered HTTP {answer.status} without a status.",
            hint="A proxy in between may have answered instead.",
            provider=answer.provider,
            request_id=answer.request_id,
            retryable=True,
        )
    return body


def running(document: Document, ref: JsonValue) -> Pending | None:
    """Return the job that still waits or runs; None where it has ended. A status that is not documented counts as running."""
    if document["status"] == "COMPLETED":
        return None
    return Pending(ref=ref, queue_position=whole(document.get("queue_position")))


def ended(answer: Answer, document: Document, ref: JsonValue, *, redact: Redact) -> Pending | Succeeded | Failed | None:
    """Return how a completed job ended, from its result; None where the answer is not about the job, but about our question.

    A failure by a 5xx is to be believed only as `is_doubtful` says.

    Raises:
        UnexpectedResponseError: the result of a success cannot be read.
    """
    if answer.status < 300:
        return _succeeded(answer, document, ref, redact)
    body = _body(answer)
    if answer.status == 400 and str(body.get("detail")).lower().startswith(_STILL_RUNNING):
        return Pending(ref=ref)
    if document.get("error") or _is_of_the_job(answer, body):
        return _failed(answer, document, ref, redact)
    return None


def is_doubtful(answer: Answer, document: Document) -> bool:
    """Say whether a result is a 5xx of a job whose status names no error: how fal tells a failure, and how it is out of order."""
    return answer.status >= 500 and not document.get("error")


def _succeeded(answer: Answer, document: Document, ref: JsonValue, redact: Redact) -> Succeeded | Failed:
    body = _object(answer)
    flags = body.get("has_nsfw_concepts")
    flagged = {index for index, flag in enumerate(flags) if flag is True} if isinstance(flags, list) else set[int]()
    files = [(index, file) for index, member in enumerate(_members(body)) if (file := _file(member)) is not None]
    kept = tuple(file for index, file in files if index not in flagged)
    words = excerpt(document.get("error"), redact)
    if files and not kept:
        message = "fal's safety checker flagged the output and blackened it (has_nsfw_concepts)."
        return Failed(reason="content_rejected", message=message, ref=ref)
    if not files and (words or body.get("error") or body.get("detail")):
        return _failed(answer, document, ref, redact)
    warnings = [f"fal made the output, and says all the same: {words}"] if words else []
    if len(kept) < len(files):
        blackened = f"{len(files) - len(kept)} of {len(files)} images"
        warnings.append(f"fal's safety checker blackened {blackened}; they may be billed all the same.")
    seed = whole(body.get("seed"))
    return Succeeded(outputs=kept, ref=ref, seed=seed, warnings=tuple(warnings), emulated=answer.emulated)


def _members(body: Document) -> list[JsonValue]:
    """Return the files of a result as it names them: its videos, else its images. Other members may repeat what was put in."""
    for plural, singular in (("videos", "video"), ("images", "image")):
        listed = body.get(plural)
        if isinstance(listed, list) and listed:
            return listed
        if body.get(singular):
            return [body[singular]]
    return []


def _file(member: JsonValue) -> Output | None:
    url, media_type = (member.get("url"), member.get("content_type")) if isinstance(member, dict) else (member, None)
    if not isinstance(url, str):
        return None
    if url.startswith(("https://", "http://")):
        return RemoteFile(url=url, media_type=text(media_type)) if link(url) else None
    return inline_file(text(url))


def _is_of_the_job(answer: Answer, body: Document) -> bool:
    """Say whether an error of a result is the model's or the platform's word on the job, rather than on our question."""
    if answer.status < 400 or answer.status in _NOT_THE_JOBS:
        return False
    if (
        isinstance(body.get("detail"), list)
        or isinstance(body.get("error_type"), str)
        or isinstance(body.get("error"), dict)
        or "x-fal-error-type" in answer.headers
    ):
        return True
    # A proxy or an ingress in front of fal answers as well, and knows no request id.
    from_fal = "x-fal-request-id" in answer.headers
    if answer.status < 500:
        return bool(body) or from_fal
    return bool(body) and from_fal


def _failed(answer: Answer, document: Document, ref: JsonValue, redact: Redact) -> Failed:
    body = _body(answer)
    own = text(body.get("error_type")) or answer.headers.get("x-fal-error-type") or text(document.get("error_type"))
    words = complaint(body, redact) or excerpt(document.get("error"), redact) or f"HTTP {answer.status}"
    told = answer.headers.get("x-fal-retryable", answer.headers.get("x-fal-needs-retry", ""))
    # fal bills no 5xx; a 422 may be billed, where a runner spent time on it.
    billed: Billed = "no" if answer.status >= 500 and _is_of_the_job(answer, body) else "unknown"
    again = told.lower() in {"true", "1"} or answer.status in {429, 500, 502, 503, 504}
    reason: FailureReason = "generation_failed"
    message = f"fal says that the generation failed: {words}"
    if _MODERATED in _types(body):
        reason, message, again = "content_rejected", f"fal refused the content: {words}", False
    elif own in _CANCELLED:
        reason, message, again = "canceled", f"The job was cancelled at fal: {words}", False
    elif own == _STARTED_TOO_LATE:
        reason, message, again = "canceled", f"fal ended the job, since it did not start in time: {words}", False
    return Failed(reason=reason, message=message, ref=ref, billed=billed, retryable=again)


def has_ended(answer: Answer) -> bool:
    """Say whether the refusal of a cancel means that the job has ended already."""
    return answer.status == 400 and _body(answer).get("status") == "ALREADY_COMPLETED"


# -- errors ------------------------------------------------------------------------------------------------------------


def refusal(answer: Answer, *, provider: str, redact: Redact) -> MediaError | None:
    """Return the error that only fal's words tell, or None. Whatever fal does not know is `ModelRetiredError` here."""
    body = _body(answer)
    words = complaint(body, redact)
    error: MediaError
    match answer.status:
        # No credit is a 403 with a sentence. An administrator's lock is one too, and a matter of the account.
        case 402 | 403 if answer.status == 402 or _NO_CREDIT.search(words):
            error = PaymentRequiredError(label="fal", billing_url=BILLING_URL, provider=provider, detail=words)
        case 404:
            error = ModelRetiredError(f"fal does not know what was asked for: {words}", model="", provider=provider)
        case 400 | 422 if _MODERATED in _types(body):
            error = ContentRejectedError(
                f"fal refused the content: {words}", hint="Change the prompt.", provider=provider
            )
        case 400 | 422 if isinstance(body.get("detail"), list):
            error = RequestRejectedError(
                f"fal refuses the inputs: {words.rstrip('.')}.", hint="Change the inputs named here.", provider=provider
            )
        case _:
            return None
    error.request_id = answer.request_id
    return error


def complaint(body: Document, redact: Redact) -> str:
    """Return what an error body says, whichever of its forms it has."""
    detail, error = body.get("detail"), body.get("error")
    if isinstance(detail, list):
        return excerpt("; ".join(_entry(entry) for entry in detail if isinstance(entry, dict)), redact)
    found = detail or (error.get("message") if isinstance(error, dict) else error) or body.get("message")
    return excerpt(found if isinstance(found, str) else None, redact)


def excerpt(value: JsonValue, redact: Redact) -> str:
    """Return the beginning of a text from outside, fit for a message; empty for nothing."""
    return redact(shown(value))[:WORDS_IN_MESSAGES].strip() if value else ""


def _entry(entry: Document) -> str:
    place = entry.get("loc")
    where = ".".join(str(step) for step in place[1:]) if isinstance(place, list) else ""
    return ": ".join(part for part in (where, str(entry.get("msg", ""))) if part)


def _types(body: Document) -> set[str]:
    detail = body.get("detail")
    return (
        {str(entry.get("type")) for entry in detail if isinstance(entry, dict)} if isinstance(detail, list) else set()
    )


def _body(answer: Answer) -> Document:
    body = answer.json_or_none()
    return body if isinstance(body, dict) else {}


def _object(answer: Answer) -> Document:
    body = answer.json_or_none()
    if isinstance(body, dict):
        return body
    raise UnexpectedResponseError(
        f"fal answered HTTP {answer.status} with a body that is not a JSON object.",
        hint="A proxy in between may have answered instead.",
        provider=answer.provider,
        request_id=answer.request_id,
        retryable=True,
    )
