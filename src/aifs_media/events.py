"""What happens to a job, told to `on_event` as frozen records, in order per job.

Every event has the job's id and namespace, a number `seq` that grows by one per job in this process, and the time `at`
(UTC). Progress events come at most four times a second. None holds a prompt, a key or a signed URL.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from aifs_media.records import Cost, Kind, Record


class JobEvent(Record):
    """What every event has."""

    job_id: str
    namespace: str = ""
    seq: int
    at: datetime
    provider: str
    model: str
    kind: Kind


class Held(JobEvent):
    """Another process works on the job; this call waits for it. `seq` is 0: the job's own events begin after it."""

    event: Literal["held"] = "held"


class Selected(JobEvent):
    """Provider and model are chosen and the options are checked."""

    event: Literal["selected"] = "selected"
    warnings: tuple[str, ...] = ()


class Submitted(JobEvent):
    """The provider accepted the job."""

    event: Literal["submitted"] = "submitted"
    ref: str = ""


class Progressed(JobEvent):
    """The provider says how far it is: `progress` from 0 to 1, `queue_position` from 0; None where it does not say."""

    event: Literal["progressed"] = "progressed"
    progress: float | None = None
    queue_position: int | None = None


class Retried(JobEvent):
    """A step failed and is tried again after `wait` seconds."""

    event: Literal["retried"] = "retried"
    step: Literal["submit", "poll", "download", "store"]
    reason: str
    wait: float


class Generated(JobEvent):
    """The provider has the outputs; they are not ours yet. `missing` counts outputs that were asked for and not made."""

    event: Literal["generated"] = "generated"
    outputs: int
    missing: int = 0


class Transferred(JobEvent):
    """Bytes are on their way from the provider into the storage. `total` is None where the length is unknown."""

    event: Literal["transferred"] = "transferred"
    index: int
    size: int
    total: int | None = None


class Stored(JobEvent):
    """One output is verified and stored."""

    event: Literal["stored"] = "stored"
    index: int
    object_key: str
    size: int
    cost: Cost


class Failed(JobEvent):
    """The job ended without an asset. `code` is the error's code."""

    event: Literal["failed"] = "failed"
    code: str
    message: str


class CancelRequested(JobEvent):
    """The job is being cancelled at the provider; `outcome` follows in another such event."""

    event: Literal["cancel_requested"] = "cancel_requested"
    outcome: Literal["asked", "canceled", "too_late", "not_supported", "failed"] = "asked"


Event = Annotated[
    Held | Selected | Submitted | Progressed | Retried | Generated | Transferred | Stored | Failed | CancelRequested,
    Field(discriminator="event"),
]
