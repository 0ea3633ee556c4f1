"""From an answer of status 400 and more to the error that only Replicate's words tell. Pure.

The OpenAPI file describes hardly any error. The bodies are recorded ones and such as users reported, 2023 to 2026.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aifs_media.errors import RateLimitedError, RequestRejectedError
from aifs_media.providers._reading import amount
from aifs_media.toolkit import ModelRetiredError, PaymentRequiredError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aifs_media.toolkit import Answer, JsonValue, MediaError

BILLING_URL = "https://replicate.com/account/billing"

_RESETS_IN = re.compile(r"resets in ~?(\d+(?:\.\d+)?)\s*s")


def refusal(answer: Answer, *, provider: str, redact: Callable[[str], str]) -> MediaError | None:
    """Return the error that only Replicate's words tell, or None.

    Whatever Replicate does not know is `ModelRetiredError` here; who asked knows what it was.
    """
    body = answer.json_or_none()
    body = body if isinstance(body, dict) else {}
    detail = body.get("detail")
    words = redact(detail).strip() if isinstance(detail, str) else ""
    match answer.status:
        case 402:
            error: MediaError = PaymentRequiredError(
                label="Replicate", billing_url=BILLING_URL, provider=provider, detail=words
            )
        case 404:
            error = _unknown(provider, words)
        case 422 if isinstance(fields := body.get("invalid_fields"), list):
            error = RequestRejectedError(
                f"Replicate refuses the inputs: {(redact(_complaints(fields)) or words).rstrip('.')}.",
                hint="Nothing was made. Change the inputs named here.",
                provider=provider,
            )
        case 422 if "invalid version" in str(body.get("title")).lower():
            error = _unknown(provider, words)
        case 429:
            error = RateLimitedError(
                f"Replicate limits the rate of creates (HTTP 429): {words}",
                hint="Send fewer at a time; with little credit left Replicate accepts only a few a minute.",
                provider=provider,
                retryable=True,
                retry_after=_wait(answer, body, words),
            )
        case _:
            return None
    error.request_id = answer.request_id
    return error


def _unknown(provider: str, words: str) -> ModelRetiredError:
    return ModelRetiredError(f"Replicate does not know what was asked for: {words}", model="", provider=provider)


def _complaints(fields: list[JsonValue]) -> str:
    """Return "field: what is wrong with it" of each field. `input` is the whole of the inputs and says nothing."""
    named = [
        (str(field.get("field", "")).removeprefix("input").removeprefix("."), str(field.get("description", "")))
        for field in fields
        if isinstance(field, dict)
    ]
    return "; ".join(": ".join(part for part in pair if part) for pair in named)


def _wait(answer: Answer, body: dict[str, JsonValue], words: str) -> float | None:
    """Return the longest of the waits that header, body and text name; the header was never seen in a recording."""
    said = _RESETS_IN.search(words)
    named = (answer.retry_after, body.get("retry_after"), float(said[1]) if said else None)
    return max((float(wait) for one in named if (wait := amount(one)) is not None), default=None)
