"""A real S3 server behind a line that breaks: at any byte, in either direction, nothing broken is ever visible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tests.servers.tcp_proxy import REFUSED, Script, TcpProxy

from aifs_media.errors import StorageError
from aifs_media.storage import _s3_calls
from aifs_media.storage.s3 import S3Storage
from aifs_media.testing.sources import MEBIBYTE, Source, pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.s3 import S3Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.s3,
    # A TLS connection that is reset before it stands is left to the garbage collector by what boto3 stands on.
    pytest.mark.filterwarnings("ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]

SMALL = pattern(200_000)
LARGE = pattern(33 * MEBIBYTE)
# Bytes on the line: within the TLS handshake, within the request's head, early and late in its body.
SENT = (100, 2_500, 20_000, 150_000)
RECEIVED = (1, 700)
ANSWER_LIMIT = 3.0


def longer(script: Script) -> Any:
    """A case that runs with the longer proofs."""
    return pytest.param(script, marks=pytest.mark.slow)


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[TcpProxy]:
    """A line to the server's TLS port."""
    with TcpProxy(s3_server.https).running() as running:
        yield running


@pytest.fixture
def line(s3_server: S3Server, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch) -> S3Storage:
    """A storage at the end of that line, which waits some seconds for an answer."""
    monkeypatch.setattr(_s3_calls, "READ_TIMEOUT", ANSWER_LIMIT)
    return S3Storage(
        bucket=s3_server.bucket,
        endpoint=f"https://{proxy.host}",
        access_key_id=s3_server.keys.access_key_id,
        secret_access_key=s3_server.keys.secret_access_key,
        ca_bundle=s3_server.certificates.authority,
    )


async def _put_through(line: S3Storage, server: S3Server, key: str, data: bytes) -> StorageError | None:
    """Put, and make sure that what is visible afterwards is whole and that no upload is open."""
    failure: StorageError | None = None
    try:
        with anyio.fail_after(40):
            await line.put(key, Source(data, step=MEBIBYTE), media_type="video/mp4", labels={})
    except StorageError as error:
        failure = error
    client = server.client()
    try:
        listed = client.list_objects_v2(Bucket=server.bucket, Prefix=key).get("Contents", [])
        stored = [client.get_object(Bucket=server.bucket, Key=item["Key"])["Body"].read() for item in listed]
        uploads = client.list_multipart_uploads(Bucket=server.bucket, Prefix=key).get("Uploads", [])
    finally:
        client.close()
    await line.aclose()
    assert stored == [data] or (failure is not None and stored == [])
    assert uploads == []
    return failure


@pytest.mark.parametrize(
    "script",
    [
        REFUSED,
        *(Script(sent=sent) for sent in SENT),
        *(longer(Script(sent=sent, then="close")) for sent in SENT),
        *(Script(received=received) for received in RECEIVED),
        Script(sent=20_000, then="stall"),
        longer(Script(received=700, then="stall")),
        longer(Script(piece=500, pause=0.01)),
    ],
    ids=str,
)
async def test_a_small_put_outlives_two_breaks(
    line: S3Storage, proxy: TcpProxy, s3_server: S3Server, unique_key: str, script: Script
) -> None:
    """The first two connections break at that byte; the third attempt stores the file."""
    proxy.scripts += [script] * 2
    assert await _put_through(line, s3_server, unique_key, SMALL) is None


@pytest.mark.parametrize(
    "script", [REFUSED, Script(sent=20_000), Script(received=700), longer(Script(sent=20_000, then="stall"))], ids=str
)
async def test_a_small_put_that_never_gets_through(
    line: S3Storage, proxy: TcpProxy, s3_server: S3Server, unique_key: str, script: Script
) -> None:
    """Every connection breaks: a typed error says that a later try may succeed."""
    proxy.scripts += [script] * 9
    failure = await _put_through(line, s3_server, unique_key, SMALL)
    assert failure is not None
    assert failure.retryable


@pytest.mark.parametrize(
    "script",
    [
        Script(sent=3 * MEBIBYTE),
        longer(Script(sent=2_500)),
        longer(Script(sent=12 * MEBIBYTE, then="close")),
        longer(Script(received=700)),
        longer(Script(sent=3 * MEBIBYTE, then="stall")),
    ],
    ids=str,
)
async def test_a_large_put_outlives_a_break(
    line: S3Storage, proxy: TcpProxy, s3_server: S3Server, unique_key: str, script: Script
) -> None:
    """One of its connections breaks somewhere in its parts."""
    proxy.scripts += [Script(), script]
    assert await _put_through(line, s3_server, unique_key, LARGE) is None


async def test_a_large_put_whose_line_breaks_for_some_time(
    line: S3Storage, proxy: TcpProxy, s3_server: S3Server, unique_key: str
) -> None:
    """Too many breaks for its parts: a typed error, and the upload is aborted over the line that works again."""
    proxy.scripts += [Script(sent=3 * MEBIBYTE), *[Script(sent=MEBIBYTE)] * 8]
    failure = await _put_through(line, s3_server, unique_key, LARGE)
    assert failure is not None
    assert failure.retryable
