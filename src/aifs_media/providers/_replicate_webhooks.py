"""Replicate's webhooks: signed with one secret per account, their body is the prediction.

Facts: replicate.com/docs/topics/webhooks, and `webhooks.default.secret.get` in Replicate's OpenAPI file of 2026-03-16.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlsplit

from aifs_media._secrets import Secret
from aifs_media._webhooks import is_signed_by, signed_note, signing_key, wrong_signature
from aifs_media.errors import ConfigurationError, ProviderUnavailableError, UnexpectedResponseError, WebhookRefusedError
from aifs_media.records import WebhookNote, utc_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from pydantic import JsonValue

SIGNING_KEY_PATH = "/webhooks/default/secret"
EVENTS = ["completed"]
"""What a create asks to be told. Only this one is repeated when it does not arrive."""

FETCH_AGAIN = 300.0
"""Seconds before a secret that did not match is fetched again: it may have been changed."""

FETCH_AGAIN_AFTER_FAILURE = 5.0
"""Seconds during which a failed fetch is not repeated, so that nobody can make us ask Replicate by sending us nonsense."""


def webhook_members(url: str) -> dict[str, JsonValue]:
    """Return what a create's body holds besides, so that Replicate tells `url` when the job has ended."""
    return {"webhook": url, "webhook_events_filter": [*EVENTS]} if url else {}


def note_of(delivery_id: str, body: bytes) -> WebhookNote:
    """Read which job a webhook is about. Its signature was checked before.

    Raises:
        WebhookRefusedError: the body holds no prediction.
    """
    try:
        prediction = json.loads(body)
    except (ValueError, RecursionError):
        prediction = None
    ref = cast("dict[str, JsonValue]", prediction).get("id") if isinstance(prediction, dict) else None
    if not isinstance(prediction, dict) or not isinstance(ref, str) or not ref:
        raise WebhookRefusedError("A webhook of Replicate holds no prediction.", provider="replicate")
    url = cast("dict[str, JsonValue]", prediction).get("webhook")
    return WebhookNote(delivery_id=delivery_id, ref=ref, job=_job_in(url) if isinstance(url, str) else "")


def _job_in(url: str) -> str:
    try:
        return parse_qs(urlsplit(url).query, max_num_fields=50).get("job", [""])[0]
    except ValueError:
        return ""


class ReplicateWebhooks:
    """Checks webhooks.

    Args:
        secret: the configured secret, or several with commas between while one replaces the other. Empty: the account is asked.
        call: makes a call that costs nothing, as `HttpProvider.call` does.
    """

    def __init__(self, *, secret: str, call: Callable[[str, str], Awaitable[JsonValue]]) -> None:
        self._configured = tuple(Secret(one.strip()) for one in secret.split(",") if one.strip())
        self._call = call
        self._fetched: Secret | None = None
        self._fetch_again_at = float("-inf")

    async def verify(self, headers: Mapping[str, str], body: bytes) -> WebhookNote:
        """Check a webhook and read which job it is about.

        Raises:
            WebhookRefusedError: it is not from this account, too old, or not readable.
            MediaError: the account's secret could not be had.
        """
        note = signed_note(headers, body, now=utc_now())
        if self._configured:
            trusted = is_signed_by(note, [secret.reveal() for secret in self._configured])
        else:
            trusted = is_signed_by(note, [await self._secret()])
            if not trusted and time.monotonic() >= self._fetch_again_at:
                trusted = is_signed_by(note, [await self._fetch()])
        if not trusted:
            raise wrong_signature()
        return note_of(note.delivery_id, body)

    async def _secret(self) -> str:
        if self._fetched is not None:
            return self._fetched.reveal()
        if time.monotonic() < self._fetch_again_at:
            raise ProviderUnavailableError(
                "The secret of Replicate's webhooks could not be had a moment ago.",
                hint="Set REPLICATE_WEBHOOK_SECRET, and nobody needs to be asked for it.",
                provider="replicate",
                retryable=True,
            )
        return await self._fetch()

    async def _fetch(self) -> str:
        self._fetch_again_at = time.monotonic() + FETCH_AGAIN_AFTER_FAILURE
        answer = await self._call("GET", SIGNING_KEY_PATH)
        key = answer.get("key") if isinstance(answer, dict) else None
        try:
            signing_key(key if isinstance(key, str) else "")
        except ConfigurationError:
            raise UnexpectedResponseError(
                "Replicate answered without a usable webhook secret.", provider="replicate", retryable=True
            ) from None
        self._fetched = Secret(str(key))
        self._fetch_again_at = time.monotonic() + FETCH_AGAIN
        return self._fetched.reveal()
