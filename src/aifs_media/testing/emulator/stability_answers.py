"""Stability AI's answers: a picture as bytes or as JSON, and its error bodies."""

from __future__ import annotations

import base64
import json
import secrets
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

# Reported: 402 and 403. The others have the documented form, in words of the emulator's own.
_ERRORS = {
    400: ("bad_request", "prompt: is required"),
    402: (
        "payment_required",
        "You lack sufficient credits to make this request. Please purchase more credits at https://platform.stability.ai/account/credits and try again.",
    ),
    403: (
        "content_moderation",
        "Your request was flagged by our content moderation system, as a result your request was denied and you were not charged.",
    ),
    404: ("not_found", "The requested resource was not found"),
    413: ("payload_too_large", "The request is larger than 10MiB"),
    422: ("invalid_language", "English is the only supported language for this service."),
    429: ("rate_limit_exceeded", "rate limit exceeded"),
    500: ("internal_error", "An unexpected server error occurred"),
}


def answer(value: object, status: int = 200, *, media_type: str = "application/json") -> Response:
    """Return a JSON answer."""
    headers = {"x-request-id": secrets.token_hex(16)}
    return Response(json.dumps(value), status_code=status, media_type=media_type, headers=headers)


def error(status: int) -> Response:
    """Return the body of this status; the one of 401 has another form."""
    if status == 401:
        return answer({"message": "Unauthorized: the API key is missing or not valid"}, 401)
    name, words = _ERRORS.get(status, _ERRORS[500])
    return failure(status, name, [words])


def refused(*errors: str) -> Response:
    """Return a 400 with these words."""
    return failure(400, "bad_request", errors)


def failure(status: int, name: str, errors: Sequence[str]) -> Response:
    """Return an error in the documented form."""
    return answer({"id": secrets.token_hex(16), "name": name, "errors": list(errors)}, status)


def picture(data: bytes, *, media_type: str, seed: int, reason: str, as_json: bool) -> Response:
    """Return a picture: its bytes with the rest in headers, or all of it as JSON."""
    if as_json:
        body = {"image": base64.b64encode(data).decode(), "finish_reason": reason, "seed": seed}
        return answer(body, media_type=f"application/json; type={media_type}")
    headers = {"finish-reason": reason, "seed": str(seed), "x-request-id": secrets.token_hex(16)}
    return Response(data, media_type=media_type, headers=headers)
