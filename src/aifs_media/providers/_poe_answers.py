"""From Poe's answers to states, texts and errors. Pure.

Error bodies come in five forms, of which only `error.message` and `error.type` are sure, and types contradict statuses (a
recorded 404 has the type `invalid_request_error`). So the status decides first, and then the words.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from aifs_media.errors import RateLimitedError, UnexpectedResponseError
from aifs_media.providers._poe_content import find_media
from aifs_media.providers._reading import FAR_FUTURE, moment_of, number, whole
from aifs_media.toolkit import (
    Answer,
    ContentRejectedError,
    Failed,
    JsonValue,
    MediaError,
    ModelRetiredError,
    Pending,
    RemoteFile,
    Succeeded,
    TextResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    Redact = Callable[[str], str]

EXCERPT = 200
POLL_AFTER = 5.0
"""Seconds between status reads of a video that Poe recommends."""

log = logging.getLogger("aifs_media.providers.poe")

_MODERATION = re.compile(
    r"moderat|content[ _-]?(?:policy|policies|filter|rules|violation)|safety (?:system|filter|polic)|usage polic"
    r"|prohibited|inappropriate|sensitive content|nsfw|flagged",
    re.IGNORECASE,
)
_PERMISSION = re.compile(r"permission|authori[sz]|not allowed to (?:use|access)|subscri|access to", re.IGNORECASE)
_UPSTREAM_QUOTA = re.compile(r"exhausted|quota", re.IGNORECASE)
_UNKNOWN_MODEL = "model_not_found"
_DEEPEST_PARTS = 20


# -- chat completions --------------------------------------------------------------------------------------------------


def chat_state(answer: Answer, *, prompt: str, kind: str, redact: Redact) -> Succeeded | Failed:
    """Return how a media bot's answer of status 200 ended; it need not hold any media.

    Raises:
        UnexpectedResponseError: it is no chat completion. It may be billed.
    """
    body = _object(answer)
    if (error := _error_member(body)) is not None:
        return _failed(error, redact)
    choice = _first_choice(body, answer)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content, refusal = _text(message.get("content")), _text(message.get("refusal"))
    outputs = find_media(content, prompt=prompt)
    if outputs:
        return Succeeded(outputs=outputs, emulated=answer.emulated)
    words = excerpt(refusal or content, redact)
    if refusal or choice.get("finish_reason") == "content_filter":
        return Failed(reason="content_rejected", message=f"Poe's bot refused the prompt: {words}", billed="unknown")
    said = f"answered only text: {words}" if words else "answered nothing"
    return Failed(
        reason="no_media",
        message=f"Poe's bot {said}. Word the prompt as a description of the {kind}, or use another bot.",
        billed="unknown",
    )


def chat_text(answer: Answer, *, provider: str, model: str, redact: Redact) -> TextResult:
    """Return the text of a chat completion.

    Raises:
        ContentRejectedError: the bot refused.
        UnexpectedResponseError: there is no text.
    """
    body = _object(answer)
    choice = _first_choice(body, answer)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text, refusal = _text(message.get("content")), _text(message.get("refusal"))
    if refusal or (choice.get("finish_reason") == "content_filter" and not text):
        raise ContentRejectedError(
            f"Poe's bot {model!r} refused the prompt: {excerpt(refusal, redact)}",
            provider=provider,
            request_id=answer.request_id,
            maybe_billed=True,
        )
    if not text.strip():
        raise UnexpectedResponseError(
            f"Poe's bot {model!r} answered without any text.",
            hint="Try again, or use another bot.",
            provider=provider,
            request_id=answer.request_id,
            maybe_billed=True,
        )
    usage = body.get("usage")
    tokens = usage if isinstance(usage, dict) else {}
    return TextResult(
        text=text,
        provider=provider,
        model=model,
        prompt_tokens=whole(tokens.get("prompt_tokens")),
        completion_tokens=whole(tokens.get("completion_tokens")),
        emulated=answer.emulated,
    )


# -- videos ------------------------------------------------------------------------------------------------------------


def video_state(answer: Answer, *, base_url: str, redact: Redact) -> Pending | Succeeded | Failed:
    """Return how a job of `/v1/videos` stands. A status that is not documented counts as running.

    The reference marks every member as optional; without an id nobody could ask for the video again.

    Raises:
        UnexpectedResponseError: the answer is no video object.
    """
    body = _object(answer)
    identifier, status = body.get("id"), body.get("status")
    if not isinstance(identifier, str) or not re.fullmatch(r"[\w.~-]+", identifier):
        raise _unexpected(answer, "a video without an id")
    if status == "completed":
        output = RemoteFile(
            url=f"{base_url}/videos/{identifier}/content",
            auth="provider",
            media_type="video/mp4",
            expires_at=moment(body.get("expires_at")),
        )
        return Succeeded(outputs=(output,), ref=identifier, emulated=answer.emulated)
    if status == "failed":
        failed = _failed(_error_member(body) or {}, redact)
        return failed.model_copy(update={"ref": identifier})
    if status not in ("queued", "in_progress"):
        log.warning("video status %r is not documented and counts as running", excerpt(str(status), redact))
    percent = number(body.get("progress"))
    progress = None if percent is None else min(max(percent / 100, 0.0), 1.0)
    return Pending(ref=identifier, progress=progress, poll_after=POLL_AFTER)


# -- errors ------------------------------------------------------------------------------------------------------------


def failed_generation(answer: Answer, *, redact: Redact) -> Failed | None:
    """Return the failure that the answer to a create reports, or None where the create's fate is not known.

    A 500 or 502 in Poe's own words is the end of a generation, and nothing says that it is free. Without those words, for
    example from the proxy in front, the answer is lost.
    """
    error = _error_member(answer.json_or_none())
    return _failed(error, redact) if answer.status in {500, 502} and error is not None else None


def did_not_start(answer: Answer) -> bool:
    """Say whether an answer is Poe's own 408, which is documented as a model that did not start. A proxy's is not."""
    error = _error_member(answer.json_or_none()) or {}
    return answer.status == 408 and error.get("type") == "timeout_error"


def refusal(answer: Answer, *, provider: str, redact: Redact) -> MediaError | None:
    """Return the error that only Poe's words tell, or None. An unknown bot is `ModelRetiredError` without suggestions."""
    error = _error_member(answer.json_or_none()) or {}
    words, kind = excerpt(_text(error.get("message")), redact), error.get("type")
    if answer.status == 404 or (answer.status == 400 and error.get("code") == _UNKNOWN_MODEL):
        found: MediaError = ModelRetiredError(
            f"Poe does not know what was asked for: {words}", model="", provider=provider
        )
    elif answer.status == 429 and _UPSTREAM_QUOTA.search(words):
        found = RateLimitedError(
            f"The vendor behind Poe's bot has no quota left (HTTP 429). Poe says: {words}",
            hint="Wait and try again, or use another bot; a slower rate on your side does not help.",
            provider=provider,
            retryable=True,
            retry_after=answer.retry_after,
        )
    elif _is_moderation(answer.status, kind, words):
        found = ContentRejectedError(
            f"Poe's moderation refused the request (HTTP {answer.status}). Poe says: {words}",
            hint="Change the prompt.",
            provider=provider,
        )
    else:
        return None
    found.request_id = answer.request_id
    return found


def _is_moderation(status: int, kind: JsonValue, words: str) -> bool:
    """Say whether a refusal is about content. Poe's 403 has the type `moderation_error` for missing permissions as well."""
    if status == 403:
        return bool(_MODERATION.search(words)) or (kind == "moderation_error" and not _PERMISSION.search(words))
    return status == 400 and bool(_MODERATION.search(words))


def _failed(error: dict[str, JsonValue], redact: Redact) -> Failed:
    words = excerpt(_text(error.get("message")), redact) or "no reason given"
    signs = " ".join(_text(error.get(member)) for member in ("code", "type", "message"))
    if _MODERATION.search(signs):
        return Failed(reason="content_rejected", message=f"Poe's bot refused the request: {words}", billed="unknown")
    return Failed(reason="generation_failed", message=f"Poe's bot failed: {words}", billed="unknown", retryable=True)


def excerpt(text: str, redact: Redact) -> str:
    """Return the beginning of a text from outside, fit for an error message."""
    line = " ".join(redact(text).split())
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


# -- members that may be missing ---------------------------------------------------------------------------------------


def _object(answer: Answer) -> dict[str, JsonValue]:
    try:
        body = answer.json()
    except UnexpectedResponseError as error:
        # What cannot be read may have been made.
        error.maybe_billed = True
        raise
    if isinstance(body, dict):
        return body
    raise _unexpected(answer, "JSON that is no object")


def _first_choice(body: dict[str, JsonValue], answer: Answer) -> dict[str, JsonValue]:
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    raise _unexpected(answer, "a chat completion without choices")


def _unexpected(answer: Answer, what: str) -> UnexpectedResponseError:
    return UnexpectedResponseError(
        f"Poe answered {what} (HTTP {answer.status}).",
        hint="Look at https://poe.com/api/keys whether it was charged, before you try again.",
        provider=answer.provider,
        request_id=answer.request_id,
        maybe_billed=True,
    )


def _error_member(body: JsonValue) -> dict[str, JsonValue] | None:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, str) and error:
        return {"message": error}
    return error if isinstance(error, dict) and error else None


def _text(value: JsonValue, depth: int = 0) -> str:
    """Return a text, or the joined texts of content parts; empty for anything else."""
    if isinstance(value, list) and depth < _DEEPEST_PARTS:
        return "\n".join(_text(part.get("text"), depth + 1) for part in value if isinstance(part, dict))
    return value if isinstance(value, str) else ""


def moment(value: JsonValue) -> datetime | None:
    """Read a time. Poe writes seconds, milliseconds (catalogue) and microseconds (points history) since 1970."""
    seconds = number(value)
    if seconds is None:
        return None
    for _ in ("microseconds", "milliseconds"):
        if seconds > FAR_FUTURE:
            seconds /= 1000
    return moment_of(seconds)
