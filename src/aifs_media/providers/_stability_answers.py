"""From Stability AI's answers to states and errors. Pure.

The create itself answers with the picture: as bytes, with what there is to say in headers, or as JSON. A picture that its
moderation refused comes with HTTP 200 as well, blurred, and only `finish-reason` tells.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from aifs_media.errors import RateLimitedError
from aifs_media.providers._reading import number, shown
from aifs_media.toolkit import (
    Answer,
    ContentRejectedError,
    Failed,
    InlineFile,
    JsonValue,
    MediaError,
    ModelRetiredError,
    Succeeded,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Redact = Callable[[str], str]

EXCERPT = 200
BLOCKED = 60.0
"""Seconds for which a key is shut out after more than 150 requests in 10 s, as documented."""

PICTURE_MEMBERS = ("image", "result", "base64")
"""Where the JSON form has the picture: the first on the endpoints of today, the others on older and asynchronous ones."""

_SEED = re.compile(r"[0-9]{1,19}")


def state(answer: Answer, *, redact: Redact) -> Succeeded | Failed:
    """Return how a create that was answered with 2xx ended.

    Raises:
        UnexpectedResponseError: it is no answer of this API. It may be billed.
    """
    media_type = answer.headers.get("content-type", "")
    kind = media_type.partition(";")[0].strip().lower()
    if kind.startswith("image/"):
        picture = InlineFile(data=answer.body, media_type=kind)
        return _ended(picture, answer.headers.get("finish-reason"), answer.headers.get("seed"), answer)
    body = answer.json_or_none()
    if answer.status != 200 or not isinstance(body, dict):
        raise _unexpected(answer, f"{kind or 'no media type'} where a picture was to be")
    if body.get("errors"):
        return _failed(answer, redact)
    encoded = next((body[name] for name in PICTURE_MEMBERS if name in body), None)
    if encoded is None and "finish_reason" not in body:
        raise _unexpected(answer, "JSON without a picture")
    declared = re.search(r"type=(image/[\w.+-]+)", media_type)
    picture = InlineFile(data=_decoded(encoded, answer), media_type=declared[1] if declared else "")
    return _ended(picture, body.get("finish_reason"), body.get("seed"), answer)


def failed_generation(answer: Answer, *, redact: Redact) -> Failed | None:
    """Return the failure that a 5xx reports, or None where the create's fate is not known.

    In Stability's own words it is the end of the generation, and nothing says that it is free. Without them, for example
    from the proxy in front, the answer is lost.
    """
    return _failed(answer, redact) if answer.status >= 500 and error_name(answer) and words(answer) else None


def refusal(answer: Answer, *, provider: str, redact: Redact) -> MediaError | None:
    """Return the error that only Stability's words tell, or None. A missing endpoint is `ModelRetiredError` without a model."""
    said = excerpt(words(answer), redact)
    if _is_moderation(answer):
        # The documented words of this answer say that it is not charged.
        found: MediaError = ContentRejectedError(
            f"Stability AI's moderation refused the request (HTTP {answer.status}). Stability AI says: {said}",
            hint="Change the prompt or the start image.",
            provider=provider,
        )
    elif answer.status == 404:
        found = ModelRetiredError(f"Stability AI does not know what was asked for: {said}", model="", provider=provider)
    elif answer.status == 429:
        found = RateLimitedError(
            f"Stability AI limits the rate of requests (HTTP 429). Stability AI says: {said}",
            hint="It takes 150 requests in 10 s and shuts a key out for a minute after more.",
            provider=provider,
            retryable=True,
            retry_after=BLOCKED if answer.retry_after is None else answer.retry_after,
        )
    else:
        return None
    found.request_id = answer.request_id
    return found


def words(answer: Answer) -> str:
    """Return the vendor's own words of an error: `errors`, or `message` as its 401 has."""
    body = answer.json_or_none()
    if not isinstance(body, dict):
        return ""
    errors = body.get("errors")
    if isinstance(errors, list):
        return "; ".join(str(error) for error in errors)
    said = errors or body.get("message")
    return said if isinstance(said, str) else ""


def error_name(answer: Answer) -> str:
    """Return the error's `name`, for example `payment_required`; empty where it has none."""
    body = answer.json_or_none()
    name = body.get("name") if isinstance(body, dict) else None
    return name if isinstance(name, str) else ""


def credits_left(body: JsonValue) -> float | None:
    """Return the credits of a balance, or None where it does not say."""
    left = number(body.get("credits")) if isinstance(body, dict) else None
    return None if left is None else float(left)


def excerpt(text: str, redact: Redact) -> str:
    """Return the beginning of a text from outside, fit for an error message."""
    line = " ".join(redact(text).split()) or "nothing"
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


def _ended(picture: InlineFile, reason: JsonValue, seed: JsonValue, answer: Answer) -> Succeeded | Failed:
    ended = shown(reason).upper() or "SUCCESS"
    if ended == "CONTENT_FILTERED":
        return Failed(
            reason="content_rejected",
            message="Stability AI's moderation filtered the picture, and answered with a blurred one, which is not kept.",
            billed="unknown",
        )
    # The picture is paid for, so a reason that nobody has heard of does not throw it away.
    warnings = () if ended == "SUCCESS" else (f"Stability AI ended with {ended[:40]!r}, which is not documented.",)
    return Succeeded(
        outputs=(picture,) if picture.data else (),
        seed=_seed(seed),
        warnings=warnings,
        emulated=answer.emulated,
    )


def _seed(seed: JsonValue) -> int | None:
    """Read a seed, which is a text in a header. Documented are 32 bits, and Python refuses to read a number of any length."""
    digits = shown(seed)
    return int(digits) if _SEED.fullmatch(digits) else None


def _failed(answer: Answer, redact: Redact) -> Failed:
    said = excerpt(words(answer), redact)
    if _is_moderation(answer):
        return Failed(reason="content_rejected", message=f"Stability AI refused the request: {said}", billed="unknown")
    message = f"Stability AI failed (HTTP {answer.status}): {said}"
    return Failed(reason="generation_failed", message=message, billed="unknown", retryable=True)


def _is_moderation(answer: Answer) -> bool:
    """Say whether an error is about content. A 403 can also be about the key."""
    return error_name(answer) == "content_moderation" or (
        answer.status == 403 and "moderation" in words(answer).lower()
    )


def _decoded(encoded: JsonValue, answer: Answer) -> bytes:
    if not encoded:
        return b""
    try:
        return base64.b64decode(str(encoded), validate=True)
    except ValueError:
        raise _unexpected(answer, "a picture that is not base64") from None


def _unexpected(answer: Answer, what: str) -> UnexpectedResponseError:
    return UnexpectedResponseError(
        f"Stability AI answered {what} (HTTP {answer.status}).",
        hint="Look at the balance at https://platform.stability.ai/account/credits before you try again.",
        provider=answer.provider,
        request_id=answer.request_id,
        maybe_billed=True,
    )
