"""S3 and R2 when things go wrong: what each refusal means, what is tried again, and that no upload stays open."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tests.servers.r2_shim import Fault

from aifs_media.errors import BucketNotFoundError, StorageCredentialError, StorageError, UploadError
from aifs_media.storage.s3 import S3Storage
from aifs_media.testing.sources import MEBIBYTE, Source, StuckSource, pattern, read_all

if TYPE_CHECKING:
    from tests.servers.r2_shim import R2Shim
    from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.anyio, pytest.mark.s3]

LARGE = pattern(33 * MEBIBYTE)
SECRET = "c0ffee" * 10 + "beef"


async def _put(storage: S3Storage, key: str, data: bytes = b"picture") -> None:
    await storage.put(key, Source(data, step=MEBIBYTE), media_type="image/png", labels={})


def _open_uploads(server: S3Server, key: str) -> list[str]:
    client = server.client()
    try:
        page = client.list_multipart_uploads(Bucket=server.bucket, Prefix=key)
    finally:
        client.close()
    return [upload["Key"] for upload in page.get("Uploads", [])]


def _exists(server: S3Server, key: str) -> bool:
    client = server.client()
    try:
        return bool(client.list_objects_v2(Bucket=server.bucket, Prefix=key)["KeyCount"])
    finally:
        client.close()


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"secret_access_key": SECRET}, StorageCredentialError, "Check S3_SECRET_ACCESS_KEY"),
        ({"access_key_id": "unknown"}, StorageCredentialError, "does not know the access key id"),
        ({"bucket": "missing"}, BucketNotFoundError, "no bucket 'missing'"),
        ({"ca_bundle": None}, UploadError, "ca_bundle"),
        ({"endpoint": "https://127.0.0.1:9"}, UploadError, "127.0.0.1:9 cannot be reached"),
        ({"endpoint": "https://127.0.0.1:9", "bucket": "UPPER CASE!"}, UploadError, "not valid S3"),
    ],
)
async def test_wrong_settings_are_told_apart(
    s3_server: S3Server, unique_key: str, changes: dict[str, Any], kind: type[StorageError], told: str
) -> None:
    """A wrong secret, key id, bucket, authority and address each have their own error and next step."""
    settings: dict[str, Any] = {
        "bucket": s3_server.bucket,
        "endpoint": s3_server.https,
        "access_key_id": s3_server.keys.access_key_id,
        "secret_access_key": s3_server.keys.secret_access_key,
        "ca_bundle": s3_server.certificates.authority,
    }
    storage = S3Storage(**{**settings, **changes})
    with pytest.raises(kind, match=told) as caught:
        await _put(storage, unique_key)
    await storage.aclose()
    assert repr(unique_key) in str(caught.value)
    error: BaseException | None = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "told"),
    [
        (
            400,
            "InvalidArgument",
            "Credential access key has length 40, should be 32",
            StorageCredentialError,
            "R2_ACCESS_KEY_ID",
        ),
        (401, "Unauthorized", "", StorageCredentialError, "R2_SECRET_ACCESS_KEY"),
        (403, "AccessDenied", "Access Denied", StorageCredentialError, "R2_JURISDICTION to eu or fedramp"),
        (403, "NotEntitled", "", StorageCredentialError, "R2 is not enabled"),
        (403, "InsufficientStorageSpace", "", UploadError, "has reached its quota"),
        (403, "RequestTimeTooSkewed", "", UploadError, "clock is wrong by"),
        (404, "NoSuchBucket", "", BucketNotFoundError, "R2_JURISDICTION to eu or fedramp"),
        (400, "InvalidRegionName", "", UploadError, "Leave the region out for R2"),
        (400, "MetadataTooLarge", "", UploadError, "Shorten the tags"),
        (418, "NewCode", "tea", UploadError, "answered 418 NewCode \\('tea'\\)"),
    ],
)
async def test_refusals_are_not_repeated(
    r2: S3Storage,
    r2_shim: R2Shim,
    unique_key: str,
    status: int,
    code: str,
    message: str,
    kind: type[StorageError],
    told: str,
) -> None:
    """A refusal that will not change is asked for once and told with what to do and the request's id."""
    r2_shim.faults.append(Fault("put_object", status=status, code=code, message=message, times=9))
    with pytest.raises(kind, match=told) as caught:
        await _put(r2, unique_key)
    assert r2_shim.count("put_object") == 1
    assert caught.value.request_id == "request-of-the-shim"
    assert not caught.value.retryable


async def test_a_server_that_repeats_keys_is_not_repeated(r2: S3Storage, r2_shim: R2Shim, unique_key: str) -> None:
    """Some servers repeat what was signed."""
    secret = r2._calls._secret_access_key.reveal()
    message = f"the token {secret} does not sign https://a.test/b?X-Amz-Signature=canary"
    r2_shim.faults.append(Fault("put_object", status=403, code="SignatureDoesNotMatch", message=message))
    with pytest.raises(StorageCredentialError, match=r"the token \*\*\* does not sign https://a\.test/b'") as caught:
        await _put(r2, unique_key)
    assert "canary" not in str(caught.value)


TRANSIENT = [
    (429, "TooManyRequests"),
    (500, "InternalError"),
    (503, "ServiceUnavailable"),
    (503, "SlowDown"),
    (522, ""),
    (520, ""),
    (400, "BadDigest"),
    (400, "IncompleteBody"),
    (400, "ClientDisconnect"),
]


@pytest.mark.parametrize(("status", "code"), TRANSIENT)
async def test_passing_troubles_are_overcome(
    r2: S3Storage, r2_shim: R2Shim, unique_key: str, status: int, code: str
) -> None:
    """A trouble that passes within three attempts is not seen by the caller."""
    r2_shim.faults.append(Fault("put_object", status=status, code=code, times=2))
    await _put(r2, unique_key)
    assert r2_shim.count("put_object") == 3
    assert await read_all(await r2.open(unique_key)) == b"picture"


@pytest.mark.parametrize("operation", ["create_multipart_upload", "upload_part", "complete_multipart_upload"])
@pytest.mark.parametrize(("status", "code"), [(503, "ServiceUnavailable"), (522, "")])
async def test_passing_troubles_in_parts(
    r2: S3Storage, r2_shim: R2Shim, unique_key: str, operation: str, status: int, code: str
) -> None:
    """Each call of an upload in parts is repeated by itself."""
    r2_shim.faults.append(Fault(operation, status=status, code=code, times=2))
    await _put(r2, unique_key, LARGE)
    assert r2_shim.count(operation) == {"upload_part": 5}.get(operation, 1) + 2
    assert await read_all(await r2.open(unique_key)) == LARGE


@pytest.mark.parametrize("drop", ["before", "after"])
@pytest.mark.parametrize("operation", ["put_object", "upload_part", "complete_multipart_upload"])
async def test_broken_connections(r2: S3Storage, r2_shim: R2Shim, unique_key: str, operation: str, drop: Any) -> None:
    """A connection that breaks before or after the request arrived is made anew."""
    r2_shim.faults.append(Fault(operation, drop=drop))
    await _put(r2, unique_key, b"picture" if operation == "put_object" else LARGE)
    assert len(await read_all(await r2.open(unique_key))) in {7, len(LARGE)}


@pytest.mark.parametrize("operation", ["put_object", "complete_multipart_upload"])
async def test_lost_answers_of_accepted_writes(
    r2: S3Storage, r2_shim: R2Shim, s3_server: S3Server, unique_key: str, operation: str
) -> None:
    """If every answer is lost but the object is there with the right ETag, the put has succeeded."""
    r2_shim.faults.append(Fault(operation, drop="after", times=3))
    await _put(r2, unique_key, b"picture" if operation == "put_object" else LARGE)
    assert r2_shim.count("head_object") == 1
    assert _open_uploads(s3_server, unique_key) == []


@pytest.mark.parametrize(
    ("operation", "data", "etag"),
    [("put_object", b"picture", "0" * 32), ("complete_multipart_upload", LARGE, f"{'0' * 32}-5")],
)
async def test_other_bytes_than_were_sent(
    r2: S3Storage, r2_shim: R2Shim, s3_server: S3Server, unique_key: str, operation: str, data: bytes, etag: str
) -> None:
    """A tag that is not that of the bytes sent means that other bytes were stored: they are removed, and the error says so."""
    r2_shim.faults.append(Fault(operation, etag=etag))
    with pytest.raises(UploadError, match="not that of the bytes sent") as caught:
        await _put(r2, unique_key, data)
    assert caught.value.retryable
    assert not _exists(s3_server, unique_key)


@pytest.mark.parametrize(("operation", "data"), [("put_object", b"picture"), ("upload_part", LARGE)])
async def test_lasting_trouble(
    r2: S3Storage, r2_shim: R2Shim, s3_server: S3Server, unique_key: str, operation: str, data: bytes
) -> None:
    """After three attempts the error says that a later try may succeed, and nothing is left."""
    r2_shim.faults.append(Fault(operation, status=503, code="ServiceUnavailable", times=99))
    with pytest.raises(UploadError, match="no more requests now") as caught:
        await _put(r2, unique_key, data)
    assert caught.value.retryable
    assert r2_shim.faults[0].times < 99 - 2
    assert not _exists(s3_server, unique_key)
    assert _open_uploads(s3_server, unique_key) == []


@pytest.mark.parametrize("operation", ["upload_part", "complete_multipart_upload"])
async def test_upload_that_is_gone(r2: S3Storage, r2_shim: R2Shim, unique_key: str, operation: str) -> None:
    """An upload that somebody aborted meanwhile has to be started again as a whole."""
    r2_shim.faults.append(Fault(operation, status=404, code="NoSuchUpload", times=1))
    with pytest.raises(UploadError, match="Start the whole upload again") as caught:
        await _put(r2, unique_key, LARGE)
    assert caught.value.retryable
    await r2.discard_partial(unique_key)


async def test_source_that_fails(r2: S3Storage, s3_server: S3Server, unique_key: str) -> None:
    """A bad file found after four parts were sent: nothing visible, no upload open."""
    source = Source(LARGE + LARGE, step=MEBIBYTE, failure=ValueError("bad file"))
    with pytest.raises(ValueError, match="bad file"):
        await r2.put(unique_key, source, media_type="video/mp4", labels={})
    assert not _exists(s3_server, unique_key)
    assert _open_uploads(s3_server, unique_key) == []


async def test_failing_abort_is_told(r2: S3Storage, r2_shim: R2Shim, unique_key: str) -> None:
    """If even the abort fails, the first error is raised and notes what stays open."""
    r2_shim.faults.append(Fault("abort_multipart_upload", status=403, code="AccessDenied"))
    with pytest.raises(ValueError, match="bad file") as caught:
        await r2.put(unique_key, Source(LARGE, failure=ValueError("bad file")), media_type="video/mp4", labels={})
    assert "stays open in the bucket" in "".join(caught.value.__notes__)
    await r2.discard_partial(unique_key)


async def test_cancelled_between_parts(r2: S3Storage, r2_shim: R2Shim, s3_server: S3Server, unique_key: str) -> None:
    """Cancellation while the source is slow aborts the upload."""
    source = StuckSource(LARGE, step=MEBIBYTE)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: r2.put(unique_key, source, media_type="video/mp4", labels={}))
        await source.stuck.wait()
        group.cancel_scope.cancel()
    assert r2_shim.count("create_multipart_upload") == r2_shim.count("abort_multipart_upload") == 1
    assert _open_uploads(s3_server, unique_key) == []


async def test_cancelled_within_a_part(r2: S3Storage, r2_shim: R2Shim, s3_server: S3Server, unique_key: str) -> None:
    """Cancellation waits for running calls, then aborts: a part that arrives after the abort would stay."""
    fault = Fault("upload_part", hold=threading.Event())
    r2_shim.faults.append(fault)
    async with anyio.create_task_group() as group:
        group.start_soon(_put, r2, unique_key, LARGE)
        await anyio.to_thread.run_sync(fault.reached.wait, 30)
        group.cancel_scope.cancel()
        assert fault.hold is not None
        fault.hold.set()
    assert [request.operation for request in r2_shim.requests][-1] == "abort_multipart_upload"
    assert r2_shim.count("abort_multipart_upload") == 1
    assert not _exists(s3_server, unique_key)
    assert _open_uploads(s3_server, unique_key) == []


async def test_cancelled_small_put_is_finished(r2: S3Storage, r2_shim: R2Shim, unique_key: str) -> None:
    """A request that is under way ends, and the caller gets its result before the cancellation."""
    fault = Fault("put_object", hold=threading.Event())
    r2_shim.faults.append(fault)
    results: list[Any] = []

    async def put() -> None:
        results.append(await r2.put(unique_key, Source(b"picture"), media_type="image/png", labels={}))

    async with anyio.create_task_group() as group:
        group.start_soon(put)
        await anyio.to_thread.run_sync(fault.reached.wait, 30)
        group.cancel_scope.cancel()
        assert fault.hold is not None
        fault.hold.set()
    assert [result.object_key for result in results] == [unique_key]
    assert await read_all(await r2.open(unique_key)) == b"picture"


async def test_same_key_too_fast(r2: S3Storage, r2_shim: R2Shim, unique_key: str) -> None:
    """R2 takes one write a second per key; what stays refused is told as something to try later."""
    r2_shim.limit_same_key = True
    await _put(r2, unique_key)
    with pytest.raises(UploadError, match="no more requests now") as caught:
        await _put(r2, unique_key, b"other")
    assert caught.value.retryable
