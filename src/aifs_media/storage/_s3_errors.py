"""What an S3 server's refusal means, and what to do about it.

Sources of codes and statuses: Cloudflare's R2 page "Error codes" (api/error-codes) and "S3 extensions", AWS' S3 page "Error
responses", and Huawei OBS' page "Configuring Bucket Storage Quota", read in November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aifs_media._secrets import redact
from aifs_media.errors import BucketNotFoundError, StorageCredentialError, StorageError, UploadError
from aifs_media.storage import _r2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from botocore.exceptions import ClientError

    from aifs_media._secrets import Secret

MAX_SERVER_TEXT = 300


class UploadGoneError(UploadError):
    """The multipart upload is not there any more: completed, aborted by somebody, or expired."""


@dataclass(frozen=True)
class Place:
    """The storage as the texts of errors need to know it. `settings` is how the names of its settings begin."""

    bucket: str
    endpoint: str
    settings: str

    @property
    def jurisdiction_hint(self) -> str:
        """How a jurisdiction hides a bucket, where that can be the reason."""
        if self.settings != "R2":
            return ""
        jurisdiction = _r2.jurisdiction_of(self.endpoint) if _r2.is_r2(self.endpoint) else ""
        if jurisdiction:
            return (
                f" The address in use belongs to the jurisdiction {jurisdiction!r}: remove R2_JURISDICTION if the bucket was created "
                "without one."
            )
        return " A bucket that was created in a jurisdiction is found only at its own address: set R2_JURISDICTION to eu or fedramp."

    def fill(self, text: str) -> str:
        """Return a text of the table with this storage's names in it."""
        host = urlsplit(self.endpoint).netloc or "AWS"
        return text.format(
            bucket=self.bucket, host=host, settings=self.settings, jurisdiction_hint=self.jurisdiction_hint
        )


@dataclass(frozen=True)
class Meaning:
    """What a code means: completes "... failed: ". Without a kind, it is the error of the call that failed."""

    reason: str
    hint: str
    kind: type[StorageError] | None = None
    retryable: bool = False


_WRONG_ID = Meaning(
    "the storage does not know the access key id",
    "Check {settings}_ACCESS_KEY_ID: it must be the id of an S3 key pair for {host}, not an API token or the secret.",
    StorageCredentialError,
)
_NOT_ACCEPTED = Meaning(
    "the storage does not accept the credentials",
    "Check {settings}_ACCESS_KEY_ID and {settings}_SECRET_ACCESS_KEY, and that they are of the account behind {host}.",
    StorageCredentialError,
)
_NOT_ALLOWED = Meaning(
    "the credentials may not do this in the bucket {bucket!r}",
    "Give the key permission to read and write objects of this bucket.{jurisdiction_hint}",
    StorageCredentialError,
)
_NO_BUCKET = Meaning(
    "there is no bucket {bucket!r} at {host}",
    "Check {settings}_BUCKET, or create the bucket.{jurisdiction_hint}",
    BucketNotFoundError,
)
_FULL = Meaning(
    "the bucket {bucket!r} has reached its quota", "Raise its quota or delete objects; nothing was stored.", None
)
_PART_RULE = Meaning(
    "the storage refuses how the file was cut into parts", "This is a defect of this library; please report it."
)
_DAMAGED = Meaning(
    "the bytes did not arrive as they were sent",
    "Try again; if it persists, look at proxies on the way.",
    retryable=True,
)
_BUSY = Meaning("the storage takes no more requests now", "Try again later.", retryable=True)

MEANINGS = {
    "InvalidAccessKeyId": _WRONG_ID,
    "SignatureDoesNotMatch": Meaning(
        "the secret access key does not belong to the access key id",
        "Check {settings}_SECRET_ACCESS_KEY. If it is right: a proxy that rewrites headers has the same effect.",
        StorageCredentialError,
    ),
    "Unauthorized": _NOT_ACCEPTED,
    "AccessDenied": _NOT_ALLOWED,
    "NotEntitled": Meaning(
        "R2 is not enabled for this account", "Enable R2 in the Cloudflare dashboard.", StorageCredentialError
    ),
    "RequestTimeTooSkewed": Meaning(
        "this machine's clock is wrong", "Set the clock (switch on time synchronisation); the credentials may be right."
    ),
    "NoSuchBucket": _NO_BUCKET,
    "NoSuchKey": Meaning("there is no such object", "It may have been deleted."),
    "NoSuchUpload": Meaning(
        "the upload was aborted or expired meanwhile", "Start the whole upload again.", UploadGoneError
    ),
    "InvalidRegionName": Meaning(
        "the storage does not have the region",
        "Leave the region out for R2; elsewhere set {settings}_REGION to the bucket's.",
    ),
    "InsufficientStorageSpace": _FULL,
    "EntityTooSmall": _PART_RULE,
    "InvalidPart": _PART_RULE,
    "InvalidPartOrder": _PART_RULE,
    "MissingContentLength": _PART_RULE,
    "EntityTooLarge": Meaning("the file is larger than the storage takes", "Ask for a smaller file."),
    "MetadataTooLarge": Meaning("the labels are longer than the storage takes", "Shorten the tags."),
    "BadDigest": _DAMAGED,
    "InvalidDigest": _DAMAGED,
    "IncompleteBody": _DAMAGED,
    "ClientDisconnect": _DAMAGED,
    "RequestTimeout": _DAMAGED,
    "TooManyRequests": _BUSY,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    # The answer to a HEAD request has no body, so that botocore puts the status in the place of the code.
    "401": _NOT_ACCEPTED,
    "403": _NOT_ALLOWED,
    "404": _NO_BUCKET,
}


def from_answer(
    error: ClientError,
    *,
    place: Place,
    action: str,
    kind: type[StorageError],
    now: datetime,
    secrets: Sequence[Secret] = (),
) -> StorageError:
    """Return the typed error for an answer that is not a success.

    Args:
        error: botocore's error.
        place: the storage.
        action: what was tried, to begin the sentence: "Writing 'a.png'".
        kind: the error where the answer does not call for another.
        now: this machine's time.
        secrets: what must not be repeated, should the server do so.
    """
    answer: Mapping[str, Any] = error.response
    metadata: Mapping[str, Any] = answer.get("ResponseMetadata", {})
    details: Mapping[str, Any] = answer.get("Error", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    code, said = str(details.get("Code", "")), str(details.get("Message", ""))
    meaning = MEANINGS.get(code)
    if code == "InvalidArgument" and "access key has length" in said:
        # R2's answer to an id of another form: "Credential access key has length 40, should be 32".
        meaning = _WRONG_ID
    if meaning is None:
        shown = " ".join(part for part in (str(status), code if code != str(status) else "") if part)
        meaning = Meaning(f"the storage answered {shown}", "", retryable=status == 429 or status >= 500)
        reason, hint = meaning.reason, "Try again later." if meaning.retryable else ""
    else:
        reason, hint = place.fill(meaning.reason), place.fill(meaning.hint)
    if code == "RequestTimeTooSkewed" and (skew := clock_skew(metadata.get("HTTPHeaders", {}), now)) is not None:
        reason = f"{reason} by {abs(skew):.0f} s"
    if said:
        reason = f"{reason} ({redact(said, *secrets)[:MAX_SERVER_TEXT]!r})"
    return (meaning.kind or kind)(
        f"{action} failed: {reason}.",
        hint=hint,
        request_id=redact(str(metadata.get("RequestId") or ""), *secrets),
        retryable=meaning.retryable,
    )


def from_transport(error: Exception, *, place: Place, action: str, kind: type[StorageError]) -> StorageError:
    """Return the typed error for a call that brought no usable answer. Arguments as for `from_answer`."""
    from botocore.exceptions import (
        ConnectTimeoutError,
        EndpointConnectionError,
        ParamValidationError,
        ProxyConnectionError,
        SSLError,
    )

    retryable = True
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        reason, hint = "{host} cannot be reached", "Check {settings}_ENDPOINT or the account id in it, and the network."
    elif isinstance(error, ProxyConnectionError):
        reason, hint = "the proxy cannot be reached", "Check the HTTPS_PROXY environment variable."
    elif isinstance(error, SSLError):
        # A certificate that is not trusted now will not be trusted a second later; a cut handshake may work then.
        retryable = "CERTIFICATE_VERIFY_FAILED" not in str(error)
        reason = "no secure connection to {host} could be made"
        hint = "Check {settings}_ENDPOINT; a private certificate authority must be named in ca_bundle."
    elif isinstance(error, ParamValidationError):
        retryable = False
        reason, hint = "the request is not valid S3", "Keys and labels must be text that headers and URLs can carry."
    else:
        reason, hint = f"the connection to {{host}} broke ({type(error).__name__})", "Try again."
    return kind(f"{action} failed: {place.fill(reason)}.", hint=place.fill(hint), retryable=retryable)


def clock_skew(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return by how many seconds this machine's clock is ahead of the storage's, or None without a Date header."""
    try:
        return (now - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, TypeError, ValueError):
        return None
