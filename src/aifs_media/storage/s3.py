"""Any S3 bucket. Cloudflare R2 is a preset of it."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from aifs_media._clock import SystemClock
from aifs_media._keys import public_url as join_public_url
from aifs_media._secrets import Secret, without_query
from aifs_media._urlguard import is_address
from aifs_media.errors import ConfigurationError, RequestRejectedError, StorageError
from aifs_media.records import ObjectURL, StoredObject
from aifs_media.storage import _r2
from aifs_media.storage._multipart import (
    MEBIBYTE,
    content_md5,
    etag_of,
    has_object,
    md5,
    part_size_for,
    refuse_stored,
    upload_in_parts,
)
from aifs_media.storage._object_key import check_object_key
from aifs_media.storage._pieces import Pieces
from aifs_media.storage._reader import BlockingReader
from aifs_media.storage._s3_calls import S3Calls
from aifs_media.storage._s3_check import check_bucket
from aifs_media.storage._s3_errors import Place, UploadGoneError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from aifs_media.protocols import ByteSource, Clock
    from aifs_media.records import Check

SINGLE_PUT_LIMIT = 32 * MEBIBYTE
# SigV4 allows no longer life of a presigned URL, R2 neither.
MAX_EXPIRES_IN = 7 * 24 * 3600
KEPT_FOR_EVER = "public, max-age=31536000, immutable"
MD5_ETAG = re.compile(r"[0-9a-f]{32}")


class S3Storage:
    """Assets in a bucket of any S3 server.

    A file of up to 32 MiB is written in one request. A larger one is written in equal parts of 8 MiB, three at a time, so that at
    most about 64 MiB of it are in memory. Each body carries its MD5, which the server checks, and the ETag is compared afterwards.

    A failed call is tried up to three times where that can help. Cancellation waits for running calls (30 s without an answer at
    the longest): a file in one request is then stored, and returned to the caller; an upload in parts is aborted.

    Args:
        bucket: its name. It must exist.
        access_key_id: the S3 key pair's id. AWS_* environment variables and AWS' own files are never read.
        secret_access_key: the pair's secret.
        endpoint: the server's address with scheme and port; None for AWS.
        region: "auto" suits R2 and most servers; AWS needs the bucket's own.
        session_token: the third part of temporary credentials.
        public_url: the address under which anybody can read the bucket, to which the key is appended; None gives presigned URLs.
        prefix: put before every key, with a `/` between.
        name: what the storage is called in assets and checks.
        ca_bundle: path of certificates to trust instead of the public ones.
        cache_control: the Cache-Control header of every object.
        upload_connections: how many calls run at a time per event loop.
        clock: where the present time comes from.

    Raises:
        ConfigurationError: a value is missing or cannot work.
    """

    def __init__(
        self,
        *,
        bucket: str,
        access_key_id: str,
        secret_access_key: str,
        endpoint: str | None = None,
        region: str = "auto",
        session_token: str | None = None,
        public_url: str | None = None,
        prefix: str = "",
        name: str = "s3",
        ca_bundle: str | None = None,
        cache_control: str = KEPT_FOR_EVER,
        upload_connections: int = 16,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.bucket = bucket
        self.endpoint = (endpoint or "").rstrip("/")
        self._public_url = public_url or ""
        self._prefix = prefix.strip("/")
        self._cache_control = cache_control
        self._clock = clock or SystemClock()
        settings = "R2" if name == "r2" or _r2.is_r2(self.endpoint) else "S3"
        values = {"BUCKET": bucket, "ACCESS_KEY_ID": access_key_id, "SECRET_ACCESS_KEY": secret_access_key}
        missing = [f"{settings}_{setting}" for setting, value in values.items() if not value]
        if missing:
            raise ConfigurationError("The bucket's settings are incomplete.", hint=f"Set {', '.join(missing)}.")
        _check_endpoint(self.endpoint, region, settings)
        if self._public_url:
            _r2.check_public_url(self._public_url)
        self._calls = S3Calls(
            place=Place(bucket=bucket, endpoint=self.endpoint, settings=settings),
            region=region,
            access_key_id=access_key_id,
            secret_access_key=Secret(secret_access_key),
            session_token=Secret(session_token) if session_token else None,
            ca_bundle=ca_bundle,
            connections=upload_connections,
            clock=self._clock,
        )

    @classmethod
    def r2(
        cls,
        *,
        bucket: str,
        access_key_id: str,
        secret_access_key: str,
        account_id: str = "",
        jurisdiction: str | None = None,
        endpoint: str | None = None,
        session_token: str | None = None,
        public_url: str | None = None,
        prefix: str = "",
        ca_bundle: str | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Return a storage for a Cloudflare R2 bucket.

        Args:
            bucket: its name.
            access_key_id: the id of an R2 API token's S3 pair (32 hexadecimal digits).
            secret_access_key: its secret (64 hexadecimal digits).
            account_id: the Cloudflare account.
            jurisdiction: "eu" or "fedramp" for a bucket that was created in one.
            endpoint: the whole address; wins over account and jurisdiction.
            session_token: the third part of temporary credentials.
            public_url: the bucket's custom domain, or r2.dev address.
            prefix: put before every key.
            ca_bundle: path of certificates to trust instead of the public ones.
            clock: where the present time comes from.

        Raises:
            ConfigurationError: a value is missing, or the public URL is the S3 address.
        """
        address = _r2.r2_endpoint(
            account_id=account_id, jurisdiction=jurisdiction or "", endpoint=endpoint or "", bucket=bucket
        )
        if _r2.is_r2(address) and access_key_id and secret_access_key:
            _r2.warn_about_keys(access_key_id, secret_access_key)
        return cls(
            bucket=bucket,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            endpoint=address,
            session_token=session_token,
            public_url=public_url,
            prefix=prefix,
            name="r2",
            ca_bundle=ca_bundle,
            clock=clock,
        )

    def __repr__(self) -> str:
        return f"S3Storage(name={self.name!r}, bucket={self.bucket!r}, endpoint={self.endpoint!r})"

    async def put(
        self, object_key: str, source: ByteSource, *, media_type: str, labels: Mapping[str, str]
    ) -> StoredObject:
        """Read the source to its end and write it as one object, replacing what was there.

        Raises:
            StorageError: the object could not be written. If it is `retryable` because answers were lost, the object may still
                appear: with the very same bytes.
        """
        key = self._key(object_key)
        parameters: dict[str, Any] = {
            "ContentType": media_type,
            "CacheControl": self._cache_control,
            "Metadata": dict(labels),
        }
        action = f"Writing {object_key!r} to the bucket {self.bucket!r}"
        pieces = Pieces(source)
        in_parts = (source.length or 0) > SINGLE_PUT_LIMIT or await pieces.fill(SINGLE_PUT_LIMIT + 1)
        if in_parts:
            size = part_size_for(source.length)
            etag = await upload_in_parts(self._calls, key, pieces, part_size=size, parameters=parameters, action=action)
        else:
            body = await pieces.take(SINGLE_PUT_LIMIT)
            etag = await self._put_whole(key, body, parameters, action=action)
        return StoredObject(object_key=object_key, size=pieces.total, etag=etag)

    async def url(self, object_key: str, *, expires_in: float | None = None) -> ObjectURL:
        """Return a lasting URL if there is a public one and no `expires_in`, else a presigned one.

        Args:
            object_key: the object; whether it is there is not asked.
            expires_in: seconds, up to 604,800 (7 days), which is also the default where no public URL is set. A URL signed with a
                session token ends with the token.

        Raises:
            RequestRejectedError: `expires_in` is not within 1 second and 7 days.
        """
        key = self._key(object_key)
        if self._public_url and expires_in is None:
            return ObjectURL(url=join_public_url(self._public_url, key))
        seconds = MAX_EXPIRES_IN if expires_in is None else expires_in
        if not 1 <= seconds <= MAX_EXPIRES_IN:
            raise RequestRejectedError(
                f"A presigned URL cannot be valid for {expires_in!r} seconds.",
                hint=f"Ask for 1 to {MAX_EXPIRES_IN} (7 days), or set the bucket's public URL to get lasting ones.",
            )
        whole = math.floor(seconds)
        # Taken before signing, so that the URL lives at least as long as it is said to.
        expires_at: datetime = self._clock.now() + timedelta(seconds=whole)
        return ObjectURL(url=await self._calls.presign(key, expires_in=whole), expires_at=expires_at)

    async def open(self, object_key: str) -> ByteSource:
        """Open an object. Raises StorageError if it is not there."""
        action = f"Reading {object_key!r} from the bucket {self.bucket!r}"
        answer = await self._calls.call("get_object", {"Key": self._key(object_key)}, action=action, kind=StorageError)
        run = partial(self._calls.run, action=action, kind=StorageError)
        return BlockingReader(answer["Body"], run=run, length=answer.get("ContentLength"))

    async def delete(self, object_key: str) -> None:
        """Remove the object; one that is not there is fine."""
        action = f"Deleting {object_key!r} from the bucket {self.bucket!r}"
        await self._calls.call("delete_object", {"Key": self._key(object_key)}, action=action, kind=StorageError)

    async def discard_partial(self, object_key: str) -> None:
        """Abort open multipart uploads of exactly that key, which a crash left behind."""
        key = self._key(object_key)
        action = f"Aborting old uploads of {object_key!r} in the bucket {self.bucket!r}"
        position: dict[str, str] = {}
        while True:
            page = await self._calls.call(
                "list_multipart_uploads", {"Prefix": key, **position}, action=action, kind=StorageError
            )
            for upload in page.get("Uploads", []):
                if upload["Key"] == key:
                    await self._abort(key, upload["UploadId"], action=action)
            if not page.get("IsTruncated"):
                return
            position = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page.get("NextUploadIdMarker", "")}

    async def check(self) -> Sequence[Check]:
        """Find the bucket, write, read back and delete a small object, and compare clocks."""
        return await check_bucket(self._calls, name=self.name, prefix=self._prefix)

    async def aclose(self) -> None:
        """Close connections. The storage can be used again afterwards."""
        await self._calls.close()

    def _key(self, object_key: str) -> str:
        return check_object_key(object_key, prefix=self._prefix)

    async def _put_whole(self, key: str, body: bytearray, parameters: dict[str, Any], *, action: str) -> str:
        digest = await self._calls.threads.run(md5, body)
        request = {"Key": key, "Body": body, "ContentMD5": content_md5(digest), **parameters}
        try:
            answer = await self._calls.call("put_object", request, action=action)
        except StorageError as error:
            # The answer to an accepted request may have been lost.
            if error.retryable and await has_object(self._calls, key, digest.hex()):
                return digest.hex()
            raise
        etag = etag_of(answer)
        # Storages that encrypt with a key of the customer's make tags that are no digests; the Content-MD5 was checked anyway.
        comparable = MD5_ETAG.fullmatch(etag) and answer.get("ServerSideEncryption", "AES256") == "AES256"
        if comparable and etag != digest.hex():
            await refuse_stored(self._calls, key, action=action)
        return etag

    async def _abort(self, key: str, upload_id: str, *, action: str) -> None:
        try:
            await self._calls.call(
                "abort_multipart_upload", {"Key": key, "UploadId": upload_id}, action=action, kind=StorageError
            )
        except UploadGoneError:
            return


def _check_endpoint(endpoint: str, region: str, settings: str) -> None:
    if endpoint and not (re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", endpoint) and is_address(endpoint)):
        raise ConfigurationError(
            f"The endpoint {without_query(endpoint)!r} is not an http or https address.",
            hint=f"Set {settings}_ENDPOINT to something like 'https://s3.example.com', without key, query or fragment.",
        )
    if not endpoint and region == "auto":
        raise ConfigurationError(
            "A bucket at AWS needs its region, and any other server its endpoint.",
            hint=f"Set {settings}_REGION, or {settings}_ENDPOINT.",
        )
