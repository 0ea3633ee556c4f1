"""The emulated Runway API: creates, tasks, the organization."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from starlette.responses import Response

from aifs_media.testing.emulator.outputs import OutputFile, random_hex
from aifs_media.testing.emulator.runway_answers import NO_CREDITS, answer, error, keyed_route, refused
from aifs_media.testing.emulator.runway_models import MODELS, find_model, images
from aifs_media.testing.emulator.runway_tasks import Ending, RunwayTask

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.faults import Fault
    from aifs_media.testing.emulator.routing import Call, Handler
    from aifs_media.testing.emulator.runway_models import Call as CallName
    from aifs_media.testing.emulator.runway_models import Issue, RunwayModel
    from aifs_media.testing.emulator.runway_uploads import RunwayUploads
    from aifs_media.testing.emulator.world import World

_DAY = 86_400.0
# Links work for one to two days.
_LINK_LIFE = _DAY
_CALLS: tuple[CallName, ...] = ("text_to_video", "image_to_video", "text_to_image")
_DAILY = 200
_MONTHLY_SPEND = 10_000
_TRY_AGAIN = "An unexpected error occurred."
_FLAGGED = "The prompt was flagged by content moderation."


class RunwayService:
    """Holds the organization's tasks and answers its API."""

    def __init__(self, world: World, uploads: RunwayUploads) -> None:
        """Start with an organization that has made nothing, and can use these uploads."""
        self._world = world
        self._uploads = uploads
        self._tasks: dict[str, RunwayTask] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the routes, with their paths from the server's root."""
        return [
            *(keyed_route(self._world, "runway.create", f"/v1/{call}", self._creator(call), "POST") for call in _CALLS),
            keyed_route(self._world, "runway.get", "/v1/tasks/{id}", self._get),
            keyed_route(self._world, "runway.cancel", "/v1/tasks/{id}", self._delete, "DELETE"),
            keyed_route(self._world, "runway.organization", "/v1/organization", self._organization),
        ]

    def balance(self) -> int:
        """Return the credits left."""
        now = self._world.clock.now()
        return self._world.switches.runway_credits - sum(task.charge(now) for task in self._tasks.values())

    def _creator(self, name: CallName) -> Handler:
        async def create(call: Call) -> Response:
            body = call.members()
            if body is None:
                return refused("The body is not a JSON object.")
            model = find_model(name, body.get("model"))
            if model is None:
                issue: Issue = {
                    "code": "invalid_union_discriminator",
                    "path": ["model"],
                    "message": "Invalid discriminator value",
                }
                return refused("Validation of body failed", [issue])
            if issues := [*model.issues(body), *self._missing_uploads(body)]:
                return refused("Validation of body failed", issues)
            if model.price(body) > self.balance():
                return refused(NO_CREDITS)
            task = self._begin(model, body, call.fault)
            return answer({"id": task.id, "estimatedCost": {"credits": task.estimate}})

        return create

    def _missing_uploads(self, body: dict[str, object]) -> list[Issue]:
        named = [(path, uri) for path, uri in images(body) if isinstance(uri, str) and uri.startswith("runway://")]
        return [
            {"code": "custom", "path": [path], "message": "The upload does not exist."}
            for path, uri in named
            if not self._uploads.has(uri)
        ]

    def _begin(self, model: RunwayModel, body: dict[str, object], fault: Fault | None) -> RunwayTask:
        switches, now = self._world.switches, self._world.clock.now()
        latency = fault.seconds if fault is not None and fault.kind == "slow" else switches.latency
        free_at = self._free_at(model, now)
        start = free_at + switches.queue_time
        pictures = model.pictures(body)
        if fault is not None and fault.kind == "partial_output":
            pictures = pictures[: fault.count]
        task = RunwayTask(
            model=model,
            body={"prompt": body.get("promptText", ""), **body},
            pictures=pictures,
            ending=_ending(fault),
            created=now,
            free_at=free_at,
            start=start,
            end=start + latency,
            links=self._odd_links(fault),
        )
        self._tasks[task.id] = task
        self._world.prompts[task.id] = str(body.get("promptText", ""))
        self._world.books.enter(task)
        return task

    def _free_at(self, model: RunwayModel, now: float) -> float:
        """Return when a place becomes free for one more task of a model."""
        ends = sorted(
            task.occupies_until()
            for task in self._tasks.values()
            if task.model.name == model.name and task.occupies_until() > now
        )
        most = self._world.switches.runway_concurrency
        return now if len(ends) < most else ends[-most]

    def _odd_links(self, fault: Fault | None) -> list[str] | None:
        match fault.kind if fault is not None else "":
            case "null_output" | "empty_output":
                return []
            case "foreign_output" if fault is not None:
                return [fault.url]
            case "big_output" if fault is not None:
                return [self._world.output_url(f"/delivery/blob/{fault.size}.mp4")]
            case _:
                return None

    def _find(self, call: Call) -> RunwayTask | None:
        task = self._tasks.get(call.path("id"))
        return task if task is not None and task.deleted is None else None

    async def _get(self, call: Call) -> Response:
        task, now = self._find(call), self._world.clock.now()
        if task is None:
            return error(404)
        output = self._links(task, now) if task.status(now) == "SUCCEEDED" else []
        return answer(task.to_json(now, output))

    def _links(self, task: RunwayTask, now: float) -> list[str]:
        """Return links to the files that work from now on for a day: new ones at every look."""
        if task.links is not None:
            return task.links
        found: list[str] = []
        for number, picture in enumerate(task.pictures):
            path = f"/runway/{random_hex()}/output-{number}.{picture.format}"
            self._world.shelf.add(OutputFile(path, picture, task.id, task.end, now + _LINK_LIFE))
            found.append(self._world.output_url(path, f"_jwt={secrets.token_urlsafe(24)}"))
        return found

    async def _delete(self, call: Call) -> Response:
        """Cancel a task that has not ended, or delete one that has: in both cases it cannot be asked for any more."""
        task = self._find(call)
        if task is None:
            return error(404)
        task.deleted = self._world.clock.now()
        return Response(status_code=204)

    async def _organization(self, _call: Call) -> Response:
        now, names = self._world.clock.now(), dict.fromkeys(model.name for model in MODELS)
        limits = {
            "maxConcurrentGenerations": self._world.switches.runway_concurrency,
            "maxDailyGenerations": _DAILY,
        }
        today = [task.model.name for task in self._tasks.values() if task.created > now - _DAY]
        return answer(
            {
                "tier": {"maxMonthlyCreditSpend": _MONTHLY_SPEND, "models": dict.fromkeys(names, limits)},
                "creditBalance": self.balance(),
                "usage": {"models": {name: {"dailyGenerations": today.count(name)} for name in names}},
            }
        )


def _ending(fault: Fault | None) -> Ending:
    """Return how a task ends: refusals of moderation are charged, other failures are refunded."""
    match fault.kind if fault is not None else "":
        case "failed" if fault is not None:
            # `text` is a failure code; without one the task fails as some recorded ones do.
            return Ending("FAILED", _TRY_AGAIN, fault.text, charged=False)
        case "moderated" if fault is not None:
            return Ending("FAILED", _FLAGGED, fault.text or "SAFETY.INPUT.TEXT")
        case "aborted":
            return Ending("CANCELLED", charged=False)
        case _:
            return Ending()
