"""fal's webhooks: signed with Ed25519, by keys that fal publishes for everyone.

Facts: fal.ai/docs on webhooks. That a webhook is fal's does not make it this account's: anybody's jobs are signed with the same
keys, so that a webhook only says where to look. Needs the extra `fal`, which brings `cryptography`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import anyio

from aifs_media._http import HttpClient
from aifs_media._urlguard import is_address
from aifs_media._webhooks import check_size, only_header, recent_timestamp, refused, wrong_signature
from aifs_media.errors import ConfigurationError, ProviderUnavailableError, UnexpectedResponseError
from aifs_media.records import WebhookNote, utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

KEYS_URL = "https://rest.fal.ai/.well-known/jwks.json"
HEADERS = ("x-fal-webhook-request-id", "x-fal-webhook-user-id", "x-fal-webhook-timestamp", "x-fal-webhook-signature")

KEYS_LIFE = 24 * 3600.0
"""Seconds for which fetched keys are trusted; fal allows no more."""

FETCH_AGAIN = 300.0
"""Seconds before keys of which none fits are fetched again: they may have been changed."""

FETCH_AGAIN_AFTER_FAILURE = 5.0
"""Seconds during which a failed fetch is not repeated, so that nobody can make us ask fal by sending us nonsense."""

KEY_BYTES = 32

_ID = re.compile(r"[!-~]{1,256}")
_SIGNATURE = re.compile(r"[0-9a-fA-F]{128}")


class FalWebhooks:
    """Checks webhooks, and keeps fal's keys for a while.

    Args:
        keys_url: where the keys are; it gets no API key of ours.
        base_url: the configured address of the API; the keys may be there without https as well.
        now: seconds that never go back.
    """

    def __init__(
        self,
        *,
        keys_url: str = KEYS_URL,
        base_url: str = "",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if not is_address(keys_url):
            raise ConfigurationError(
                "FAL_WEBHOOK_KEYS_URL is not an address.",
                hint=f"Leave it out: the keys are at {KEYS_URL}.",
                provider="fal",
            )
        parts = urlsplit(keys_url)
        if parts.scheme != "https" and parts[:2] != urlsplit(base_url)[:2]:
            raise ConfigurationError(
                f"FAL_WEBHOOK_KEYS_URL with the scheme {parts.scheme!r} cannot be trusted.",
                hint="Use https.",
                provider="fal",
            )
        self._url = keys_url
        self._now = now
        self._http: HttpClient | None = None
        self._lock: anyio.Lock | None = None
        self._keys: tuple[bytes, ...] = ()
        self._fetched_at = self._fetch_again_at = float("-inf")

    async def verify(self, headers: Mapping[str, str], body: bytes) -> WebhookNote:
        """Check a webhook and read which job it is about.

        Raises:
            WebhookRefusedError: it is not fal's, too old, or not readable.
            ConfigurationError: the extra `fal` is not installed.
            MediaError: fal's keys could not be had.
        """
        check_size(body)
        delivery_id, user = (only_header(headers, name, _ID) for name in HEADERS[:2])
        timestamp = recent_timestamp(headers, HEADERS[2], now=utc_now())
        signature = bytes.fromhex(only_header(headers, HEADERS[3], _SIGNATURE))
        content = "\n".join((delivery_id, user, timestamp, hashlib.sha256(body).hexdigest())).encode()
        if not any(is_signed_by(key, signature, content) for key in await self._trusted_keys()):
            renewed = await self._renewed_keys()
            if not any(is_signed_by(key, signature, content) for key in renewed):
                raise wrong_signature()
        return note_of(delivery_id, body)

    async def _trusted_keys(self) -> tuple[bytes, ...]:
        """Return keys that are young enough."""
        async with self._locked():
            if self._keys and self._now() < self._fetched_at + KEYS_LIFE:
                return self._keys
            if self._now() < self._fetch_again_at:
                raise ProviderUnavailableError(
                    "fal's keys for webhooks could not be had a moment ago.", provider="fal", retryable=True
                )
            return await self._fetch()

    async def _renewed_keys(self) -> tuple[bytes, ...]:
        """Return keys that may be newer than those of which none fitted; none where it is too early to ask again."""
        async with self._locked():
            return await self._fetch() if self._now() >= self._fetch_again_at else ()

    async def _fetch(self) -> tuple[bytes, ...]:
        self._fetch_again_at = self._now() + FETCH_AGAIN_AFTER_FAILURE
        parts = urlsplit(self._url)
        if self._http is None:
            self._http = HttpClient(provider="fal", base_url=f"{parts.scheme}://{parts.netloc}", headers={})
        answer = await self._http.read("GET", self._url)
        keys = keys_in(answer.json_or_none()) if answer.status == 200 else ()
        if not keys:
            raise UnexpectedResponseError(
                f"fal answered HTTP {answer.status} without usable keys for webhooks.", provider="fal", retryable=True
            )
        self._keys, self._fetched_at = keys, self._now()
        self._fetch_again_at = self._fetched_at + FETCH_AGAIN
        return keys

    def _locked(self) -> anyio.Lock:
        if self._lock is None:
            self._lock = anyio.Lock()
        return self._lock

    async def aclose(self) -> None:
        """Close the connection; the next webhook opens a new one."""
        client, self._http, self._lock = self._http, None, None
        if client is not None:
            await client.aclose()


def is_signed_by(key: bytes, signature: bytes, content: bytes) -> bool:
    """Return whether the signature was made with the private half of a key.

    Raises:
        ConfigurationError: the extra `fal` is not installed.
    """
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"fal's webhooks need {error.name!r}, which is not installed.",
            hint="Run: pip install 'aifs-media[fal]'",
            provider="fal",
        ) from error
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, content)
    except InvalidSignature:
        return False
    return True


def keys_in(document: JsonValue) -> tuple[bytes, ...]:
    """Return the Ed25519 keys of a JSON Web Key Set; keys of other kinds are for other readers."""
    listed = document.get("keys") if isinstance(document, dict) else None
    found: list[bytes] = []
    for one in listed if isinstance(listed, list) else []:
        text = one.get("x") if isinstance(one, dict) and one.get("kty") == "OKP" else None
        try:
            key = (
                base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
                if isinstance(text, str)
                else b""
            )
        except ValueError:
            continue
        if len(key) == KEY_BYTES:
            found.append(key)
    return tuple(found)


def note_of(delivery_id: str, body: bytes) -> WebhookNote:
    """Read which job a webhook is about. Its signature was checked before.

    Raises:
        WebhookRefusedError: the body names no job.
    """
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        members = None
    ref = cast("dict[str, JsonValue]", members).get("request_id") if isinstance(members, dict) else None
    if not isinstance(ref, str) or not ref:
        raise refused("it names no request of fal's")
    return WebhookNote(delivery_id=delivery_id, ref=ref)
