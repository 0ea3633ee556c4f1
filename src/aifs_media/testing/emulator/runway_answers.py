"""The emulated Runway's answers and refusals, and who may ask."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, Response

from aifs_media.testing.emulator.routing import Call, Handler, route

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.faults import Route
    from aifs_media.testing.emulator.runway_models import Issue
    from aifs_media.testing.emulator.world import World

VERSION = "2024-11-06"
NO_CREDITS = "You do not have enough credits to run this task."
# Reported by users are the words for no credits (github.com/runwayml/sdk-node, issue 28) and for the daily limit
# (github.com/runwayml/sdk-python, issue 23); the others are the emulator's own, in the documented form.
_WORDS = {
    400: "Validation of body failed",
    401: "The API key is not valid.",
    404: "The requested resource is not available.",
    405: "The method is not supported.",
    429: "Your daily task limit has been reached.",
}
_DOCS = "https://docs.dev.runwayml.com/api"
_SHEDS_LOAD = frozenset({502, 503, 504})


def answer(value: object, status: int = 200) -> Response:
    """Return a JSON answer."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(body, status_code=status, media_type="application/json")


def error(status: int) -> Response:
    """Return the body of this status; a page of the load balancer for those that shed load."""
    if status in _SHEDS_LOAD:
        return HTMLResponse(f"<html><head><title>{status}</title></head><body></body></html>\n", status_code=status)
    return refused(_WORDS.get(status, "An unexpected error occurred."), status=status)


def refused(words: str, issues: Sequence[Issue] = (), *, status: int = 400) -> Response:
    """Return a refusal in Runway's form."""
    members: dict[str, object] = {"error": words}
    if issues:
        members["issues"] = list(issues)
    return answer({**members, "docUrl": _DOCS}, status)


def keyed_route(world: World, name: Route, path: str, handler: Handler, method: str = "GET") -> BaseRoute:
    """Return a route that needs the organization's key and the version of the API."""

    async def guarded(call: Call) -> Response:
        scheme, _, key = call.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(key.encode(), world.runway_key.encode()):
            return error(401)
        if call.request.headers.get("x-runway-version") != VERSION:
            return refused(f"Set the X-Runway-Version header to {VERSION}.")
        return await handler(call)

    return route(world, name, f"/runway{path}", guarded, errors=error, methods=(method,))
