"""The emulated OpenAI: images made and edited, and the list of models."""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING, cast

import anyio.to_thread

from aifs_media.testing.emulator.image_creations import ImageCreation, marked
from aifs_media.testing.emulator.openai_answers import (
    answer,
    error,
    moderated,
    no_quota,
    refused,
    unknown_model,
    unverified,
)
from aifs_media.testing.emulator.openai_requests import MODELS, OTHER_MODELS, members_of, refusal, size_of
from aifs_media.testing.emulator.outputs import Format, Picture
from aifs_media.testing.emulator.routing import Call, Handler, route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.faults import Fault, Route
    from aifs_media.testing.emulator.world import World

# OpenAI publishes no number of tokens for a size and quality, so these are the emulator's own, for a square of 1024 pixels.
_TOKENS = {"low": 250, "medium": 1000, "high": 4000, "xhigh": 6000, "max": 8000}
_TOKENS_OF_AN_INPUT = 250
_SQUARE = 1024 * 1024
_USD = {"text": 5e-6, "image": 8e-6, "made": 30e-6}
_BORN = 1_788_825_600


class OpenAIService:
    """Answers the image API of one account."""

    def __init__(self, world: World) -> None:
        """Start with an account that has spent nothing."""
        self._world = world

    def routes(self) -> list[BaseRoute]:
        """Return the routes, with their paths from the server's root."""
        return [
            self._route("openai.create", "/openai/v1/images/generations", self._generations, "POST"),
            self._route("openai.edit", "/openai/v1/images/edits", self._edits, "POST"),
            self._route("openai.models", "/openai/v1/models", self._models),
            self._route("openai.models", "/openai/v1/models/{id:path}", self._model),
        ]

    def _route(self, name: Route, path: str, handler: Handler, method: str = "GET") -> BaseRoute:
        async def guarded(call: Call) -> Response:
            scheme, _, key = call.request.headers.get("authorization", "").partition(" ")
            known = secrets.compare_digest(key.encode(), self._world.openai_key.encode())
            return await handler(call) if scheme.lower() == "bearer" and known else error(401)

        return route(self._world, name, path, guarded, errors=error, methods=(method,))

    async def _generations(self, call: Call) -> Response:
        return await self._create(call, edit=False)

    async def _edits(self, call: Call) -> Response:
        return await self._create(call, edit=True)

    async def _create(self, call: Call, *, edit: bool) -> Response:
        members, switches, fault = members_of(call), self._world.switches, call.fault
        refused_for = refusal(members, edit=edit)
        if refused_for is not None:
            return refused_for
        if not switches.openai_verified:
            return unverified(str(members["model"]))
        if switches.openai_credit <= 0:
            return no_quota()
        if fault is not None and fault.kind == "moderated" and fault.text == "input":
            return moderated("input")
        made = _usage(members, edit=edit)
        creation = self._begin(members, made, fault)
        await self._world.clock.sleep_until(creation.end)
        if fault is not None and fault.kind == "moderated":
            return moderated("output")
        if fault is not None and fault.kind == "failed":
            return refused(500, fault.text or "The server had an error.", kind="server_error")
        files = await anyio.to_thread.run_sync(_files, members, fault, abandon_on_cancel=True)
        return answer(_images(members, files, made, creation, fault), seconds=creation.end - creation.created)

    def _begin(self, members: Mapping[str, object], made: Mapping[str, int], fault: Fault | None) -> ImageCreation:
        now = self._world.clock.now()
        latency = fault.seconds if fault is not None and fault.kind == "slow" else self._world.switches.latency
        usd = made["text"] * _USD["text"] + made["image"] * _USD["image"] + made["made"] * _USD["made"]
        values = {name: value for name, value in members.items() if name != "model" and not isinstance(value, bytes)}
        failed = fault is not None and fault.kind in {"failed", "moderated"}
        creation = ImageCreation("openai", str(members["model"]), values, now, now + latency, usd, failed)
        self._world.books.enter(creation)
        return creation

    async def _models(self, _call: Call) -> Response:
        return answer({"object": "list", "data": [_entry(name) for name in (*MODELS, *OTHER_MODELS)]})

    async def _model(self, call: Call) -> Response:
        name = call.path("id")
        return answer(_entry(name)) if name in {*MODELS, *OTHER_MODELS} else unknown_model(name)


def _entry(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _BORN, "owned_by": "system"}


def _usage(members: Mapping[str, object], *, edit: bool) -> dict[str, int]:
    """Return the tokens of the text, of the images to begin with, and of what is made."""
    width, height = size_of(members)
    quality = str(members.get("quality", "auto"))
    each = round(_TOKENS.get(quality, _TOKENS["medium"]) * width * height / _SQUARE)
    images = cast("list[object]", members.get("images", [None]))
    return {
        "text": max(1, len(str(members["prompt"])) // 4),
        "image": _TOKENS_OF_AN_INPUT * len(images) if edit else 0,
        "made": each * int(str(members.get("n", 1))),
    }


def _files(members: Mapping[str, object], fault: Fault | None) -> list[str]:
    """Make the pictures and return them as base64; takes a moment."""
    width, height = size_of(members)
    form = str(members.get("output_format", "png"))
    size = fault.size if fault is not None and fault.kind == "big_output" else 0
    made: list[str] = []
    for _ in range(int(str(members.get("n", 1)))):
        kind = cast("Format", "jpg" if form == "jpeg" else form)
        data = Picture(str(members["prompt"]), width, height, secrets.randbelow(2**31), kind).encode()
        made.append(base64.b64encode(marked(data, size) if form == "png" else data).decode())
    return made


def _images(
    members: Mapping[str, object],
    files: list[str],
    made: Mapping[str, int],
    creation: ImageCreation,
    fault: Fault | None,
) -> dict[str, object]:
    width, height = size_of(members)
    quality, background = str(members.get("quality", "auto")), str(members.get("background", "auto"))
    shown: list[dict[str, object]] = [{"b64_json": file} for file in files]
    if fault is not None and fault.kind == "partial_output":
        shown = shown[: fault.count]
    elif fault is not None and fault.kind == "empty_output":
        shown = []
    data = None if fault is not None and fault.kind == "null_output" else shown
    read = made["text"] + made["image"]
    return {
        "created": int(creation.end),
        "background": "opaque" if background == "auto" else background,
        "data": data,
        "output_format": str(members.get("output_format", "png")),
        "quality": "medium" if quality == "auto" else quality,
        "size": f"{width}x{height}",
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"image_tokens": made["image"], "text_tokens": made["text"]},
            "output_tokens": made["made"],
            "total_tokens": read + made["made"],
        },
    }
