"""What every emulated route does around its own work: log the request, let a fault strike, note the answer's status."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from aifs_media.testing.emulator.faults import AFTER, BEFORE, Fault, Route
from aifs_media.testing.emulator.wire import DropConnection, Silence, answer_after, answer_before

if TYPE_CHECKING:
    from starlette.requests import Request

    from aifs_media.testing.emulator.world import World


class Call:
    """One request with its body already read, and the fault that strikes it."""

    def __init__(self, request: Request, body: bytes, fault: Fault | None) -> None:
        """Keep the three."""
        self.request = request
        self.body = body
        self.fault = fault

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def suffers(self, *kinds: str) -> Fault | None:
        """Return the fault if it is of one of these kinds."""
        return self.fault if self.fault is not None and self.fault.kind in kinds else None

    def members(self) -> dict[str, object] | None:
        """Return the body if it is a JSON object. One with a number that JSON does not have is none."""
        try:
            value = json.loads(self.body, parse_constant=_no_number, parse_float=_finite)
        except ValueError:
            return None
        return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _no_number(name: str) -> float:
    message = f"JSON has no {name}."
    raise ValueError(message)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


Handler = Callable[[Call], Awaitable[Response]]
ErrorBody = Callable[[int], Response]


def route(
    world: World, name: Route, path: str, handler: Handler, *, errors: ErrorBody, methods: tuple[str, ...] = ("GET",)
) -> StarletteRoute:
    """Return a Starlette route that serves `handler` under the emulator's rules.

    Args:
        world: Where the request is logged and faults come from.
        name: The route's name in books and faults.
        path: Path pattern.
        handler: The real work.
        errors: Gives the provider's recorded answer for an HTTP status.
        methods: HTTP methods.
    """

    async def serve(request: Request) -> Response:
        try:
            body = await request.body()
        except ClientDisconnect:  # gone before its request was whole: nothing has arrived, and nobody reads an answer
            return Response()
        arrival = world.books.arrive(
            route=name,
            method=request.method,
            path=request.url.path,
            query=request.url.query,
            headers=dict(request.headers),
            body=body,
        )
        fault = world.faults.take(name, _searchable(world, request, body))
        answer = await _answer(Call(request, body, fault))
        arrival.status = 0 if isinstance(answer, (DropConnection, Silence)) else answer.status_code
        return answer

    async def _answer(call: Call) -> Response:
        fault = call.fault
        if fault is not None and fault.kind in BEFORE:
            if fault.kind == "status" and fault.body is None:
                answer = errors(fault.status)
                answer.headers.update(fault.headers)
                return answer
            if fault.kind == "not_found_grace":
                return errors(404)
            replaced = await answer_before(fault, call.request)
            if replaced is not None:
                return replaced
        answer = await handler(call)
        if fault is not None and fault.kind in AFTER:
            return answer_after(fault, answer)
        return answer

    return StarletteRoute(path, serve, methods=list(methods), include_in_schema=False)


def _searchable(world: World, request: Request, body: bytes) -> str:
    """Return what a fault's `match` is looked for in: path, body, and the prompt of the thing the path names."""
    named = [world.prompts.get(str(value), "") for value in request.path_params.values()]
    file = world.shelf.find(request.url.path)
    shown = "" if file is None else file.picture.prompt
    return "\n".join([request.url.path, body.decode("utf-8", "replace"), shown, *named])
