"""Replicate's answers: JSON that ends with a newline, and its error bodies as recorded or documented."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ERRORS: dict[int, dict[str, object]] = {
    401: {"title": "Unauthenticated", "detail": "You did not pass a valid authentication token", "status": 401},
    402: {
        "title": "Insufficient credit",
        "detail": "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing "
        "to purchase credit. Once you purchase credit, please wait a few minutes before trying again.",
        "status": 402,
    },
    404: {"detail": "The requested resource could not be found.", "status": 404},
    413: {"detail": "Files must be less than 100MB in size"},
    422: {
        "title": "Invalid version or not permitted",
        "detail": "The specified version does not exist (or perhaps you don't have permission to use it?)",
        "status": 422,
    },
}
_PROBLEMS = frozenset({401, 404})
_SERVER_ERROR = 500


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
    return Response(body, status_code=status, media_type="application/json", headers=dict(headers or {}))


def error(status: int) -> Response:
    """Return the body recorded for this status; Cloudflare's HTML for the upstream ones (502, 520, 522, 524)."""
    if status == 429:
        return throttled(5.0, reduced=True)
    if status in _ERRORS:
        kind = "application/problem+json" if status in _PROBLEMS else "application/json"
        return Response(json.dumps(_ERRORS[status]) + "\n", status_code=status, media_type=kind)
    if status > _SERVER_ERROR:
        page = f"<!DOCTYPE html>\n<html><head><title>api.replicate.com | {status}</title></head><body></body></html>\n"
        return HTMLResponse(page, status_code=status)
    return answer({"detail": "The request could not be served.", "status": status}, status)


def throttled(seconds: float, *, reduced: bool) -> Response:
    """Return a 429 that tells the waiting time in its body only, as recorded."""
    wait = max(1, math.ceil(seconds))
    reason = (
        " Your rate limit for creating predictions is reduced to 6 requests per minute with a burst of 1 requests "
        "while you have less than $5.0 in credit."
        if reduced
        else ""
    )
    detail = f"Request was throttled.{reason} Your rate limit resets in ~{wait}s."
    return answer({"detail": detail, "status": 429, "retry_after": wait}, 429)


def invalid_input(complaints: Sequence[Mapping[str, str]]) -> Response:
    """Return the 422 for inputs that break the model's schema."""
    detail = "".join(f"- {item['field']}: {item['description']}\n" for item in complaints)
    body = {"detail": detail, "status": 422, "title": "Input validation failed", "invalid_fields": list(complaints)}
    return answer(body, 422)
