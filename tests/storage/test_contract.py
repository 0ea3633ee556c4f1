"""Every storage keeps the contract: memory, a folder, an S3 server, and the same behind R2's own rules."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from aifs_media.errors import StorageError, UploadError
from aifs_media.protocols import Readable, Storage
from aifs_media.storage.local import LocalStorage
from aifs_media.storage.memory import MemoryStorage
from aifs_media.testing import StorageContract
from aifs_media.testing.sources import MEBIBYTE, Source, pattern, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.r2_shim import R2Shim

    from aifs_media.storage.s3 import S3Storage

pytestmark = pytest.mark.s3


class TestMemoryStorage(StorageContract):
    """In memory."""

    @pytest.fixture
    def storage(self) -> MemoryStorage:
        return MemoryStorage()


class TestLocalStorage(StorageContract):
    """In a folder."""

    @pytest.fixture
    def storage(self, tmp_path: Path) -> LocalStorage:
        return LocalStorage(tmp_path / "media")


class TestS3Storage(StorageContract):
    """At an S3 server."""

    @pytest.fixture
    def storage(self, _plain_s3: S3Storage) -> S3Storage:
        return _plain_s3


class TestR2Storage(StorageContract):
    """Behind R2's own rules, none of which is broken."""

    @pytest.fixture
    def storage(self, _strict_r2: S3Storage, r2_shim: R2Shim) -> Iterator[S3Storage]:
        yield _strict_r2
        assert r2_shim.violations == []


@pytest.mark.anyio
async def test_ours_can_be_read_back_and_say_the_md5(storage: Storage, unique_key: str) -> None:
    """Each of the built-in ones is Readable, knows an object's length, and has its MD5 as ETag."""
    stored = await storage.put(unique_key, Source(b"picture"), media_type="image/png", labels={"tenant": "acme"})
    assert stored.etag == hashlib.md5(b"picture").hexdigest()
    assert isinstance(storage, Readable)
    source = await storage.open(unique_key)
    assert source.length == 7
    await source.aclose()


@pytest.mark.anyio
async def test_refusals_say_what_is_wrong(storage: Storage, unique_key: str) -> None:
    """A key, a length and a missing object are named."""
    assert isinstance(storage, Readable)
    with pytest.raises(StorageError, match="cannot be an object key"):
        await storage.url("../up")
    with pytest.raises(UploadError, match="999 bytes it announced"):
        await storage.put(unique_key, Source(b"x" * 1000, length=999), media_type="image/png", labels={})
    with pytest.raises(StorageError, match=unique_key):
        await storage.open(unique_key)


@pytest.mark.anyio
@pytest.mark.parametrize("size", [0, 1, 32 * MEBIBYTE - 1, 32 * MEBIBYTE, 32 * MEBIBYTE + 1, 40 * MEBIBYTE])
async def test_sizes_around_the_limits(s3: S3Storage, unique_key: str, size: int) -> None:
    """Empty files, the last of one request, the first in parts, and a whole number of parts."""
    stored = await s3.put(unique_key, Source(pattern(8)[:1] * size, step=MEBIBYTE), media_type="video/mp4", labels={})
    assert stored.size == size
    assert stored.etag.endswith("-5") == (size > 32 * MEBIBYTE)
    assert len(await read_all(await s3.open(unique_key))) == size
