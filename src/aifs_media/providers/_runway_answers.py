"""From Runway's answers to states and errors. Pure.

A job is called a task there. Facts: docs.dev.runwayml.com (HTTP errors, task failures, outputs), the types of the official client
runwayml 5.24.0, and what users reported. Answers of earlier years name no costs, so both are optional.
"""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, NamedTuple

from aifs_media.errors import RateLimitedError, RequestRejectedError, UnexpectedResponseError
from aifs_media.providers._reading import amount, link, number, text
from aifs_media.toolkit import Cost, Failed, ModelRetiredError, PaymentRequiredError, Pending, RemoteFile, Succeeded

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aifs_media.records import Billed
    from aifs_media.toolkit import Answer, JsonValue, MediaError

    Redact = Callable[[str], str]

Task = dict[str, "JsonValue"]

BILLING_URL = "https://dev.runwayml.com"
POLL_AFTER = 5.0
"""Seconds within which Runway says that a task does not change more than once."""

OUTPUTS_KEPT = timedelta(hours=24)
"""How long an output's URL works at least; a later look at the task gives a fresh one."""

USD_PER_CREDIT = Decimal("0.01")
WORDS_IN_MESSAGES = 500

_WAITING = frozenset({"PENDING", "THROTTLED", "RUNNING"})
_NO_CREDIT = re.compile(r"enough credits|insufficient credits?", re.IGNORECASE)
# "Your daily task limit has been reached." (github.com/runwayml/sdk-python, issue 23).
_QUOTA = re.compile(r"\bdaily\b|\bmonthly\b", re.IGNORECASE)

log = logging.getLogger("aifs_media.providers.runway")


class Upload(NamedTuple):
    """A place for an input: where to send it, the form's fields that come before the file, and what a request calls it."""

    url: str
    fields: dict[str, str]
    uri: str


def task_of(answer: Answer) -> Task:
    """Return the task that an answer holds; the one to a create has an id and an estimate only.

    Raises:
        UnexpectedResponseError: it holds none; retryable, since a broken answer says nothing about the task.
    """
    body = answer.json_or_none()
    if isinstance(body, dict) and text(body.get("id")):
        return body
    raise _unexpected(answer, "a task")


def upload_of(answer: Answer) -> Upload:
    """Return the place that Runway has made for an input. Raises UnexpectedResponseError, retryable."""
    body = answer.json_or_none()
    if isinstance(body, dict):
        url, uri, fields = body.get("uploadUrl"), body.get("runwayUri"), body.get("fields")
        if isinstance(url, str) and isinstance(uri, str) and isinstance(fields, dict):
            return Upload(url, {name: str(value) for name, value in fields.items()}, uri)
    raise _unexpected(answer, "a place for an upload")


def state_of(
    task: Task, *, now: datetime, redact: Redact, estimate: Cost | None = None, emulated: bool = False
) -> Pending | Succeeded | Failed:
    """Return how a task stands. A status that is not documented counts as running.

    Args:
        task: as `task_of` returns it.
        now: the present time, from which the outputs' URLs are counted as working.
        redact: takes secrets out of text.
        estimate: what the task was estimated to cost, for an end that is charged and names no cost.
        emulated: whether the emulator answered.
    """
    ref, status, cost = task["id"], task.get("status"), reported_cost(task)
    match status:
        case "SUCCEEDED":
            output = task.get("output")
            links = [url for one in output if (url := link(one))] if isinstance(output, list) else []
            if not links:
                message = "Runway reports success, and there is no file in the output."
                return Failed(reason="no_media", message=message, ref=ref, cost=cost, billed=_billed(task, "unknown"))
            files = tuple(RemoteFile(url=url, expires_at=now + OUTPUTS_KEPT) for url in links)
            return Succeeded(outputs=files, ref=ref, cost=cost or estimate, emulated=emulated)
        case "FAILED":
            return _failed(task, cost, estimate, redact)
        case "CANCELLED":
            message = "The task was cancelled at Runway."
            return Failed(reason="canceled", message=message, ref=ref, cost=cost, billed=_billed(task, "unknown"))
        case _:
            if status is not None and (not isinstance(status, str) or status not in _WAITING):
                word = redact(str(status))[:WORDS_IN_MESSAGES]
                log.warning("task status %r is not documented and counts as running", word)
            progress = number(task.get("progress"))
            share = None if progress is None else min(max(progress, 0.0), 1.0)
            return Pending(ref=ref, progress=share, poll_after=POLL_AFTER)


def cancelled(task: Task) -> Failed:
    """Return how a task will have ended that is about to be cancelled: Runway forgets it, so nobody can ask afterwards.

    One that ran is charged in full. Whether one that waited is refunded depends on its status at that very moment.
    """
    running = task.get("status") == "RUNNING"
    return Failed(
        reason="canceled",
        message="The task was cancelled, and Runway does not know it any more.",
        ref=task["id"],
        cost=estimated_cost(task) if running else None,
        billed="yes" if running else "unknown",
    )


def _failed(task: Task, cost: Cost | None, estimate: Cost | None, redact: Redact) -> Failed:
    """Read a failure by the prefix of its code; the end of the code is a hint only, says the documentation."""
    code = task.get("failureCode")
    cause = code.removeprefix("INPUT_PREPROCESSING.") if isinstance(code, str) else ""
    failure = task.get("failure")
    words = redact(failure)[:WORDS_IN_MESSAGES].strip() if isinstance(failure, str) else ""
    said = f"{words or 'no reason given'}{f' ({code})' if isinstance(code, str) and code else ''}"
    if cause.startswith("SAFETY"):
        # A moderated generation costs as much as one that succeeds, and many of them suspend the account.
        return Failed(
            reason="content_rejected",
            message=f"Runway's moderation refused the content: {said}",
            ref=task["id"],
            cost=cost or estimate,
            billed=_billed(task, "yes"),
        )
    return Failed(
        reason="generation_failed",
        message=f"Runway says that the generation failed: {said}",
        ref=task["id"],
        cost=cost,
        billed=_billed(task, "unknown"),
        retryable=cause.startswith("INTERNAL"),
    )


# -- credits -----------------------------------------------------------------------------------------------------------


def reported_cost(task: Task) -> Cost | None:
    """Return what an ended task cost; 0 where it was refunded, None where it is not said."""
    spent = _credits(task, "cost")
    return None if spent is None else _cost(spent, "reported")


def estimated_cost(task: Task) -> Cost | None:
    """Return what Runway expects a task to cost at most; None where it is not said."""
    expected = _credits(task, "estimatedCost")
    return None if expected is None else _cost(expected, "estimated")


def _cost(spent: float, status: Literal["reported", "estimated"]) -> Cost:
    return Cost(
        amount=Decimal(str(spent)) * USD_PER_CREDIT,
        basis="credits",
        quantity=spent,
        status=status,
        source=f"credits {status} by Runway, at {USD_PER_CREDIT} USD each",
    )


def _billed(task: Task, otherwise: Billed) -> Billed:
    spent = _credits(task, "cost")
    if spent is None:
        return otherwise
    return "yes" if spent > 0 else "no"


def _credits(task: Task, member: str) -> float | None:
    cost = task.get(member)
    return amount(cost.get("credits")) if isinstance(cost, dict) else None


# -- refusals ----------------------------------------------------------------------------------------------------------


def refusal(answer: Answer, *, provider: str, redact: Redact) -> MediaError | None:
    """Return the error that only Runway's words tell, or None.

    Whatever Runway does not know is `ModelRetiredError` here; who asked knows what it was.
    """
    body = answer.json_or_none()
    body = body if isinstance(body, dict) else {}
    said = body.get("error")
    words = redact(said)[:WORDS_IN_MESSAGES].strip() if isinstance(said, str) else ""
    issues = _issues(body.get("issues"))
    match answer.status:
        case 400 if _NO_CREDIT.search(words):
            error: MediaError = PaymentRequiredError(
                label="Runway", billing_url=BILLING_URL, provider=provider, detail=words
            )
        case 400 if any(path == "model" for path, _ in issues):
            error = ModelRetiredError(f"Runway does not know the model: {words}", model="", provider=provider)
        case 404:
            error = ModelRetiredError(f"Runway does not know what was asked for: {words}", model="", provider=provider)
        case 400:
            complaints = redact("; ".join(f"{path}: {message}" if path else message for path, message in issues))
            both = ": ".join(part.rstrip(".") for part in (words, complaints[:WORDS_IN_MESSAGES]) if part)
            error = RequestRejectedError(
                f"Runway rejected the request (HTTP 400){f': {both}' if both else ''}.",
                hint="Nothing was made. Change the request; the same one will be rejected again.",
                provider=provider,
            )
        case 429 if _QUOTA.search(words):
            error = RateLimitedError(
                f"The limit of Runway's plan is reached (HTTP 429): {words}",
                hint="It counts the last 24 hours and each model by itself: wait, use another model, or raise the tier.",
                provider=provider,
                retry_after=answer.retry_after,
            )
        case _:
            return None
    error.request_id = answer.request_id
    return error


def _issues(listed: JsonValue) -> list[tuple[str, str]]:
    """Return path and message of each complaint. The names of their members are not documented, only recorded."""
    found: list[tuple[str, str]] = []
    for issue in listed if isinstance(listed, list) else []:
        if isinstance(issue, dict):
            path, message = issue.get("path"), issue.get("message")
            steps = [str(step) for step in path] if isinstance(path, list) else []
            found.append((".".join(steps), message if isinstance(message, str) else ""))
    return found


def _unexpected(answer: Answer, what: str) -> UnexpectedResponseError:
    return UnexpectedResponseError(
        f"Runway answered HTTP {answer.status} without {what}.",
        hint="A proxy in between may have answered instead.",
        provider=answer.provider,
        request_id=answer.request_id,
        retryable=True,
    )
