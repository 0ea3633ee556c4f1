"""The emulated Replicate API: predictions, models, account, webhook secret."""

from __future__ import annotations

import base64
import re
import secrets
import urllib.parse
from typing import TYPE_CHECKING, cast

from starlette.responses import Response

from aifs_media.testing.emulator import replicate_models
from aifs_media.testing.emulator.clock import moment_of
from aifs_media.testing.emulator.predictions import TERMINAL, Plan, Prediction
from aifs_media.testing.emulator.replicate_answers import answer, error, invalid_input, throttled
from aifs_media.testing.emulator.replicate_endings import ending
from aifs_media.testing.emulator.replicate_limits import CREATES, OTHERS, POLLS, Limits
from aifs_media.testing.emulator.replicate_pictures import pictures
from aifs_media.testing.emulator.routing import Call, Handler, route
from aifs_media.testing.emulator.webhooks import WEBHOOK_SECRET, Webhooks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.faults import Route
    from aifs_media.testing.emulator.replicate_models import ReplicateModel
    from aifs_media.testing.emulator.world import World

_PREFER = re.compile(r"wait(=([1-9]|[1-9][0-9]|60))?")
_WHOLE_WAIT = 60.0
_CANCEL_AFTER = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_SHORTEST_CANCEL_AFTER = 5
_PAGE = 100
# Two predictions never share a microsecond: list cursors are times.
_TICK = 1e-6


class ReplicateService:
    """Holds the account's predictions and answers its API."""

    def __init__(self, world: World, webhooks: Webhooks) -> None:
        """Start with an account that has made nothing."""
        self._world = world
        self._webhooks = webhooks
        self._limits = Limits(world.clock)
        self._predictions: list[Prediction] = []
        self._url = f"{world.base_url}/replicate/v1"

    def routes(self) -> list[BaseRoute]:
        """Return the routes, with their paths from the server's root."""
        version = "/models/{owner}/{name}/versions"
        return [
            self._route("replicate.create", "/predictions", self._create, CREATES, "POST"),
            self._route("replicate.create", "/models/{owner}/{name}/predictions", self._create, CREATES, "POST"),
            self._route("replicate.create", "/deployments/{owner}/{name}/predictions", self._create, CREATES, "POST"),
            self._route("replicate.list", "/predictions", self._list, OTHERS),
            self._route("replicate.get", "/predictions/{id}", self._get, POLLS),
            self._route("replicate.cancel", "/predictions/{id}/cancel", self._cancel, OTHERS, "POST"),
            self._route("replicate.account", "/account", self._account, OTHERS),
            self._route("replicate.model", "/models/{owner}/{name}", self._model, OTHERS),
            self._route("replicate.model", version, self._versions, OTHERS),
            self._route("replicate.model", version + "/{version}", self._version, OTHERS),
            self._route("replicate.secret", "/webhooks/default/secret", self._secret, OTHERS),
        ]

    def _route(self, name: Route, path: str, handler: Handler, limit: int, method: str = "GET") -> BaseRoute:
        async def guarded(call: Call) -> Response:
            if not authorized(self._world, call):
                return error(401)
            wait = self._limits.wait(limit)
            result = throttled(wait, reduced=False) if wait else await handler(call)
            result.headers["ratelimit-remaining"] = str(limit - 1)
            result.headers["ratelimit-reset"] = "1"
            return result

        return route(self._world, name, f"/replicate/v1{path}", guarded, errors=error, methods=(method,))

    async def _create(self, call: Call) -> Response:
        body = call.members()
        if body is None or not isinstance(body.get("input"), dict):
            return invalid_input([{"type": "required", "field": "(root)", "description": "input is required"}])
        found = self._called_model(call, body)
        if isinstance(found, Response):
            return found
        model, version = found
        values = model.known(cast("dict[str, object]", body["input"]))
        lifetime = _lifetime(call.request.headers.get("cancel-after"))
        refusal = self._refusal(model, values)
        if refusal is not None:
            return refusal
        if isinstance(lifetime, Response):
            return lifetime
        prediction = await self._start(call, model, version, values, lifetime)
        self._webhooks.watch(prediction, body)
        return await self._created(call, prediction)

    def _refusal(self, model: ReplicateModel, values: Mapping[str, object]) -> Response | None:
        credit = self._world.switches.replicate_credit
        if credit <= 0:
            return error(402)
        if wait := self._limits.wait_small_credit(credit):
            return throttled(wait, reduced=True)
        complaints = model.complaints(values)
        return invalid_input(complaints) if complaints else None

    def _called_model(self, call: Call, body: Mapping[str, object]) -> tuple[ReplicateModel, str] | Response:
        if "name" not in call.request.path_params:
            version = body.get("version")
            if not isinstance(version, str):
                return invalid_input([{"type": "required", "field": "(root)", "description": "version is required"}])
            return replicate_models.by_version(version) or error(422)
        model = replicate_models.by_name(call.path("owner"), call.path("name"))
        if model is None:
            return error(404)
        if "/deployments/" in call.request.url.path:
            return model, model.version or "hidden"
        return (model, "hidden") if model.official else error(404)

    async def _start(
        self, call: Call, model: ReplicateModel, version: str, values: Mapping[str, object], lifetime: float | None
    ) -> Prediction:
        switches = self._world.switches
        slow = call.suffers("slow")
        created = self._world.clock.now()
        if self._predictions:
            created = max(created, self._predictions[-1].created + _TICK)
        in_deployment = "/deployments/" in call.request.url.path
        prediction = Prediction(
            model=model,
            version=version,
            input=values,
            created=created,
            queue_time=switches.queue_time,
            run_time=slow.seconds if slow else switches.latency,
            pictures=pictures(model, values, fps=switches.replicate_frame_rate),
            plan=Plan("succeeded"),
            api=self._url,
            retention=switches.retention,
            deadline=None if lifetime is None else created + lifetime,
            deployment=f"{call.path('owner')}/{call.path('name')}" if in_deployment else None,
        )
        prediction.plan = await ending(self._world, prediction, call.fault)
        self._predictions.append(prediction)
        self._world.prompts[prediction.id] = str(values.get("prompt", ""))
        self._world.books.enter(prediction)
        return prediction

    async def _created(self, call: Call, prediction: Prediction) -> Response:
        clock = self._world.clock
        prefer = call.request.headers.get("prefer", "")
        held = _PREFER.fullmatch(prefer)
        # A value outside the grammar is taken as absent.
        if held is None:
            return answer(prediction.created_json(), 201)
        longest = float(held[2]) if held[2] else _WHOLE_WAIT
        stops = [prediction.end, clock.now() + longest]
        if prediction.deadline is not None:
            stops.append(prediction.deadline)
        await clock.sleep_until(min(stops))
        now = clock.now()
        # 202 is documented for a create whose outputs are not all there yet.
        status = 201 if prediction.at(now).status in TERMINAL else 202
        members = prediction.held_json(now, self._world.switches.held_status)
        return answer(members, status, {"preference-applied": prefer})

    async def _get(self, call: Call) -> Response:
        prediction = self._find(call.path("id"))
        if prediction is None:
            return error(404)
        if call.suffers("expired"):
            prediction.retention = 0.0
        return answer(prediction.to_json(self._world.clock.now()))

    async def _cancel(self, call: Call) -> Response:
        prediction = self._find(call.path("id"))
        if prediction is None:
            return error(404)
        prediction.cancel(self._world.clock.now())
        return answer(prediction.to_json(self._world.clock.now()))

    async def _list(self, call: Call) -> Response:
        query = call.request.query_params
        try:
            after = moment_of(query["created_after"]) if "created_after" in query else float("-inf")
            before = moment_of(query["created_before"]) if "created_before" in query else float("inf")
            backwards, cursor = _read_cursor(query.get("cursor"))
        except ValueError:
            return invalid_input([{"type": "format", "field": "query", "description": "Does not match format"}])
        lag = call.suffers("lag")
        if lag is not None:
            before = min(before, self._world.clock.now() - lag.seconds)
        everything = [one for one in self._predictions if after <= round(one.created, 6) < before]
        if query.get("source") == "web":
            everything = []
        newest_first = sorted(everything, key=lambda one: one.created, reverse=True)
        if backwards and cursor is not None:
            newer = [one for one in newest_first if round(one.created, 6) > cursor]
            page = newer[-_PAGE:]
        else:
            page = [one for one in newest_first if cursor is None or round(one.created, 6) < cursor][:_PAGE]
        now = self._world.clock.now()
        more = bool(page) and page[-1] is not newest_first[-1]
        earlier = bool(page) and page[0] is not newest_first[0]
        body = {
            "next": self._page_url(call, page[-1], backwards=False) if more else None,
            "previous": self._page_url(call, page[0], backwards=True) if earlier else None,
            "results": [one.to_json(now) for one in page],
        }
        return answer(body)

    def _page_url(self, call: Call, edge: Prediction, *, backwards: bool) -> str:
        position = urllib.parse.urlencode({**({"r": "1"} if backwards else {}), "p": f"{edge.created:.6f}"})
        cursor = base64.b64encode(position.encode()).decode()
        kept = {name: value for name, value in call.request.query_params.items() if name != "cursor"}
        return f"{self._url}/predictions?{urllib.parse.urlencode({'cursor': cursor, **kept})}"

    def _find(self, identifier: str) -> Prediction | None:
        return next((one for one in self._predictions if one.id == identifier), None)

    async def _account(self, _call: Call) -> Response:
        return answer(
            {
                "type": "user",
                "username": "emulated",
                "name": "Emulated account",
                "github_url": "https://github.com/emulated",
                "avatar_url": "https://github.com/emulated.png",
            }
        )

    async def _secret(self, _call: Call) -> Response:
        return answer({"key": WEBHOOK_SECRET})

    async def _model(self, call: Call) -> Response:
        model = replicate_models.by_name(call.path("owner"), call.path("name"))
        return error(404) if model is None else answer(model.to_json())

    async def _versions(self, call: Call) -> Response:
        model = replicate_models.by_name(call.path("owner"), call.path("name"))
        if model is None:
            return error(404)
        return answer({"next": None, "previous": None, "results": [model.version_json()]})

    async def _version(self, call: Call) -> Response:
        model = replicate_models.by_name(call.path("owner"), call.path("name"))
        if model is None or model.version_json()["id"] != call.path("version"):
            return error(404)
        return answer(model.version_json())


def authorized(world: World, call: Call) -> bool:
    """Return whether the request brings the token, in the present form (Bearer) or the older one (Token)."""
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    return scheme.lower() in {"bearer", "token"} and secrets.compare_digest(
        token.encode(), world.replicate_token.encode()
    )


def _lifetime(header: str | None) -> float | Response | None:
    """Read `Cancel-After`, such as `30`, `30s`, `5m`, `1h30m45s`: seconds, or the refusal."""
    if header is None:
        return None
    parts = _CANCEL_AFTER.fullmatch(header.strip())
    seconds = (
        0 if parts is None else sum(int(n or 0) * unit for n, unit in zip(parts.groups(), (3600, 60, 1), strict=True))
    )
    if seconds < _SHORTEST_CANCEL_AFTER:
        # The status and the text of this refusal are not documented.
        detail = f"Cancel-After must be a duration of at least {_SHORTEST_CANCEL_AFTER} seconds"
        return answer({"detail": detail, "status": 422}, 422)
    return float(seconds)


def _read_cursor(text: str | None) -> tuple[bool, float | None]:
    if text is None:
        return False, None
    members = urllib.parse.parse_qs(base64.b64decode(text, validate=True).decode())
    return "r" in members, float(members["p"][0])
