"""The emulated `/v1/videos` of Poe: create, look, fetch. Documented by the vendor, never recorded."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from starlette.responses import Response

from aifs_media.testing.emulator.multipart import multipart
from aifs_media.testing.emulator.outputs import MEDIA_TYPES, Format, OutputFile, Picture
from aifs_media.testing.emulator.poe_answers import answer, error, missing, refused, unknown_bot
from aifs_media.testing.emulator.poe_bots import find_bot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.poe import PoeService
    from aifs_media.testing.emulator.poe_generation import PoeGeneration
    from aifs_media.testing.emulator.routing import Call
    from aifs_media.testing.emulator.world import World

_SIZE = re.compile(r"(\d+)x(\d+)")
_PORTRAIT = "720x1280"
_USUAL_SECONDS = 8
_LONGEST = 20
_FPS = 24.0
# The share of the running time that a video is still queued.
_QUEUED = 0.1
_KEPT = 3600.0
_VARIANTS: dict[str, Format] = {"thumbnail": "webp", "spritesheet": "jpg"}


@dataclass
class _Video:
    id: str
    generation: PoeGeneration
    model: str
    seconds: int
    size: str
    file: OutputFile
    error: dict[str, object]

    def status(self, now: float) -> str:
        start, end = self.generation.created, self.generation.end
        if now >= end:
            return "failed" if self.generation.failed else "completed"
        return "queued" if now < start + (end - start) * _QUEUED else "in_progress"

    def to_json(self, now: float, status: str) -> dict[str, object]:
        start, end = self.generation.created, self.generation.end
        done = status == "completed"
        share = 100 if done else round(100 * (now - start) / (end - start)) if status == "in_progress" else 0
        return {
            "id": self.id,
            "object": "video",
            "status": status,
            "created_at": int(start),
            "completed_at": int(end) if done else None,
            "expires_at": int(end + _KEPT) if done else None,
            "model": self.model,
            "seconds": self.seconds,
            "size": self.size,
            "progress": share,
            "remixed_from_video_id": None,
            "error": self.error if status == "failed" else None,
            "usage": {} if done else None,
        }


class PoeVideos:
    """Holds the videos and answers their API."""

    def __init__(self, world: World, poe: PoeService) -> None:
        """Charge the account of `poe`."""
        self._world = world
        self._poe = poe
        self._videos: dict[str, _Video] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the routes, with their paths from the server's root."""
        return [
            self._poe.route("poe.videos.create", "/poe/v1/videos", self._create, "POST"),
            self._poe.route("poe.videos.get", "/poe/v1/videos/{id}", self._get),
            self._poe.route("poe.videos.content", "/poe/v1/videos/{id}/content", self._content),
        ]

    async def _create(self, call: Call) -> Response:
        body = _members(call)
        for name in ("model", "prompt"):
            if not isinstance(body.get(name), str):
                return missing(name)
        model, prompt = str(body["model"]), str(body["prompt"])
        bot = find_bot(model, self._world.switches.unlisted_bots)
        if bot is None:
            return unknown_bot(model)
        if not bot.has_videos_endpoint:
            return refused(f"Model '{model}' does not support this endpoint")
        seconds, size = str(body.get("seconds") or _USUAL_SECONDS), str(body.get("size") or _PORTRAIT)
        pixels = _SIZE.fullmatch(size)
        if not seconds.isdigit() or not 1 <= int(seconds) <= _LONGEST or pixels is None:
            return refused("Invalid value for 'seconds' or 'size'")
        if self._poe.balance() <= 0:
            return error(402)
        values = {name: value for name, value in body.items() if name != "model"}
        generation = self._poe.begin(bot, values, call.fault)
        frames = round(int(seconds) * _FPS)
        picture = Picture(prompt, int(pixels[1]), int(pixels[2]), secrets.randbelow(2**31 - 1), "mp4", frames, _FPS)
        identifier = f"video_{secrets.token_hex(12)}"
        file = OutputFile(f"/{identifier}", picture, generation.id, generation.end, generation.end + _KEPT)
        video = _Video(identifier, generation, model, int(seconds), size, file, _reason(call))
        self._videos[identifier] = video
        self._world.prompts[identifier] = prompt
        return answer(video.to_json(self._world.clock.now(), "queued"))

    async def _get(self, call: Call) -> Response:
        video = self._videos.get(call.path("id"))
        if video is None:
            return error(404)
        now = self._world.clock.now()
        return answer(video.to_json(now, video.status(now)))

    async def _content(self, call: Call) -> Response:
        video = self._videos.get(call.path("id"))
        now = self._world.clock.now()
        gone = video is None or video.status(now) != "completed" or now >= video.generation.end + _KEPT
        if video is None or gone or call.suffers("expired"):
            return error(404)
        variant = call.request.query_params.get("variant")
        if variant is None or variant == "video":
            self._world.books.downloaded(video.generation.id)
            return Response(await self._world.shelf.read(video.file), media_type="video/mp4")
        form = _VARIANTS.get(variant)
        if form is None:
            return refused(f"Invalid value for 'variant': {variant!r}")
        still = OutputFile("", replace(video.file.picture, format=form), video.generation.id, video.generation.end)
        return Response(await still.read(), media_type=MEDIA_TYPES[form])


def _members(call: Call) -> Mapping[str, object]:
    content_type = call.request.headers.get("content-type", "")
    if content_type.startswith("multipart/"):
        parts = multipart(content_type, call.body)
        return {name: part.data.decode() for name, part in parts.items() if not part.file_name}
    return call.members() or {}


def _reason(call: Call) -> dict[str, object]:
    text = call.fault.text if call.fault is not None else ""
    code = "moderation_blocked" if call.suffers("moderated") else "unknown"
    return {"code": code, "message": text or "unknown"}
