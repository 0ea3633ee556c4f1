"""Poe's answers: headers as recorded, content in the grammar of each family of bots, and its many error bodies."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aifs_media.testing.emulator.poe_bots import Family

_TYPES = {
    400: ("invalid_request_error", "Invalid generation request"),
    401: ("authentication_error", "Invalid API key"),
    402: ("insufficient_credits", "You have insufficient credits"),
    403: ("moderation_error", "This request was refused by moderation"),
    404: ("not_found_error", "The requested resource was not found"),
    408: ("timeout_error", "The model did not start in time"),
    413: ("request_too_large", "The request is too large"),
    429: ("rate_limit_error", "Rate limit exceeded"),
    500: ("provider_error", "Internal server error"),
    502: ("upstream_error", "The model backend is not working"),
    503: ("overloaded_error", "The service is unavailable"),
    529: ("overloaded_error", "The service is overloaded"),
}
_HEADERS = {
    "access-control-allow-headers": "Authorization, Content-Type",
    "access-control-allow-origin": "*",
    "openai-version": "2020-10-01",
}
_CLOUDFLARE_ONLY = frozenset({520, 522, 524})
# Recordings have 72 tokens for a text with the same link twice, and none for a video.
_IMAGE_TOKENS = 72


def answer(value: object, status: int = 200, *, seconds: float = 0.0) -> Response:
    """Return a JSON answer that names how long the work took."""
    headers = {**_HEADERS, "openai-processing-ms": str(max(1, round(seconds * 1000)))}
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    result = Response(body, status_code=status, media_type="application/json", headers=headers)
    if status == 200:
        # Successes are recorded in chunks, errors with their length.
        del result.headers["content-length"]
    return result


def error(status: int) -> Response:
    """Return the documented body of this status: with a numeric code for 401, with an error id for 400 and 429."""
    if status in _CLOUDFLARE_ONLY:
        return HTMLResponse(f"<!DOCTYPE html>\n<title>api.poe.com | {status}</title>\n", status_code=status)
    kind, message = _TYPES.get(status, _TYPES[500])
    members: dict[str, object] = {"message": message, "type": kind}
    if status == 401:
        members = {"code": 401, "type": kind, "message": message, "metadata": {}}
    elif status in {400, 429}:
        members["error_id"] = secrets.token_hex(16)
    return answer({"error": members}, status)


def unknown_bot(name: str) -> Response:
    """Return the recorded 404, whose type is not the documented one."""
    message = f"The model `{name}` does not exist or you do not have access to it."
    return answer({"error": {"message": message, "type": "invalid_request_error"}}, 404)


def missing(parameter: str) -> Response:
    """Return the documented 400 for a parameter that is not there."""
    message = f"Missing required parameter: '{parameter}'"
    return answer({"error": {"message": message, "type": "invalid_request_error", "code": "missing_parameter"}}, 400)


def refused(message: str) -> Response:
    """Return a 400 with this message."""
    return answer({"error": {"message": message, "type": "invalid_request_error"}}, 400)


def media_content(family: Family, prompt: str, urls: Sequence[str]) -> str:
    """Write the content of a media bot's answer; several images are not recorded and follow one another."""
    match family:
        case "video":
            return "\n".join(urls)
        case "gpt-image":
            return "\n\n".join(f"![{prompt}.png]({url})\n\n{url}" for url in urls)
        case "imagen":
            return "\n\n".join(f"![{prompt}_image_{number}]({url})\n\n\n{url}" for number, url in enumerate(urls, 1))
        case _:
            return "\n\n".join(f"![{prompt}]({url})\n\n{url}" for url in urls)


def completion(model: str, content: str, *, prompt: str, created: int, kind: str) -> dict[str, object]:
    """Return a `chat.completion` object; `model` is echoed as it was sent."""
    asked = max(1, len(prompt) // 4)
    said = {"video": 0, "image": _IMAGE_TOKENS}.get(kind, max(1, len(content) // 4))
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said},
    }


def event_stream(whole: dict[str, object], content: str) -> Response:
    """Return a completion as server-sent events: one piece of text, the end, `[DONE]`."""
    frame = {**whole, "object": "chat.completion.chunk"}
    frame.pop("usage", None)

    async def events() -> AsyncIterator[str]:
        for delta, reason in (({"role": "assistant", "content": content}, None), ({}, "stop")):
            frame["choices"] = [{"index": 0, "delta": delta, "finish_reason": reason}]
            yield f"data: {json.dumps(frame)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers=_HEADERS)
