"""S3 and R2: what goes over the wire, URLs, leftovers, two storages side by side, and the health check."""

from __future__ import annotations

import base64
import hashlib
import io
import pickle
import ssl
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tests.servers.r2_shim import Fault

from aifs_media.errors import ConfigurationError, RequestRejectedError, StorageCredentialError, StorageError
from aifs_media.protocols import Checkable
from aifs_media.storage.s3 import S3Storage
from aifs_media.testing.sources import MEBIBYTE, Source, pattern, read_all

if TYPE_CHECKING:
    from tests.servers.r2_shim import R2Shim
    from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.anyio, pytest.mark.s3]

SECRET = "c0ffee" * 10 + "beef"


def _storage(server: S3Server, **changes: Any) -> S3Storage:
    settings: dict[str, Any] = {
        "bucket": server.bucket,
        "endpoint": server.https,
        "access_key_id": server.keys.access_key_id,
        "secret_access_key": server.keys.secret_access_key,
        "ca_bundle": server.certificates.authority,
    }
    return S3Storage(**{**settings, **changes})


def _fetch(url: str, server: S3Server) -> tuple[bytes, dict[str, str]]:
    context = ssl.create_default_context(cafile=server.certificates.authority)
    with urllib.request.urlopen(url, context=context) as response:
        return response.read(), {name.lower(): value for name, value in response.headers.items()}


async def test_small_put_on_the_wire(r2: S3Storage, r2_shim: R2Shim, unique_key: str) -> None:
    """One request with a length, a digest and the headers that make it servable; nothing that R2 refuses."""
    await r2.put(unique_key, Source(b"picture"), media_type="image/png", labels={"tenant": "acme"})
    (request,) = r2_shim.requests
    assert request.operation == "put_object"
    headers = request.headers
    assert headers["content-length"] == "7"
    assert headers["content-md5"] == base64.b64encode(hashlib.md5(b"picture").digest()).decode()
    assert headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert headers["content-type"] == "image/png"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["x-amz-meta-tenant"] == "acme"
    assert "/auto/s3/aws4_request" in headers["authorization"]
    assert not [name for name in headers if "checksum" in name or name in {"expect", "transfer-encoding", "x-amz-acl"}]


async def test_large_put_on_the_wire(r2: S3Storage, r2_shim: R2Shim, unique_key: str) -> None:
    """Equal parts, each with a digest; the upload itself carries type, cache and labels."""
    size = 33 * MEBIBYTE
    await r2.put(unique_key, Source(pattern(size)), media_type="video/mp4", labels={"tenant": "acme"})
    created = next(request for request in r2_shim.requests if request.operation == "create_multipart_upload")
    assert created.headers["content-type"] == "video/mp4"
    assert created.headers["x-amz-meta-tenant"] == "acme"
    parts = [request for request in r2_shim.requests if request.operation == "upload_part"]
    assert sorted(part.size for part in parts) == [MEBIBYTE, *[8 * MEBIBYTE] * 4]
    assert all(part.headers["content-md5"] for part in parts)
    assert r2_shim.count("put_object") == 0
    assert r2_shim.count("head_object") == 0


async def test_http_endpoint_signs_the_body(s3_server: S3Server, unique_key: str) -> None:
    """Without TLS the body's hash is signed, and all works the same."""
    storage = _storage(s3_server, endpoint=s3_server.http)
    stored = await storage.put(unique_key, Source(pattern(33 * MEBIBYTE)), media_type="video/mp4", labels={})
    assert stored.size == 33 * MEBIBYTE
    await storage.aclose()


async def test_presigned_url_opens(s3: S3Storage, s3_server: S3Server, unique_key: str) -> None:
    """Without a public URL anybody with the presigned one can fetch the object, with its type, until it ends."""
    key = f"{unique_key}/Über uns +1 #2.png"
    await s3.put(key, Source(b"picture"), media_type="image/png", labels={"tenant": "acme"})
    before = datetime.now(UTC)
    url = await s3.url(key)
    assert url.expires_at is not None
    assert timedelta(days=7) <= url.expires_at - before < timedelta(days=7, minutes=1)
    body, headers = await anyio.to_thread.run_sync(_fetch, url.url, s3_server)
    assert body == b"picture"
    assert headers["content-type"] == "image/png"
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert headers["x-amz-meta-tenant"] == "acme"


@pytest.mark.parametrize("expires_in", [0, 0.5, -1, 604_801, float("nan")])
async def test_impossible_expiry_is_refused(s3: S3Storage, expires_in: float) -> None:
    """A presigned URL lives for 1 second to 7 days."""
    with pytest.raises(RequestRejectedError, match="604800"):
        await s3.url("a.png", expires_in=expires_in)


async def test_public_url_lasts(s3_server: S3Server) -> None:
    """With a public URL, URLs last, unless one is asked for that ends."""
    storage = _storage(s3_server, public_url="https://media.example.com/", prefix="/brand/")
    lasting = await storage.url("2026/a b+ü.png")
    assert lasting.url == "https://media.example.com/brand/2026/a%20b%2B%C3%BC.png"
    assert lasting.expires_at is None
    ending = await storage.url("2026/a.png", expires_in=60)
    assert "/assets/brand/2026/a.png?" in ending.url
    assert "X-Amz-Expires=60" in ending.url
    assert ending.expires_at is not None


async def test_prefix_is_the_storages_own(s3_server: S3Server, unique_key: str) -> None:
    """The prefix is put before keys in the bucket and is no part of the object key."""
    storage = _storage(s3_server, prefix="brand/x")
    stored = await storage.put(unique_key, Source(b"x"), media_type="image/png", labels={})
    assert stored.object_key == unique_key
    client = s3_server.client()
    assert client.head_object(Bucket=s3_server.bucket, Key=f"brand/x/{unique_key}")["ContentLength"] == 1
    client.close()
    assert await read_all(await storage.open(unique_key)) == b"x"
    await storage.aclose()


async def test_leftovers_of_exactly_one_key(s3: S3Storage, s3_server: S3Server, unique_key: str) -> None:
    """Open uploads of the key go, those of keys that begin alike stay."""
    client = s3_server.client()
    others = [f"{unique_key}0", f"{unique_key}/0"]
    for key in (unique_key, unique_key, *others):
        client.create_multipart_upload(Bucket=s3_server.bucket, Key=key)
    await s3.discard_partial(unique_key)
    left = client.list_multipart_uploads(Bucket=s3_server.bucket, Prefix=unique_key)["Uploads"]
    assert sorted(upload["Key"] for upload in left) == sorted(others)
    for upload in left:
        client.abort_multipart_upload(Bucket=s3_server.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    client.close()


async def test_two_storages_side_by_side(s3_server: S3Server, unique_key: str) -> None:
    """Two storages with different keys and buckets, used at once, never use the other's."""
    keys = s3_server.other_keys
    other = _storage(
        s3_server,
        bucket=s3_server.other_bucket,
        access_key_id=keys.access_key_id,
        secret_access_key=keys.secret_access_key,
    )
    owner = _storage(s3_server)

    async def put(storage: S3Storage, data: bytes) -> None:
        for number in range(5):
            await storage.put(f"{unique_key}/{number}", Source(data), media_type="image/png", labels={})

    async with anyio.create_task_group() as group:
        group.start_soon(put, owner, b"owner")
        group.start_soon(put, other, b"other")
    for number in range(5):
        assert await read_all(await owner.open(f"{unique_key}/{number}")) == b"owner"
        assert await read_all(await other.open(f"{unique_key}/{number}")) == b"other"
    trespasser = _storage(s3_server, access_key_id=keys.access_key_id, secret_access_key=keys.secret_access_key)
    with pytest.raises(StorageCredentialError, match="may not do this in the bucket 'assets'"):
        await trespasser.put(unique_key, Source(b"x"), media_type="image/png", labels={})
    for storage in (owner, other, trespasser):
        await storage.aclose()


async def test_environment_of_aws_is_not_read(
    s3_server: S3Server, unique_key: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Keys, profile, region, endpoint and files of an AWS account change nothing."""
    configuration = tmp_path / "config"
    configuration.write_text("[profile other]\nregion = eu-west-1\ns3 =\n  addressing_style = virtual\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIAOTHER",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_PROFILE": "missing",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_CONFIG_FILE": str(configuration),
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
    }.items():
        monkeypatch.setenv(name, value)
    storage = _storage(s3_server)
    await storage.put(unique_key, Source(b"x"), media_type="image/png", labels={})
    assert await read_all(await storage.open(unique_key)) == b"x"
    await storage.aclose()


async def test_check_finds_nothing_wrong(r2: S3Storage, r2_shim: R2Shim, s3_server: S3Server) -> None:
    """A bucket that works: found, written, read, clock right; nothing stays."""
    assert isinstance(r2, Checkable)
    checks = await r2.check()
    assert [(check.name, check.ok) for check in checks] == [("r2 bucket", True), ("r2 write", True), ("r2 clock", True)]
    client = s3_server.client()
    assert client.list_objects_v2(Bucket=s3_server.bucket, Prefix="_aifs-media-check/")["KeyCount"] == 0
    client.close()


async def test_check_tells_reasons(s3_server: S3Server, r2: S3Storage, r2_shim: R2Shim) -> None:
    """A wrong secret, a missing bucket and a wrong clock are findings with hints, never exceptions."""
    wrong = _storage(s3_server, secret_access_key=SECRET)
    assert [check.hint[:28] for check in await wrong.check()] == ["Check S3_SECRET_ACCESS_KEY. "] * 2
    missing = _storage(s3_server, bucket="missing")
    checks = await missing.check()
    assert all(not check.ok and "S3_BUCKET" in check.hint for check in checks)
    for storage in (wrong, missing):
        await storage.aclose()
    r2_shim.faults.append(Fault("head_bucket", status=403, code="x", times=1))
    skewed = {"status": 403, "code": "RequestTimeTooSkewed", "clock_offset": -3600.0}
    r2_shim.faults += [Fault("get_bucket", **skewed), Fault("put_object", **skewed)]
    checks = await r2.check()
    assert all(not check.ok and "wrong by 360" in check.message and "Set the clock" in check.hint for check in checks)


async def test_read_that_breaks_off(s3: S3Storage, s3_server: S3Server, unique_key: str) -> None:
    """A reader can be closed before its end."""
    await s3.put(unique_key, Source(pattern(3 * MEBIBYTE)), media_type="video/mp4", labels={})
    source = await s3.open(unique_key)
    assert source.length == 3 * MEBIBYTE
    assert len(await source.read()) == MEBIBYTE
    await source.aclose()


def test_secrets_stay_inside(s3_server: S3Server) -> None:
    """Neither the representation nor a pickle shows the secret."""
    storage = _storage(s3_server, secret_access_key=SECRET, session_token="token-of-a-test")
    shown = f"{storage!r} {vars(storage)!r} {vars(storage._calls)!r}"
    assert SECRET not in shown
    assert "token-of-a-test" not in shown
    with pytest.raises(TypeError):
        pickle.dumps(storage)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"bucket": ""}, "S3_BUCKET"),
        ({"access_key_id": "", "secret_access_key": ""}, "S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY"),
        ({"endpoint": "s3.example.com"}, "https://s3.example.com"),
        ({"endpoint": "https://user:password@s3.example.com"}, "without key"),
        ({"endpoint": None}, "S3_REGION"),
        ({"public_url": "media.example.com"}, "https://media.example.com"),
    ],
)
def test_settings_that_cannot_work(changes: dict[str, Any], hint: str) -> None:
    """What is missing or cannot work is told at once, without any request."""
    settings = {
        "bucket": "b",
        "endpoint": "https://s3.example.com",
        "access_key_id": "k",
        "secret_access_key": "canary-secret-of-a-test",
    }
    with pytest.raises(ConfigurationError, match=hint):
        S3Storage(**{**settings, **changes})


async def test_deleting_is_a_storage_error_where_refused(r2: S3Storage, r2_shim: R2Shim, unique_key: str) -> None:
    """A refusal to read or delete is no UploadError."""
    r2_shim.faults.append(Fault("delete_object", status=400, code="InvalidRequest"))
    with pytest.raises(StorageError, match="the storage answered 400 InvalidRequest") as caught:
        await r2.delete(unique_key)
    assert type(caught.value) is StorageError


async def test_no_body_waits_for_an_interim_answer(r2: S3Storage, r2_shim: R2Shim, unique_key: str) -> None:
    """Not even for a file object, to which botocore adds an Expect header, is "100 Continue" waited for."""
    body = {"Key": unique_key, "Body": io.BytesIO(b"picture"), "ContentLength": 7}
    await r2._calls.call("put_object", body, action="Writing a file object")
    assert "expect" not in r2_shim.requests[0].headers


async def test_address_of_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint the region's own at AWS is used, whatever the environment says."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    storage = S3Storage(
        bucket="assets", region="eu-west-1", access_key_id="k", secret_access_key="canary-secret-of-a-test"
    )
    url = (await storage.url("a.png")).url
    assert url.startswith("https://s3.eu-west-1.amazonaws.com/assets/a.png?")
