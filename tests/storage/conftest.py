"""The storages under test. The S3 ones live as long as the session: their clients must survive one event loop after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aifs_media.storage.local import LocalStorage
from aifs_media.storage.memory import MemoryStorage
from aifs_media.storage.s3 import S3Storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.servers.r2_shim import R2Shim
    from tests.servers.s3 import S3Server

    from aifs_media.protocols import Storage


@pytest.fixture(scope="session")
def _plain_s3(s3_server: S3Server) -> S3Storage:
    return S3Storage(
        bucket=s3_server.bucket,
        endpoint=s3_server.https,
        access_key_id=s3_server.keys.access_key_id,
        secret_access_key=s3_server.keys.secret_access_key,
        ca_bundle=s3_server.certificates.authority,
    )


@pytest.fixture(scope="session")
def _strict_r2(s3_server: S3Server, _running_r2_shim: R2Shim) -> S3Storage:
    return S3Storage.r2(
        bucket=s3_server.bucket,
        endpoint=_running_r2_shim.endpoint,
        access_key_id=s3_server.keys.access_key_id,
        secret_access_key=s3_server.keys.secret_access_key,
        ca_bundle=s3_server.certificates.authority,
    )


@pytest.fixture
async def s3(_plain_s3: S3Storage) -> AsyncIterator[S3Storage]:
    """The bucket at SeaweedFS itself."""
    yield _plain_s3
    await _plain_s3.aclose()


@pytest.fixture
async def r2(_strict_r2: S3Storage, r2_shim: R2Shim) -> AsyncIterator[S3Storage]:
    """The bucket behind R2's own rules."""
    yield _strict_r2
    await _strict_r2.aclose()


@pytest.fixture(params=["memory", "local", "s3", "r2"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """Each storage in turn."""
    match request.param:
        case "memory":
            yield MemoryStorage()
        case "local":
            yield LocalStorage(tmp_path / "media")
        case "s3":
            chosen: S3Storage = request.getfixturevalue("_plain_s3")
            yield chosen
            await chosen.aclose()
        case _:
            shim: R2Shim = request.getfixturevalue("r2_shim")
            chosen = request.getfixturevalue("_strict_r2")
            yield chosen
            await chosen.aclose()
            assert shim.violations == []
