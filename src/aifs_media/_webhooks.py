"""Webhooks signed by the Standard Webhooks specification: sign one, and check one that claims to be. Pure.

The signature covers `{id}.{timestamp}.{body}`, so only the body's bytes as they arrived can be checked. Facts: the
specification at standardwebhooks.com, and replicate.com/docs/topics/webhooks/verify-webhook.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aifs_media.errors import ConfigurationError, WebhookRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"
KEY_PREFIX = "whsec_"

BODY_LIMIT = 1024 * 1024
"""Bytes of a body; a larger one is refused before anything is computed on it."""

TOLERANCE = 300.0
"""Seconds by which a webhook's timestamp may differ from our time, in either direction."""

SHORTEST_KEY = 24
SIGNATURES_LIMIT = 4096

# A full stop separates the parts of what is signed: in an id it would let two notes have one signature.
_ID = re.compile(r"[!-\-/-~]{1,256}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)


@dataclass(frozen=True)
class SignedNote:
    """A webhook that is complete, small enough and recent. Whether its signature is right is not known yet.

    Attributes:
        delivery_id: the sender's id of this delivery, the same in each of its repetitions.
        content: what the signatures must cover.
        signatures: one per key of the sender, which has two while it changes them.
    """

    delivery_id: str
    content: bytes
    signatures: tuple[bytes, ...]


def signing_key(secret: str) -> bytes:
    """Return the key that a secret `whsec_...` holds.

    Raises:
        ConfigurationError: it is not one, or too short to be safe. The message does not show it.
    """
    encoded = secret.removeprefix(KEY_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith(KEY_PREFIX) or len(key) < SHORTEST_KEY:
        raise ConfigurationError(
            f"A webhook secret is not {KEY_PREFIX!r} and {SHORTEST_KEY} or more bytes in base64.",
            hint="Copy it whole from where it was made.",
        )
    return key


def sign(secret: str, body: bytes, *, delivery_id: str, now: datetime) -> dict[str, str]:
    """Return the three headers that sign a body.

    Raises:
        ConfigurationError: the secret is not one.
    """
    timestamp = str(int(now.timestamp()))
    signature = base64.b64encode(_digest(signing_key(secret), _content(delivery_id, timestamp, body))).decode()
    return {ID_HEADER: delivery_id, TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: f"v1,{signature}"}


def signed_note(headers: Mapping[str, str], body: bytes, *, now: datetime) -> SignedNote:
    """Read what can be judged without a secret.

    Args:
        headers: the request's headers; upper and lower case do not matter.
        body: the request's body as it arrived.
        now: the present time.

    Raises:
        WebhookRefusedError: it is too large or too old, or a header is missing, doubled or malformed.
    """
    check_size(body)
    delivery_id = only_header(headers, ID_HEADER, _ID)
    timestamp = recent_timestamp(headers, TIMESTAMP_HEADER, now=now)
    signatures = _signatures(only_header(headers, SIGNATURE_HEADER))
    return SignedNote(delivery_id, _content(delivery_id, timestamp, body), signatures)


def is_signed_by(note: SignedNote, secrets: Iterable[str]) -> bool:
    """Return whether one of the signatures was made with one of the secrets.

    Raises:
        ConfigurationError: a secret is not one.
    """
    keys = [signing_key(secret) for secret in secrets]
    # All are compared, and each in constant time, so that the time it takes tells nothing about how close a guess was.
    matches = [
        hmac.compare_digest(_digest(key, note.content), signature) for key in keys for signature in note.signatures
    ]
    return any(matches)


def verify(headers: Mapping[str, str], body: bytes, *, secrets: Iterable[str], now: datetime) -> str:
    """Check a webhook and return its delivery id.

    Raises:
        WebhookRefusedError: it is not signed with one of the secrets, or fails in `signed_note`.
        ConfigurationError: a secret is not one.
    """
    note = signed_note(headers, body, now=now)
    if not is_signed_by(note, secrets):
        raise wrong_signature()
    return note.delivery_id


def wrong_signature() -> WebhookRefusedError:
    """Return the error of a webhook whose signature was made with no secret that is known."""
    return refused(
        "its signature is wrong",
        hint="If it was sent by the provider, the secret is another account's, or something in between changed the body.",
    )


def _content(delivery_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{delivery_id}.{timestamp}.".encode() + body


def _digest(key: bytes, content: bytes) -> bytes:
    return hmac.digest(key, content, "sha256")


def check_size(body: bytes) -> None:
    """Refuse a body that is too large to compute anything on it. Raises WebhookRefusedError."""
    if len(body) > BODY_LIMIT:
        raise refused(f"its body has {len(body)} bytes, and {BODY_LIMIT} are the most that is taken")


def only_header(headers: Mapping[str, str], wanted: str, form: re.Pattern[str] | None = None) -> str:
    """Return the value of a header by its lower-case name. Raises WebhookRefusedError unless there is one, of that form."""
    values = [value for name, value in headers.items() if name.lower() == wanted]
    if len(values) != 1:
        raise refused(f"it has {len(values)} headers {wanted!r} instead of one")
    if form is not None and not form.fullmatch(values[0]):
        raise refused(f"its {wanted!r} is malformed")
    return values[0]


def recent_timestamp(headers: Mapping[str, str], wanted: str, *, now: datetime) -> str:
    """Return a header that holds seconds since 1970 near to now. Raises WebhookRefusedError."""
    timestamp = only_header(headers, wanted, _TIMESTAMP)
    if abs(int(timestamp) - now.timestamp()) > TOLERANCE:
        raise refused(f"it was sent more than {TOLERANCE:g} s ago, or the clocks differ by as much")
    return timestamp


def _signatures(text: str) -> tuple[bytes, ...]:
    """Return the signatures of version 1; those of other versions are for other readers."""
    found: list[bytes] = []
    for entry in text.split(" ") if len(text) <= SIGNATURES_LIMIT else ():
        version, _, encoded = entry.partition(",")
        if version != "v1":
            continue
        try:
            found.append(base64.b64decode(encoded, validate=True))
        except ValueError:
            continue
    if not found:
        raise refused(f"its {SIGNATURE_HEADER!r} holds no readable signature")
    return tuple(found)


def refused(reason: str, *, hint: str = "") -> WebhookRefusedError:
    """Return the error of a webhook that is not taken."""
    return WebhookRefusedError(f"A webhook was refused: {reason}.", hint=hint)
