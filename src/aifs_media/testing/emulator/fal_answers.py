"""fal's answers: its error bodies as reported or documented, in their three forms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DETAILS = {
    401: "Authentication is required to access this application.",
    402: "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.",
    # Reported as a 403, which is what `error(403)` stands for here.
    403: "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.",
    # The bodies of 404 and 429 are nowhere documented; only their member is.
    404: "Not Found",
    429: "Too many requests",
}
_INFRASTRUCTURE: dict[int, tuple[str, str]] = {
    400: ("Invalid request", "bad_request"),
    500: ("Internal server error", "internal_error"),
    503: ("Runner disconnected", "runner_disconnected"),
    504: ("Request timed out", "request_timeout"),
}


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer. fal names its request in a header, which an ingress in front of it does not."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(
        body,
        status_code=status,
        media_type="application/json",
        headers={"x-fal-request-id": "emulated", **(headers or {})},
    )


def error(status: int) -> Response:
    """Return the body known for this status; the page of the ingress for 502, which knows no request."""
    if status in _DETAILS:
        return answer({"detail": _DETAILS[status]}, status)
    if status in _INFRASTRUCTURE:
        return infrastructure(status, *_INFRASTRUCTURE[status])
    if status == 422:
        return refused([("prompt", "field required", "missing")])
    page = f"<html>\r\n<head><title>{status}</title></head>\r\n<body><center>nginx</center></body>\r\n</html>\r\n"
    return HTMLResponse(page, status_code=status)


def infrastructure(status: int, detail: str, error_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return an error of the platform, which names its type in body and header."""
    body = {"detail": detail, "error_type": error_type}
    return answer(body, status, {"x-fal-error-type": error_type, **(headers or {})})


def refused(complaints: Sequence[tuple[str, str, str]]) -> Response:
    """Return a model's 422: for each complaint the input, what is wrong with it, and the type of the error."""
    return answer({"detail": details(complaints)}, 422, {"x-fal-retryable": "false"})


def details(complaints: Sequence[tuple[str, str, str]]) -> list[dict[str, object]]:
    """Return the members of a model's error."""
    return [
        {
            "loc": ["body", name],
            "msg": text,
            "type": kind,
            "url": f"https://docs.fal.ai/errors#{kind}",
            "ctx": {},
            "input": "...",
        }
        for name, text, kind in complaints
    ]
