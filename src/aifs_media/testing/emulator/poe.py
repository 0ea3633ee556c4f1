"""The emulated Poe API: chat completions, images, the catalogue and the usage pages."""

from __future__ import annotations

import secrets
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.responses import Response

from aifs_media.testing.emulator.clock import stamp
from aifs_media.testing.emulator.outputs import OutputFile, Picture, random_hex
from aifs_media.testing.emulator.poe_answers import (
    answer,
    completion,
    error,
    event_stream,
    media_content,
    missing,
    refused,
    unknown_bot,
)
from aifs_media.testing.emulator.poe_bots import Bot, find_bot, listed_bots
from aifs_media.testing.emulator.poe_generation import PoeGeneration
from aifs_media.testing.emulator.poe_texts import compose_text
from aifs_media.testing.emulator.routing import Call, Handler, route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.faults import Fault, Route
    from aifs_media.testing.emulator.world import World

_HOUR = 3600.0
_MICROSECONDS = 1_000_000
_LARGEST_PAGE = 100
_USUAL_PAGE = 20
# Members of a chat request that are not parameters of a bot.
_CHAT_MEMBERS = frozenset({"model", "messages", "stream", "extra_body", "n", "user", "metadata", "response_format"})
_NO_PICTURE = "I can help you with that picture. What should it look like?"
_THOUGHTS = "**Considering the request**\n\nI am thinking about how the picture should look.\n\n"
_WITHOUT_MEDIA = frozenset({"text_only", "null_output", "empty_output"})


@dataclass(frozen=True)
class _Asked:
    """A chat request: `name` as it was sent, `prompt` the last thing the user said, `told` the whole conversation."""

    bot: Bot
    name: str
    prompt: str
    told: str
    given: Mapping[str, object]
    stream: bool


class PoeService:
    """Holds the account's generations and answers the API outside `/v1/videos`."""

    def __init__(self, world: World) -> None:
        """Start with an account that has spent nothing."""
        self._world = world
        self._generations: list[PoeGeneration] = []

    def routes(self) -> list[BaseRoute]:
        """Return the routes, with their paths from the server's root."""
        return [
            self.route("poe.chat", "/poe/v1/chat/completions", self._chat, "POST"),
            self.route("poe.images", "/poe/v1/images", self._images, "POST"),
            self.route("poe.balance", "/poe/usage/current_balance", self._balance),
            self.route("poe.history", "/poe/usage/points_history", self._history),
            # The catalogue needs no key.
            route(self._world, "poe.models", "/poe/v1/models", self._models, errors=error),
        ]

    def route(self, name: Route, path: str, handler: Handler, method: str = "GET") -> BaseRoute:
        """Return a route that needs the account's key."""

        async def guarded(call: Call) -> Response:
            scheme, _, key = call.request.headers.get("authorization", "").partition(" ")
            known = secrets.compare_digest(key.encode(), self._world.poe_key.encode())
            return await handler(call) if scheme.lower() == "bearer" and known else error(401)

        return route(self._world, name, path, guarded, errors=error, methods=(method,))

    def balance(self) -> int:
        """Return the points left."""
        now = self._world.clock.now()
        return self._world.switches.poe_points - sum(one.points(now) for one in self._generations)

    def begin(self, bot: Bot, values: Mapping[str, object], fault: Fault | None) -> PoeGeneration:
        """Accept a call: from here on it costs its points."""
        now = self._world.clock.now()
        latency = fault.seconds if fault is not None and fault.kind == "slow" else self._world.switches.latency
        failed = fault is not None and fault.kind in {"failed", "moderated"}
        generation = PoeGeneration(bot.id, bot.kind, values, now, now + latency, failed)
        self._generations.append(generation)
        self._world.books.enter(generation)
        return generation

    def shelve(
        self, generation: PoeGeneration, picture: Picture, path: str = "", life: float | None = None, *, query: str = ""
    ) -> str:
        """Put a file on the delivery host and return its URL."""
        kind = "video" if picture.format == "mp4" else "image"
        path = path or f"/base/{kind}/{random_hex()}"
        expires = None if life is None else generation.end + life
        self._world.shelf.add(OutputFile(path, picture, generation.id, generation.end, expires))
        return self._world.output_url(path, query)

    async def _chat(self, call: Call) -> Response:
        asked = self._asked(call.members() or {})
        if isinstance(asked, Response):
            return asked
        generation = self.begin(asked.bot, {"prompt": asked.prompt, **asked.given}, call.fault)
        await self._world.clock.sleep_until(generation.end)
        if generation.failed:
            return _failure(call.fault)
        content = self._content(asked, generation, call.fault)
        kind = asked.bot.kind if "://" in content else "text"
        whole = completion(asked.name, content, prompt=asked.prompt, created=int(generation.end), kind=kind)
        if asked.stream:
            return event_stream(whole, content)
        return answer(whole, seconds=generation.end - generation.created)

    def _asked(self, body: Mapping[str, object]) -> _Asked | Response:
        name, messages = body.get("model"), body.get("messages")
        if not isinstance(name, str) or not isinstance(messages, list) or not messages:
            return missing("messages" if isinstance(name, str) else "model")
        bot = find_bot(name, self._world.switches.unlisted_bots)
        if bot is None:
            return unknown_bot(name)
        if body.get("n", 1) != 1:
            return refused("n must be 1")
        if self.balance() <= 0:
            return error(402)
        conversation = cast("list[object]", messages)
        told = "\n".join(_text_of(message) for message in conversation)
        return _Asked(bot, name, _last_prompt(conversation), told, _parameters(body), body.get("stream") is True)

    def _content(self, asked: _Asked, generation: PoeGeneration, fault: Fault | None) -> str:
        bot = asked.bot
        if bot.family == "text":
            return fault.text if fault is not None and fault.text else compose_text(asked.told, asked.prompt)
        if fault is not None and fault.kind in _WITHOUT_MEDIA:
            return "" if fault.kind == "empty_output" else fault.text or _NO_PICTURE
        if bot.family == "nano-banana" and asked.given.get("image_only") is not True:
            return (_THOUGHTS if bot.id.endswith("-pro") else "") + _NO_PICTURE
        if fault is not None and fault.kind == "foreign_output":
            return media_content(bot.family, asked.prompt, [fault.url])
        if fault is not None and fault.kind == "big_output":
            big = self._world.output_url(f"/delivery/blob/{fault.size}.mp4")
            return media_content(bot.family, asked.prompt, [big])
        pictures = bot.pictures(asked.prompt, asked.given)
        if fault is not None and fault.kind == "partial_output":
            pictures = pictures[: fault.count]
        return media_content(bot.family, asked.prompt, [self._link(bot, generation, picture) for picture in pictures])

    def _link(self, bot: Bot, generation: PoeGeneration, picture: Picture) -> str:
        if bot.family == "dall-e":
            # A signed link of another vendor's storage, good for exactly an hour.
            path = f"/private/org-emulated/user-emulated/img-{secrets.token_urlsafe(18)}.png"
            window = {"st": stamp(generation.end - _HOUR, 0), "se": stamp(generation.end + _HOUR, 0)}
            query = urllib.parse.urlencode({**window, "sp": "r", "rsct": "image/png", "sig": secrets.token_urlsafe(24)})
            return self.shelve(generation, picture, path, _HOUR, query=query)
        size = f"w={picture.width}&h={picture.height}" if picture.format != "mp4" else ""
        return self.shelve(generation, picture, query=size)

    async def _images(self, call: Call) -> Response:
        body = call.members()
        if body is None or not isinstance(body.get("prompt"), str):
            return missing("prompt")
        name, prompt = str(body.get("model")), str(body["prompt"])
        bot = find_bot(name, self._world.switches.unlisted_bots)
        if bot is None or "/v1/images" not in cast("list[str]", bot.entry.get("supported_endpoints", [])):
            return unknown_bot(name)
        if self.balance() <= 0:
            return error(402)
        given = {member: value for member, value in body.items() if member not in {"model", "prompt"}}
        generation = self.begin(bot, {"prompt": prompt, **given}, call.fault)
        await self._world.clock.sleep_until(generation.end)
        if generation.failed:
            return _failure(call.fault)
        links = [{"url": self._link(bot, generation, picture)} for picture in bot.pictures(prompt, given)]
        return answer({"created": int(generation.end), "data": links})

    async def _models(self, _call: Call) -> Response:
        return answer({"object": "list", "data": [bot.entry for bot in listed_bots()]})

    async def _balance(self, _call: Call) -> Response:
        return answer({"current_point_balance": self.balance()})

    async def _history(self, call: Call) -> Response:
        query = call.request.query_params
        limit = query.get("limit", str(_USUAL_PAGE))
        if not limit.isdigit() or not 1 <= int(limit) <= _LARGEST_PAGE:
            return refused(f"limit must be between 1 and {_LARGEST_PAGE}")
        now = self._world.clock.now()
        spent = [one for one in reversed(self._generations) if one.points(now)]
        after = next((place for place, one in enumerate(spent, 1) if one.id == query.get("starting_after")), 0)
        page = spent[after : after + int(limit)]
        entries = [self._history_entry(one, now) for one in page]
        return answer({"has_more": after + len(page) < len(spent), "length": len(page), "data": entries})

    def _history_entry(self, generation: PoeGeneration, now: float) -> dict[str, object]:
        points = {"query_id": generation.id, "cost_points": generation.points(now)}
        if self._world.switches.poe_history_form == "guide":
            return {"app_name": generation.bot, "creation_time": int(generation.created), **points}
        created = int(generation.created * _MICROSECONDS)
        return {"bot_name": generation.bot, "creation_time": created, "usage_type": "API", **points}


def _failure(fault: Fault | None) -> Response:
    if fault is None or not fault.text:
        return error(403 if fault is not None and fault.kind == "moderated" else 500)
    return answer({"error": {"message": fault.text, "type": "provider_error"}}, 500)


def _parameters(body: Mapping[str, object]) -> dict[str, object]:
    """Return the bot's parameters: top-level members, and a literal `extra_body` as Poe's own client sends it."""
    nested = body.get("extra_body")
    given = {name: value for name, value in body.items() if name not in _CHAT_MEMBERS}
    return {**given, **(cast("dict[str, object]", nested) if isinstance(nested, dict) else {})}


def _last_prompt(messages: Sequence[object]) -> str:
    for message in reversed(messages):
        if isinstance(message, dict) and cast("dict[str, object]", message).get("role") == "user":
            return _text_of(cast("dict[str, object]", message))
    return _text_of(messages[-1])


def _text_of(message: object) -> str:
    content = cast("dict[str, object]", message).get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    parts = cast("list[dict[str, object]]", content) if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")
