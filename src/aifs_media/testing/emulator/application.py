"""The ASGI application: the API and the delivery host, told apart by their port, and the emulator's own doors."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, cast

import anyio
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, Router

from aifs_media.testing.emulator.compatible import CompatibleService
from aifs_media.testing.emulator.delivery import DeliveryService
from aifs_media.testing.emulator.fal import FalService
from aifs_media.testing.emulator.fal_webhooks import FalWebhooks
from aifs_media.testing.emulator.faults import Fault
from aifs_media.testing.emulator.openai import OpenAIService
from aifs_media.testing.emulator.poe import PoeService
from aifs_media.testing.emulator.poe_videos import PoeVideos
from aifs_media.testing.emulator.replicate import ReplicateService
from aifs_media.testing.emulator.replicate_answers import error as replicate_error
from aifs_media.testing.emulator.replicate_files import ReplicateFiles
from aifs_media.testing.emulator.runway import RunwayService
from aifs_media.testing.emulator.runway_answers import error as runway_error
from aifs_media.testing.emulator.runway_uploads import RunwayUploads
from aifs_media.testing.emulator.stability import StabilityService
from aifs_media.testing.emulator.webhooks import Webhooks

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from aifs_media.testing.emulator.world import World


class Application:
    """Serves both listeners."""

    def __init__(self, world: World, *, delivery_port: int) -> None:
        """Build the services of this world."""
        self._world = world
        self._delivery_port = delivery_port
        poe = PoeService(world)
        replicate = ReplicateService(world, Webhooks(world))
        runway_uploads = RunwayUploads(world)
        api: list[BaseRoute] = [
            *replicate.routes(),
            *ReplicateFiles(world).routes(),
            *poe.routes(),
            *PoeVideos(world, poe).routes(),
            *RunwayService(world, runway_uploads).routes(),
            *runway_uploads.routes(),
            *StabilityService(world).routes(),
            *OpenAIService(world).routes(),
            *CompatibleService(world).routes(),
            *FalService(world, FalWebhooks(world)).routes(),
            *_own_doors(world),
        ]
        self._api: ASGIApp = Router(api, default=_not_found)
        self._delivery: ASGIApp = Router([*runway_uploads.delivery_routes(), *DeliveryService(world).routes()])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        application = self._delivery if scope["server"][1] == self._delivery_port else self._api
        try:
            await application(scope, receive, send)
        except anyio.get_cancelled_exc_class():
            # The loop ends with the emulator; whoever still waited for an answer has lost the connection already.
            if not self._world.clock.stopped:
                raise


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    service = scope["path"].split("/")[1]
    errors = {"replicate": replicate_error, "runway": runway_error}
    answer = errors[service](404) if service in errors else PlainTextResponse("Not Found", 404)
    await answer(scope, receive, send)


def _own_doors(world: World) -> list[BaseRoute]:
    async def books(_request: Request) -> Response:
        return JSONResponse(world.books.snapshot().to_json())

    async def faults(request: Request) -> Response:
        if request.method == "DELETE":
            world.faults.clear()
        elif request.method == "POST":
            try:
                given: object = json.loads(await request.body())
                new = [
                    Fault.from_json(one)
                    for one in (cast("list[object]", given) if isinstance(given, list) else [given])
                ]
            except ValueError as error:
                return JSONResponse({"error": str(error)}, status_code=422)
            for fault in new:
                world.faults.add(fault)
        return JSONResponse({"pending": [{**dataclasses.asdict(fault)} for fault in world.faults.pending()]})

    async def clock(request: Request) -> Response:
        if request.method == "POST":
            try:
                members = cast("dict[str, object]", json.loads(await request.body()))
                world.clock.advance(float(str(members["advance"])))
            except (ValueError, KeyError, TypeError) as error:
                return JSONResponse({"error": f'Send {{"advance": seconds}}: {error}'}, status_code=422)
        return JSONResponse({"now": world.clock.now()})

    return [
        Route("/_books", books),
        Route("/_faults", faults, methods=["GET", "POST", "DELETE"]),
        Route("/_clock", clock, methods=["GET", "POST"]),
    ]
