"""A server of one's own that copies OpenAI's image API: it takes any key or none, and answers links unless asked for base64."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

import anyio.to_thread

from aifs_media.testing.emulator.image_creations import ImageCreation
from aifs_media.testing.emulator.openai_answers import answer, error, moderated, refused, unknown_model
from aifs_media.testing.emulator.openai_requests import size_of
from aifs_media.testing.emulator.outputs import OutputFile, Picture, random_hex
from aifs_media.testing.emulator.routing import Call, route

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.world import World

MODELS = ("emulated-diffusion", "black-forest-labs/flux-emulated")


class CompatibleService:
    """Answers the one image route, and the list of models."""

    def __init__(self, world: World) -> None:
        """Serve this world."""
        self._world = world

    def routes(self) -> list[BaseRoute]:
        """Return the routes, with their paths from the server's root."""
        create, models = "/compatible/v1/images/generations", "/compatible/v1/models"
        return [
            route(self._world, "compatible.create", create, self._create, errors=error, methods=("POST",)),
            route(self._world, "compatible.models", models, self._models, errors=error),
        ]

    async def _create(self, call: Call) -> Response:
        members, fault, switches = call.members() or {}, call.fault, self._world.switches
        name, prompt, number = str(members.get("model")), members.get("prompt"), members.get("n", 1)
        if name not in MODELS:
            return unknown_model(name)
        if not isinstance(prompt, str) or not isinstance(number, int):
            return refused(400, "A prompt is a text, and n a number.")
        now = self._world.clock.now()
        latency = fault.seconds if fault is not None and fault.kind == "slow" else switches.latency
        values = {member: value for member, value in members.items() if member != "model"}
        failed = fault is not None and fault.kind in {"failed", "moderated"}
        creation = ImageCreation("openai-compatible", name, values, now, now + latency, 0.0, failed)
        self._world.books.enter(creation)
        await self._world.clock.sleep_until(creation.end)
        if fault is not None and fault.kind == "moderated":
            return moderated("output")
        if failed and fault is not None:
            # Some gateways report the failure of the model behind them with status 200.
            return answer({"error": {"message": fault.text or "The model failed.", "type": "server_error"}})
        width, height = size_of(members)
        pictures = [Picture(prompt, width, height, secrets.randbelow(2**31), "png") for _ in range(number)]
        shown = [await self._shown(call, creation, picture) for picture in pictures]
        if call.suffers("empty_output", "null_output"):
            shown = []
        elif fault is not None and fault.kind == "partial_output":
            shown = shown[: fault.count]
        return answer({"created": int(creation.end), "data": shown})

    async def _shown(self, call: Call, creation: ImageCreation, picture: Picture) -> dict[str, str]:
        foreign = call.suffers("foreign_output")
        if foreign is not None:
            return {"url": foreign.url}
        wanted = (call.members() or {}).get("response_format", "url")
        if call.suffers("data_uri") or wanted == "b64_json":
            data = base64.b64encode(await anyio.to_thread.run_sync(picture.encode, abandon_on_cancel=True)).decode()
            return {"b64_json": data} if wanted == "b64_json" else {"url": f"data:image/png;base64,{data}"}
        path = f"/compatible/{random_hex()}.png"
        self._world.shelf.add(OutputFile(path, picture, creation.id, creation.end))
        return {"url": self._world.output_url(path)}

    async def _models(self, _call: Call) -> Response:
        return answer({"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})
