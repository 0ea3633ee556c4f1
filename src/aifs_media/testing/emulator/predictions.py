"""A Replicate prediction: what it is at any moment follows from when things happened to it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aifs_media.testing.emulator.books import PredictionRecord, fingerprint
from aifs_media.testing.emulator.clock import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.testing.emulator.outputs import Picture
    from aifs_media.testing.emulator.replicate_models import ReplicateModel

# Replicate kills what has run for half an hour.
_RUN_LIMIT = 1800.0
# Seconds a run is said to have taken where the emulator's latency is 0, so that time has a price. The first three
# are recorded ones.
_RUN_TIMES = {"flux-schnell": 0.83, "sdxl-lightning-4step": 0.944134354, "zeroscope-v2-xl": 88.4, "ltx-video": 12.0}
_RUN_TIME = {"image": 2.5, "video": 60.0}
_ID_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"
_STEPS = 4
TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})


@dataclass(frozen=True)
class Plan:
    """How a generation will end: the status, its error text, and the output as JSON."""

    status: str
    output: object = None
    error: str | None = None


@dataclass(frozen=True)
class Moment:
    """How a prediction stands at one time; times are seconds since 1970."""

    status: str
    started: float | None
    completed: float | None


@dataclass
class Prediction:
    """One prediction. `created` is unique to the microsecond, so that list cursors are exact."""

    model: ReplicateModel
    version: str
    input: Mapping[str, object]
    created: float
    queue_time: float
    run_time: float
    pictures: list[Picture]
    plan: Plan
    api: str
    retention: float
    deadline: float | None = None
    canceled: float | None = None
    deployment: str | None = None
    webhook: str | None = None
    id: str = field(default_factory=lambda: "".join(secrets.choice(_ID_LETTERS) for _ in range(26)))

    @property
    def start(self) -> float:
        """When it leaves the queue."""
        return self.created + self.queue_time

    @property
    def end(self) -> float:
        """When it is done, if nobody stops it."""
        return self.start + min(self.run_time, _RUN_LIMIT)

    def at(self, now: float) -> Moment:
        """Return how it stands at `now`."""
        end = self.start if self.plan.status == "aborted" else self.end
        stop = min((cut for cut in (self.canceled, self.deadline) if cut is not None), default=None)
        if stop is not None and stop <= now and stop < end:
            return self._stopped(stop)
        if now < self.start:
            return Moment("starting", None, None)
        if now < end:
            return Moment("processing", self.start, None)
        if self.plan.status == "aborted":
            return Moment("aborted", None, end)
        return Moment("failed" if self.run_time > _RUN_LIMIT else self.plan.status, self.start, end)

    def _stopped(self, stop: float) -> Moment:
        """Say what a stop makes of it: one by deadline in the queue is `aborted`, every other one `canceled`."""
        if stop >= self.start:
            return Moment("canceled", self.start, stop)
        return Moment("canceled" if stop == self.canceled else "aborted", None, stop)

    def cancel(self, now: float) -> None:
        """Stop it, unless it is over."""
        if self.at(now).status not in TERMINAL:
            self.canceled = now

    def to_json(self, now: float) -> dict[str, object]:
        """Return the prediction object of the API."""
        moment = self.at(now)
        if moment.completed is not None and now >= moment.completed + self.retention:
            return {**self._frame(moment), "input": {}, "logs": "", "output": None, "data_removed": True}
        members = self._frame(moment)
        if moment.status == "succeeded":
            members["output"] = self.plan.output
        elif moment.status == "failed":
            members["error"] = self.plan.error or "Prediction timed out"
        members["logs"] = self._logs(now, moment)
        return members

    def created_json(self) -> dict[str, object]:
        """Return the answer to a create: always `starting`, with no output yet."""
        return self._frame(Moment("starting", None, None))

    def held_json(self, now: float, status: str) -> dict[str, object]:
        """Return the answer to a held create: a finished one may still say `processing`, without times and metrics."""
        members = self.to_json(now)
        if members["status"] == "succeeded" and status == "processing":
            for name in ("completed_at", "metrics", "started_at"):
                members.pop(name, None)
            members["status"] = "processing"
        return members

    def record(self, now: float, downloads: int) -> PredictionRecord:
        """Return its line in the books."""
        moment = self.at(now)
        return PredictionRecord(
            id=self.id,
            provider="replicate",
            model=self.model.full_name,
            kind=self.model.kind,
            input=dict(self.input),
            status=moment.status,
            created_at=self.created,
            cancelled=self.canceled is not None,
            billed=self._charge(moment),
            unit="USD",
            downloads=downloads,
            deadline=self.deadline,
            fingerprint=fingerprint("replicate", self.model.full_name, self.input),
        )

    def _frame(self, moment: Moment) -> dict[str, object]:
        address = f"{self.api}/predictions/{self.id}"
        members: dict[str, object] = {
            "id": self.id,
            "model": self.model.full_name,
            "version": self.version,
            "input": dict(self.input),
            "logs": "",
            "output": None,
            "data_removed": False,
            "error": None,
            "source": "api",
            "status": moment.status,
            "created_at": stamp(self.created, 3),
            "urls": {"cancel": f"{address}/cancel", "get": address, "web": f"https://replicate.com/p/{self.id}"},
        }
        for name, when in (("started_at", moment.started), ("completed_at", moment.completed)):
            if when is not None:
                members[name] = stamp(when, 9)
        if moment.completed is not None:
            members["metrics"] = self._metrics(moment)
        if self.deadline is not None:
            members["deadline"] = stamp(self.deadline, 3)
        if self.deployment is not None:
            members["deployment"] = self.deployment
        if self.webhook is not None:
            members["webhook"] = self.webhook
        return members

    def _predict_time(self, moment: Moment) -> float:
        if moment.started is None or moment.completed is None:
            return 0.0
        if moment.status == "succeeded" and self.run_time == 0:
            return _RUN_TIMES.get(self.model.name, _RUN_TIME[self.model.kind])
        return moment.completed - moment.started

    def _metrics(self, moment: Moment) -> dict[str, object]:
        predict_time = self._predict_time(moment)
        if moment.started is None:
            return {"total_time": (moment.completed or self.created) - self.created}
        metrics: dict[str, object] = {"predict_time": predict_time, "total_time": predict_time + self.queue_time}
        if self.model.kind == "image" and moment.status == "succeeded":
            metrics["image_count"] = len(self.pictures)
        return metrics

    def _charge(self, moment: Moment) -> float:
        """Return USD. Stopped while running is billed, stopped before is not; failures are taken as not billed."""
        if moment.status not in {"succeeded", "canceled"} or moment.started is None:
            return 0.0
        price = self.model.price
        match price.per:
            case "image":
                return price.usd * len(self.pictures)
            case "video":
                return price.usd
            case "video_second":
                return price.usd * sum(picture.frames / picture.fps for picture in self.pictures)
            case "gpu_second":
                return price.usd * self._predict_time(moment)

    def _logs(self, now: float, moment: Moment) -> str:
        if moment.started is None or not self.pictures:
            return ""
        until = moment.completed if moment.completed is not None else now
        run_time = max(self.end - self.start, 1e-9)
        done = _STEPS if moment.status == "succeeded" else int(_STEPS * min(1.0, (until - self.start) / run_time))
        lines = [f"Using seed: {self.pictures[0].seed}", f"Prompt: {self.pictures[0].prompt}"]
        for step in range(done + 1):
            share = step / _STEPS
            bar = ("█" * round(share * 10)).ljust(10)
            lines.append(f"{share:4.0%}|{bar}| {step}/{_STEPS} [00:00<00:00,  8.00it/s]")
        return "\n".join(lines) + "\n"
