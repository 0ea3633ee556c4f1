"""A job in the emulated queue of fal: what it is at any moment follows from when things happened to it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aifs_media.testing.emulator.books import PredictionRecord, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from aifs_media.testing.emulator.fal_models import FalModel
    from aifs_media.testing.emulator.outputs import Picture

Status = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "REMOVED"]
"""REMOVED is none of fal's: the job was cancelled in the queue, and is not known any more."""


@dataclass(frozen=True)
class Ending:
    """How a job ends: the answer to the question for its result, and what its status says of an error."""

    result: Response
    error: str = ""
    error_type: str = ""
    bills: bool = False


@dataclass
class FalJob:
    """One job. Times are seconds since 1970 on the emulator's clock."""

    model: FalModel
    input: Mapping[str, object]
    created: float
    queue_time: float
    run_time: float
    pictures: list[Picture]
    start_by: float | None
    webhook: str
    ending: Ending
    too_late: Ending
    stopped: Ending
    cancelled: float | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def start(self) -> float:
        """When it leaves the queue."""
        return self.created + self.queue_time

    @property
    def end(self) -> float:
        """When it is done, if nobody stops it."""
        return self.start + self.run_time

    def at(self, now: float) -> tuple[Status, Ending | None]:
        """Return its status, and how it ended once it has."""
        if self.cancelled is not None:
            # What a job is after its cancel is not documented: one in the queue is removed, a running one is told to stop.
            return ("REMOVED", None) if self.cancelled < self.start else ("COMPLETED", self.stopped)
        if self.start_by is not None and self.start_by < self.start:
            return ("COMPLETED", self.too_late) if now >= self.start_by else ("IN_QUEUE", None)
        if now < self.start:
            return "IN_QUEUE", None
        return ("IN_PROGRESS", None) if now < self.end else ("COMPLETED", self.ending)

    def cancel(self, now: float) -> bool:
        """Stop it; False if it is over."""
        if self.at(now)[0] in {"COMPLETED", "REMOVED"}:
            return False
        self.cancelled = now
        return True

    def record(self, now: float, downloads: int) -> PredictionRecord:
        """Return its line in the books. What a stopped job costs is not documented; here it is nothing."""
        status, ending = self.at(now)
        return PredictionRecord(
            id=self.id,
            provider="fal",
            model=self.model.name,
            kind=self.model.kind,
            input=dict(self.input),
            status=status if ending is None or not ending.error else "FAILED",
            created_at=self.created,
            cancelled=self.cancelled is not None,
            billed=self.model.charge(self.input, self.pictures) if ending is not None and ending.bills else 0.0,
            unit="USD",
            downloads=downloads,
            deadline=self.start_by,
            fingerprint=fingerprint("fal", self.model.name, self.input),
        )
