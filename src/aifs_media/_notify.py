"""Tells the host by a signed webhook that a job has ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from aifs_media._post import post
from aifs_media._retry import retrying
from aifs_media._urlguard import URLGuard, is_address
from aifs_media._webhooks import sign, signing_key
from aifs_media.errors import ConfigurationError, MediaError
from aifs_media.notification import job_ended

if TYPE_CHECKING:
    from aifs_media.protocols import Clock
    from aifs_media.records import Job
    from aifs_media.settings import Settings

NOTIFY_LIMIT = 15.0
"""Seconds that a call goes on for telling the host how its job ended."""

log = logging.getLogger("aifs_media.notify")


class Notifier:
    """Posts notifications to the address of a job, through the URL guard.

    Args:
        settings: MEDIA_NOTIFY_URL is the default address, and the only one whose host may be listed as trusted; MEDIA_NOTIFY_SECRET
            signs.
        clock: dates the signatures.
    """

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._url = settings.text("MEDIA_NOTIFY_URL")
        self._settings = settings
        self._clock = clock
        own = urlsplit(self._url).netloc if is_address(self._url) else ""
        self._guard = URLGuard(trusted=frozenset({own} & {*settings.items("MEDIA_TRUSTED_HOSTS")}))

    def address(self, asked: str | None) -> str:
        """Return whom a job is to tell; empty for nobody. Checked now, before anything is paid.

        Raises:
            ConfigurationError: no usable secret is set.
            UnsafeURLError: the address is none that may be posted to.
        """
        url = self._url if asked is None else asked
        if url:
            self._guard.check(url)
            signing_key(self._secret())
        return url

    def _secret(self) -> str:
        secret = self._settings.text("MEDIA_NOTIFY_SECRET")
        if not secret:
            raise ConfigurationError(
                "A job has somebody to notify, and MEDIA_NOTIFY_SECRET is not set.",
                hint="Set it to 'whsec_' and 24 or more random bytes in base64, here and where notifications are read.",
            )
        return secret

    async def tell(self, job: Job) -> None:
        """Tell how a job has ended, in at most three tries and 15 s. What becomes of it is logged; the job is what it is."""
        if not job.notify_url:
            return
        ended = job_ended(job, now=self._clock.now())
        body = ended.model_dump_json().encode()

        async def attempt() -> None:
            # Signed anew each time: the receiver refuses an old timestamp.
            signed = sign(self._secret(), body, delivery_id=ended.delivery_id, now=self._clock.now())
            await post(job.notify_url, body, headers={"content-type": "application/json", **signed}, guard=self._guard)

        fields = {"job_id": job.job_id, "namespace": job.namespace, "provider": job.provider, "step": "notify"}
        outcome = f"no answer within {NOTIFY_LIMIT:g} s"
        with anyio.move_on_after(NOTIFY_LIMIT, shield=True):
            try:
                await retrying(attempt)
            except MediaError as error:
                outcome = error.message
            else:
                log.debug("the host was notified", extra=fields)
                return
        log.warning("the host was not notified: %s", outcome, extra=fields)
