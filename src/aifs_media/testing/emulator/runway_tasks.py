"""A Runway task: what it is at any moment follows from when things happened to it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aifs_media.testing.emulator.books import PredictionRecord, fingerprint
from aifs_media.testing.emulator.clock import stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.testing.emulator.outputs import Picture
    from aifs_media.testing.emulator.runway_models import RunwayModel

USD_PER_CREDIT = 0.01
TERMINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


@dataclass(frozen=True)
class Ending:
    """How a task will end. `charged` says whether the credits are kept."""

    status: Literal["SUCCEEDED", "FAILED", "CANCELLED"] = "SUCCEEDED"
    failure: str = ""
    code: str = ""
    charged: bool = True


@dataclass
class RunwayTask:
    """One task. Times are seconds since 1970 on the emulator's clock.

    Attributes:
        free_at: when the model's concurrency lets it begin; until then it is THROTTLED.
        start: when it begins to run; between `free_at` and this it is PENDING.
        end: when it ends.
        links: what to answer in place of files of our own, or None.
        deleted: when it was cancelled or deleted; after that nobody can ask for it.
    """

    model: RunwayModel
    body: Mapping[str, object]
    pictures: list[Picture]
    ending: Ending
    created: float
    free_at: float
    start: float
    end: float
    links: list[str] | None = None
    deleted: float | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def estimate(self) -> int:
        """Return the credits it may cost at most."""
        return self.model.price(self.body)

    def status(self, now: float) -> str:
        """Return its status, or what it was when it was deleted."""
        now = now if self.deleted is None else min(now, self.deleted)
        if now >= self.end:
            return self.ending.status
        if now >= self.start:
            return "RUNNING"
        return "PENDING" if now >= self.free_at else "THROTTLED"

    def charge(self, now: float) -> int:
        """Return the credits that are taken: at once when it is created, and given back for most ways to end badly."""
        status = self.status(now)
        if status in TERMINAL:
            return self.estimate if self.ending.charged else 0
        # Cancelled while it ran: no refund. While it waited: all of it.
        return 0 if self.deleted is not None and status != "RUNNING" else self.estimate

    def occupies_until(self) -> float:
        """Return when it leaves its place to another one."""
        return self.end if self.deleted is None else min(self.end, self.deleted)

    def to_json(self, now: float, output: list[str]) -> dict[str, object]:
        """Return the task object of the API."""
        status = self.status(now)
        members: dict[str, object] = {"id": self.id, "createdAt": stamp(self.created, 3), "status": status}
        if status in TERMINAL:
            members["cost"] = {"credits": self.charge(now)}
        else:
            members["estimatedCost"] = {"credits": self.estimate}
        if status == "RUNNING":
            members["progress"] = round((now - self.start) / max(self.end - self.start, 1e-9), 4)
        elif status == "SUCCEEDED":
            members["output"] = output
        elif status == "FAILED":
            members["failure"] = self.ending.failure
            if self.ending.code:
                members["failureCode"] = self.ending.code
        return members

    def record(self, now: float, downloads: int) -> PredictionRecord:
        """Return its line in the books."""
        deleted_early = self.deleted is not None and self.deleted < self.end
        return PredictionRecord(
            id=self.id,
            provider="runway",
            model=self.model.name,
            kind=self.model.kind,
            input=dict(self.body),
            status="CANCELLED" if deleted_early else self.status(now),
            created_at=self.created,
            cancelled=deleted_early,
            billed=round(self.charge(now) * USD_PER_CREDIT, 4),
            unit="USD",
            downloads=downloads,
            deadline=None,
            fingerprint=fingerprint("runway", self.model.name, self.body),
        )
