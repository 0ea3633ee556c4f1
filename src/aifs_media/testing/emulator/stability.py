"""The emulated Stability AI: a create that answers with the picture, and the balance of credits."""

from __future__ import annotations

import secrets
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, cast

import anyio.to_thread
from PIL import Image, ImageFilter

from aifs_media.testing.emulator import stability_answers as answers
from aifs_media.testing.emulator.books import PredictionRecord, fingerprint
from aifs_media.testing.emulator.multipart import multipart
from aifs_media.testing.emulator.pictures import draw_picture, encode_picture
from aifs_media.testing.emulator.routing import Call, Handler, route
from aifs_media.testing.emulator.stability_forms import CREDITS, Asked, RefusedError, read_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.faults import Route
    from aifs_media.testing.emulator.world import World

_SERVICES = frozenset({"core", "ultra", "sd3"})
_LARGEST_REQUEST = 10 * 1024 * 1024
_USD = 0.01
_REQUESTS, _WINDOW, _BLOCKED = 150, 10.0, 60.0
_BLUR = 24


@dataclass
class Generation:
    """A create that was accepted: it runs until `end` and costs its credits then, whether anyone still listens or not."""

    model: str
    input: Mapping[str, object]
    created: float
    end: float
    ends_as: Literal["succeeded", "failed", "moderated"]
    id: str = field(default_factory=lambda: secrets.token_hex(32))

    def credits(self, now: float) -> float:
        """Return what it has cost by now. Whether a filtered picture is charged is not documented: here it is."""
        return CREDITS[self.model] if now >= self.end and self.ends_as != "failed" else 0.0

    def record(self, now: float, downloads: int) -> PredictionRecord:
        """Return its line in the books."""
        return PredictionRecord(
            id=self.id,
            provider="stability",
            model=self.model,
            kind="image",
            input=dict(self.input),
            status=self.ends_as if now >= self.end else "processing",
            created_at=self.created,
            cancelled=False,
            billed=round(self.credits(now) * _USD, 6),
            unit="USD",
            downloads=downloads,
            deadline=None,
            fingerprint=fingerprint("stability", self.model, self.input),
        )


class StabilityService:
    """Holds the account's generations and answers the API."""

    def __init__(self, world: World) -> None:
        """Start with an account that has spent nothing."""
        self._world = world
        self._generations: list[Generation] = []
        self._requests: deque[float] = deque()
        self._blocked_until = float("-inf")

    def routes(self) -> list[BaseRoute]:
        """Return the routes, with their paths from the server's root."""
        return [
            self._route(
                "stability.generate", "/stability/v2beta/stable-image/generate/{service}", self._generate, "POST"
            ),
            self._route("stability.balance", "/stability/v1/user/balance", self._balance),
        ]

    def _route(self, name: Route, path: str, handler: Handler, method: str = "GET") -> BaseRoute:
        """Return a route that needs the account's key and counts against its limit of requests."""

        async def guarded(call: Call) -> Response:
            scheme, _, key = call.request.headers.get("authorization", "").partition(" ")
            known = secrets.compare_digest(key.encode(), self._world.stability_key.encode())
            if scheme.lower() != "bearer" or not known:
                return answers.error(401)
            return answers.error(429) if self._too_many() else await handler(call)

        return route(self._world, name, path, guarded, errors=answers.error, methods=(method,))

    def _too_many(self) -> bool:
        now = self._world.clock.now()
        if now < self._blocked_until:
            return True
        self._requests.append(now)
        while self._requests[0] <= now - _WINDOW:
            self._requests.popleft()
        if len(self._requests) > _REQUESTS:
            self._blocked_until = now + _BLOCKED
            return True
        return False

    async def _balance(self, _call: Call) -> Response:
        return answers.answer({"credits": self._left()})

    def _left(self) -> float:
        now = self._world.clock.now()
        return self._world.switches.stability_credits - sum(one.credits(now) for one in self._generations)

    async def _generate(self, call: Call) -> Response:
        service, accept = call.path("service"), call.request.headers.get("accept", "*/*")
        content_type = call.request.headers.get("content-type", "")
        if service not in _SERVICES:
            return answers.error(404)
        if len(call.body) > _LARGEST_REQUEST:
            return answers.error(413)
        if not content_type.startswith("multipart/form-data"):
            return answers.refused("content-type: must be multipart/form-data")
        if accept not in {"image/*", "application/json", "*/*"}:
            return answers.refused("accept: must be image/* or application/json")
        try:
            asked = read_form(service, multipart(content_type, call.body))
        except RefusedError as error:
            return answers.refused(str(error))
        if self._left() < CREDITS[asked.model]:
            return answers.error(402)
        return await self._made(call, asked, as_json=accept == "application/json")

    async def _made(self, call: Call, asked: Asked, *, as_json: bool) -> Response:
        now, fault = self._world.clock.now(), call.fault
        slow = call.suffers("slow")
        latency = slow.seconds if slow is not None else self._world.switches.latency
        ends_as = (
            cast("Literal['failed', 'moderated']", fault.kind)
            if call.suffers("failed", "moderated") and fault
            else "succeeded"
        )
        generation = Generation(asked.model, asked.given, now, now + latency, ends_as)
        self._generations.append(generation)
        self._world.books.enter(generation)
        await self._world.clock.sleep_until(generation.end)
        if ends_as == "failed":
            words = fault.text if fault is not None and fault.text else "The generation failed"
            return answers.failure(500, "internal_error", [words])
        filtered = ends_as == "moderated"
        data = b"" if call.suffers("empty_output") else await anyio.to_thread.run_sync(_paint, asked, filtered)
        return answers.picture(
            data,
            media_type=f"image/{asked.output_format}",
            seed=asked.seed,
            reason="CONTENT_FILTERED" if filtered else "SUCCESS",
            as_json=as_json,
        )


def _paint(asked: Asked, filtered: bool) -> bytes:  # noqa: FBT001 - to_thread passes positions only
    image = draw_picture(asked.prompt, width=asked.width, height=asked.height, seed=asked.seed)
    if asked.start is not None:
        image = Image.blend(asked.start, image, asked.strength)
    if filtered:
        image = image.filter(ImageFilter.GaussianBlur(_BLUR))
    return encode_picture(
        image, "jpg" if asked.output_format == "jpeg" else cast("Literal['png', 'webp']", asked.output_format)
    )
