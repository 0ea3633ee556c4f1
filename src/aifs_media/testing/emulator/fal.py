"""The emulated queue of fal: submit, status, result, cancel, and the keys of its webhooks."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from aifs_media.testing.emulator import fal_models
from aifs_media.testing.emulator.fal_answers import answer, error, infrastructure, refused
from aifs_media.testing.emulator.fal_endings import ending, stopped, too_late
from aifs_media.testing.emulator.fal_jobs import Ending, FalJob
from aifs_media.testing.emulator.routing import Call, Handler, route

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from aifs_media.testing.emulator.fal_webhooks import FalWebhooks
    from aifs_media.testing.emulator.faults import Route
    from aifs_media.testing.emulator.world import World

_JOB = "/fal/{app:path}/requests/{id}"
_SHORTEST_START = 1.0


class FalService:
    """Holds the account's jobs and answers the queue's API."""

    def __init__(self, world: World, webhooks: FalWebhooks) -> None:
        """Start with an account that has made nothing."""
        self._world = world
        self._webhooks = webhooks
        self._jobs: dict[str, FalJob] = {}

    def routes(self) -> list[BaseRoute]:
        """Return the routes, with their paths from the server's root."""
        return [
            route(self._world, "fal.keys", "/fal/.well-known/jwks.json", self._keys, errors=error),
            self._route("fal.status", f"{_JOB}/status", self._status),
            self._route("fal.cancel", f"{_JOB}/cancel", self._cancel, "PUT"),
            self._route("fal.result", _JOB, self._result),
            self._route("fal.create", "/fal/{model:path}", self._create, "POST"),
        ]

    def _route(self, name: Route, path: str, handler: Handler, method: str = "GET") -> BaseRoute:
        async def guarded(call: Call) -> Response:
            scheme, _, key = call.request.headers.get("authorization", "").partition(" ")
            if scheme != "Key" or not secrets.compare_digest(key.encode(), self._world.fal_key.encode()):
                return error(401)
            return await handler(call)

        return route(self._world, name, path, guarded, errors=error, methods=(method,))

    async def _create(self, call: Call) -> Response:
        if self._world.switches.fal_credit <= 0:
            return error(403)
        model, values = fal_models.by_name(call.path("model")), call.members()
        if model is None:
            return error(404)
        complaints = model.complaints(values or {})
        if values is None or complaints:
            return refused(complaints or [("prompt", "value is not a valid dict", "dict_type")])
        try:
            start_by = self._start_by(call)
        except ValueError:
            return infrastructure(400, "Invalid request timeout header", "bad_request")
        switches, slow = self._world.switches, call.suffers("slow")
        job = FalJob(
            model=model,
            input=values,
            created=self._world.clock.now(),
            queue_time=switches.queue_time,
            run_time=slow.seconds if slow else switches.latency,
            pictures=model.pictures(values),
            start_by=start_by,
            webhook=call.request.query_params.get("fal_webhook", ""),
            ending=Ending(error(500)),
            too_late=too_late(),
            stopped=stopped(),
        )
        lifecycle = call.request.headers.get("x-fal-object-lifecycle-preference", "")
        job.ending = await ending(self._world, job, call.fault, lifecycle)
        self._jobs[job.id] = job
        self._world.prompts[job.id] = str(values.get("prompt", ""))
        self._world.books.enter(job)
        self._webhooks.watch(job)
        return answer({"status": "IN_QUEUE", "queue_position": self._position(job), **self._addresses(job)})

    def _start_by(self, call: Call) -> float | None:
        seconds = call.request.headers.get("x-fal-request-timeout")
        if seconds is None:
            return None
        if float(seconds) <= _SHORTEST_START:
            raise ValueError(seconds)
        return self._world.clock.now() + float(seconds)

    async def _status(self, call: Call) -> Response:
        job = self._found(call)
        status, ended = job.at(self._world.clock.now()) if job is not None else ("REMOVED", None)
        if job is None or status == "REMOVED":
            return error(404)
        members: dict[str, object] = {"status": status}
        if status == "IN_QUEUE":
            members["queue_position"] = self._position(job)
        else:
            members["logs"] = [] if call.request.query_params.get("logs") in {"1", "true"} else None
        if ended is not None:
            members["metrics"] = {"inference_time": None if ended.error else job.run_time}
            members |= {"error": ended.error} if ended.error else {}
            members |= {"error_type": ended.error_type} if ended.error_type else {}
        return answer({**members, **self._addresses(job)}, 200 if status == "COMPLETED" else 202)

    async def _result(self, call: Call) -> Response:
        job = self._found(call)
        status, ended = job.at(self._world.clock.now()) if job is not None else ("REMOVED", None)
        if status == "REMOVED":
            return error(404)
        return ended.result if ended is not None else answer({"detail": "Request is still in progress"}, 400)

    async def _cancel(self, call: Call) -> Response:
        job = self._found(call)
        if job is None:
            return answer({"status": "NOT_FOUND"}, 404)
        if not job.cancel(self._world.clock.now()):
            return answer({"status": "ALREADY_COMPLETED"}, 400)
        return answer({"status": "CANCELLATION_REQUESTED"}, 202)

    async def _keys(self, _call: Call) -> Response:
        return answer(self._webhooks.keys())

    def _found(self, call: Call) -> FalJob | None:
        """Return the job, if it is asked for under `owner/app` and not under the model's whole name."""
        job = self._jobs.get(call.path("id"))
        return job if job is not None and job.model.app == call.path("app") else None

    def _position(self, job: FalJob) -> int:
        now = self._world.clock.now()
        waiting = [one for one in self._jobs.values() if one.created < job.created and one.at(now)[0] == "IN_QUEUE"]
        return len(waiting)

    def _addresses(self, job: FalJob) -> dict[str, object]:
        address = f"{self._world.base_url}/fal/{job.model.app}/requests/{job.id}"
        return {
            "request_id": job.id,
            "response_url": address,
            "status_url": f"{address}/status",
            "cancel_url": f"{address}/cancel",
        }
