"""Tells the host by a signed webhook that a job has ended. The receiver checks it as any of Standard Webhooks."""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from aifs_media._post import post
from aifs_media._record import Kind, Record
from aifs_media._retry import retrying
from aifs_media._webhooks import sign
from aifs_media.errors import ConfigurationError, MediaError
from aifs_media.records import Asset, Failure, Stage

if TYPE_CHECKING:
    from aifs_media._urlguard import URLGuard
    from aifs_media.protocols import Clock
    from aifs_media.records import Job

log = logging.getLogger("aifs_media.notify")


class JobEnded(Record):
    """The body of a notification: a job has reached its end.

    `assets` is what was stored, empty where nothing was; their URLs may be signed. `failure` says why a job ended without media.
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


async def notify(ended: JobEnded, *, url: str, secret: str, guard: URLGuard, clock: Clock) -> bool:
    """Post a notification, at most three times; return whether it was taken. The job is what it is either way.

    Raises:
        ConfigurationError: the secret is not one.
    """
    body = ended.model_dump_json().encode()

    async def attempt() -> None:
        # Signed anew each time: the receiver refuses an old timestamp.
        signed = sign(secret, body, delivery_id=ended.delivery_id, now=clock.now())
        await post(url, body, headers={"content-type": "application/json", **signed}, guard=guard)

    fields = {"job_id": ended.job_id, "namespace": ended.namespace, "provider": ended.provider, "step": "notify"}
    try:
        await retrying(attempt)
    except ConfigurationError:
        raise
    except MediaError as error:
        log.warning("the host was not notified: %s", error.message, extra=fields)
        return False
    return True
