"""What is particular about Cloudflare R2: addresses, the form of its keys, and what its public address cannot be.

Source: Cloudflare's R2 documentation, pages "Authentication" (api/tokens), "S3 API compatibility" (api/s3/api) and "Public
buckets" (buckets/public-buckets), read in November 2026.
"""

from __future__ import annotations

import re
import warnings
from urllib.parse import SplitResult, urlsplit

from aifs_media._secrets import without_query
from aifs_media._urlguard import is_address
from aifs_media.errors import ConfigurationError

HOST_ENDING = ".r2.cloudflarestorage.com"
ACCESS_KEY_ID = re.compile(r"[0-9a-fA-F]{32}")
SECRET_ACCESS_KEY = re.compile(r"[0-9a-fA-F]{64}")


def is_r2(endpoint: str) -> bool:
    """Whether the endpoint is Cloudflare's own."""
    return _host(endpoint).endswith(HOST_ENDING)


def _host(endpoint: str) -> str:
    return (urlsplit(endpoint).hostname or "") if is_address(endpoint) else ""


def r2_endpoint(*, account_id: str, jurisdiction: str, endpoint: str, bucket: str) -> str:
    """Return the S3 address: `endpoint` if given, else the one of account and jurisdiction.

    The dashboard shows the address with the bucket behind it; that path is dropped.

    Raises:
        ConfigurationError: neither account id nor endpoint is given.
    """
    if endpoint:
        address, _, last = endpoint.rstrip("/").rpartition("/")
        return address if last == bucket and "://" in address else endpoint.rstrip("/")
    if not account_id:
        raise ConfigurationError(
            "R2 needs the account id, or the endpoint.",
            hint="Set R2_ACCOUNT_ID. It is on the R2 overview page of the Cloudflare dashboard.",
        )
    middle = f".{jurisdiction}" if jurisdiction else ""
    return f"https://{account_id}{middle}{HOST_ENDING}"


def jurisdiction_of(endpoint: str) -> str:
    """Return the jurisdiction in an R2 address, or an empty text."""
    labels = _host(endpoint).removesuffix(HOST_ENDING).split(".")
    return labels[-1] if len(labels) > 1 else ""


def warn_about_keys(access_key_id: str, secret_access_key: str) -> None:
    """Warn if the pair does not look like one of R2: the API token is often pasted in its place."""
    if not ACCESS_KEY_ID.fullmatch(access_key_id):
        warnings.warn(
            f"The R2 access key id has {len(access_key_id)} characters; R2 makes ids of 32 hexadecimal digits. "
            "Check R2_ACCESS_KEY_ID: the API token itself is not the access key id.",
            stacklevel=3,
        )
    if not SECRET_ACCESS_KEY.fullmatch(secret_access_key):
        warnings.warn(
            f"The R2 secret access key has {len(secret_access_key)} characters; R2 makes secrets of 64 hexadecimal digits. "
            "Check R2_SECRET_ACCESS_KEY.",
            stacklevel=3,
        )


def check_public_url(public_url: str) -> None:
    """Refuse a public address that nobody can open.

    Raises:
        ConfigurationError: it is no http(s) address, or it is the S3 address of R2.
    """
    parts = urlsplit(public_url) if is_address(public_url) else SplitResult("", "", "", "", "")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"The public URL {without_query(public_url)!r} is not an http or https address.",
            hint="It should look like 'https://media.example.com'.",
        )
    if f".{parts.hostname}".endswith(HOST_ENDING):
        raise ConfigurationError(
            f"The public URL {without_query(public_url)!r} is R2's S3 address, which answers signed requests only: nobody could open the assets.",
            hint="Use the bucket's custom domain (or its r2.dev address for development) from its settings in the Cloudflare "
            "dashboard, or leave it out to get presigned URLs that end after at most 7 days.",
        )
