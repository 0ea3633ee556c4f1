"""What a host is told when a job has ended, and how it checks that it was told so by its own aifs-media.

A job with `notify_url=`, or MEDIA_NOTIFY_URL in the settings, ends with one POST of a `JobEnded` as JSON, signed by the Standard
Webhooks specification with MEDIA_NOTIFY_SECRET:

    ended = read_notification(request.headers, await request.body(), secret=secret)

A notification is a courtesy: it is tried three times and then given up, while the ledger keeps the job. What must not be missed
belongs into `on_asset`.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from aifs_media._record import Kind, Record
from aifs_media._webhooks import verify
from aifs_media.errors import WebhookRefusedError
from aifs_media.records import Asset, Failure, Stage, utc_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.records import Job

__all__ = ["JobEnded", "read_notification"]


class JobEnded(Record):
    """A job has reached its end.

    `assets` is what was stored, empty where nothing was; their URLs may be signed. `failure` says why a job ended without media.
    `namespace`, `job_id` and `tags` are the host's own.
    """

    type: Literal["job.ended"] = "job.ended"
    format: int = 1
    job_id: str
    namespace: str = ""
    stage: Stage
    kind: Kind
    provider: str
    model: str
    tags: dict[str, str]
    assets: tuple[Asset, ...] = ()
    failure: Failure | None = None
    sent_at: datetime

    @property
    def delivery_id(self) -> str:
        """The same for every notification of one end of one job, so that the receiver can tell a repetition."""
        identity = "\0".join((self.namespace, self.job_id, self.stage))
        return f"msg_{hashlib.sha256(identity.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def job_ended(job: Job, *, now: datetime) -> JobEnded:
    """Return what a notification says of a job that has ended."""
    return JobEnded(
        job_id=job.job_id,
        namespace=job.namespace,
        stage=job.stage,
        kind=job.request.kind,
        provider=job.provider,
        model=job.request.model,
        tags=job.request.tags,
        assets=job.assets,
        failure=job.failure,
        sent_at=now,
    )


def read_notification(headers: Mapping[str, str], body: bytes, *, secret: str, now: datetime | None = None) -> JobEnded:
    """Check a notification and return what it says.

    Args:
        headers: the request's headers; upper and lower case do not matter.
        body: the request's body as it arrived; at most 1 MiB.
        secret: MEDIA_NOTIFY_SECRET, or several with commas between while one replaces the other.
        now: the present time; a notification may be 300 s older or newer.

    Raises:
        WebhookRefusedError: it is not signed with the secret, too old, too large, or not readable.
        ConfigurationError: the secret is not one.
    """
    verify(headers, body, secrets=[one.strip() for one in secret.split(",")], now=now or utc_now())
    try:
        return JobEnded.model_validate_json(body)
    except ValidationError as error:
        raise WebhookRefusedError(
            "A notification was refused: its body is none.",
            hint="A newer aifs-media may have sent it than the one that reads it.",
        ) from error
