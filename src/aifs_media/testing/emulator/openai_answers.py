"""OpenAI's answers: headers and error bodies, as recorded where a recording is known."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

_VERIFY = (
    "Your organization must be verified to use the model `{model}`. Please go to: "
    "https://platform.openai.com/settings/organization/general and click on Verify Organization. "
    "If you just verified, it can take up to 15 minutes for access to propagate."
)
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_RATE = "Rate limit exceeded for images per minute in organization org-emulated. Limit: 5/1min. Current: 6/1min."
_UNSAFE = (
    "Your request was rejected by the safety system. If you believe this is an error, contact us at help.openai.com "
    "and include the request ID {id}. safety_violations=[{categories}]."
)


def answer(value: object, status: int = 200, *, seconds: float = 0.0) -> Response:
    """Return JSON with the headers of the service."""
    headers = {
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-version": "2020-10-01",
        "openai-organization": "org-emulated",
        "openai-processing-ms": str(max(1, round(seconds * 1000))),
    }
    body = json.dumps(value, separators=(",", ":"))
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def refused(
    status: int, message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> Response:
    """Return an error in the envelope of the service: all four members are there, and some are null."""
    return answer({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)


def error(status: int) -> Response:
    """Return the usual error of this status."""
    match status:
        case 401:
            return refused(401, "Incorrect API key provided.", code="invalid_api_key")
        case 403:
            return unverified("gpt-image-2")
        case 404:
            return unknown_model("gpt-image-9")
        case 429:
            return refused(429, _RATE, kind="requests", code="rate_limit_exceeded")
        case _ if status >= 500:
            return refused(status, "The server had an error while processing your request.", kind="server_error")
        case _:
            return refused(status, "The request cannot be carried out.")


def unknown_parameter(name: str) -> Response:
    """Return the recorded 400 for a parameter that the models do not take."""
    return refused(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def invalid_value(name: str, message: str) -> Response:
    """Return a 400 for a value that the model does not take."""
    return refused(400, message, param=name, code="invalid_value")


def unknown_model(name: str) -> Response:
    """Return the 404 for a model that there is not."""
    return refused(404, f"The model '{name}' does not exist or you do not have access to it.", code="model_not_found")


def unverified(model: str) -> Response:
    """Return the recorded refusal of an organization that has not been verified: its code is null."""
    return refused(403, _VERIFY.format(model=model))


def no_quota() -> Response:
    """Return the recorded 429 that is no rate limit but an empty account."""
    return refused(429, _QUOTA, kind="insufficient_quota", code="insufficient_quota")


def moderated(stage: str, categories: Sequence[str] = ("violence",)) -> Response:
    """Return the recorded refusal of the moderation, which looks at the request and at what came of it."""
    message = _UNSAFE.format(id=secrets.token_hex(16), categories=", ".join(categories))
    details = {"moderation_stage": stage, "categories": list(categories)}
    members = {"message": message, "type": "image_generation_user_error", "param": None, "code": "moderation_blocked"}
    return answer({"error": {**members, "moderation_details": details}}, 400)
