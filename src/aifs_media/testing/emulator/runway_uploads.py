"""Runway's uploads: a place is asked for with the key, and the file goes to another host without it."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

from aifs_media.testing.emulator.multipart import multipart
from aifs_media.testing.emulator.routing import Call, route
from aifs_media.testing.emulator.runway_answers import answer, keyed_route, refused

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.world import World

_DAY = 86_400.0
_LARGEST = 200_000_000


@dataclass
class _Place:
    uri: str
    created: float
    policy: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    data: bytes | None = None


class RunwayUploads:
    """Keeps uploads and answers their two hosts."""

    def __init__(self, world: World) -> None:
        """Start without uploads."""
        self._world = world
        self._places: dict[str, _Place] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the route of the API."""
        return [keyed_route(self._world, "runway.upload", "/v1/uploads", self._create, "POST")]

    def delivery_routes(self) -> list[BaseRoute]:
        """Return the route of the host that takes the files."""
        return [
            route(self._world, "delivery.upload", "/runway-uploads", self._receive, errors=_error, methods=("POST",))
        ]

    async def _create(self, call: Call) -> Response:
        body = call.members() or {}
        if body.get("type") != "ephemeral" or not isinstance(body.get("filename"), str):
            return refused("Validation of body failed")
        key = str(uuid.uuid4())
        place = _Place(f"runway://{key}", self._world.clock.now())
        self._places[key] = place
        return answer(
            {
                "runwayUri": place.uri,
                "uploadUrl": f"{self._world.delivery_url}/runway-uploads",
                "fields": {"key": key, "policy": place.policy},
            }
        )

    async def _receive(self, call: Call) -> Response:
        """Take a form as a storage service does: the signed fields first, no other authorization, the file last."""
        parts = multipart(call.request.headers.get("content-type", ""), call.body)
        place = self._places.get(parts["key"].data.decode()) if "key" in parts else None
        signed = place is not None and "policy" in parts and parts["policy"].data == place.policy.encode()
        if place is None or not signed or "authorization" in call.request.headers or list(parts)[-1:] != ["file"]:
            return _error(403)
        if len(parts["file"].data) > _LARGEST:
            return _error(400)
        place.data = parts["file"].data
        return Response(status_code=204)

    def has(self, uri: str) -> bool:
        """Say whether a file was received under this name, less than a day ago."""
        place = self._places.get(uri.removeprefix("runway://"))
        return place is not None and place.data is not None and self._world.clock.now() < place.created + _DAY


def _error(status: int) -> Response:
    return PlainTextResponse(f"{status}\n", status_code=status)
