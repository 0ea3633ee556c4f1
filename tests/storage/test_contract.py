"""What every storage promises: memory, a folder, an S3 server, and the same behind R2's own rules."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import anyio
import pytest
from tests.storage.sources import MEBIBYTE, Source, StuckSource, pattern, read_all

from aifs_media.errors import StorageError, UploadError
from aifs_media.protocols import Readable, Storage

if TYPE_CHECKING:
    from aifs_media.storage.s3 import S3Storage

pytestmark = [pytest.mark.anyio, pytest.mark.s3]

LARGE = pattern(33 * MEBIBYTE + 1)


class SourceFailedError(Exception):
    """What the source of these tests raises."""


async def _put(storage: Storage, key: str, source: Source) -> None:
    await storage.put(key, source, media_type="image/png", labels={})


async def _read(storage: Storage, key: str) -> bytes:
    assert isinstance(storage, Readable)
    return await read_all(await storage.open(key))


async def _is_absent(storage: Storage, key: str) -> bool:
    try:
        await _read(storage, key)
    except StorageError:
        return True
    return False


async def test_plays_the_role(storage: Storage) -> None:
    """Each one is a Storage that can be read back."""
    assert isinstance(storage, Storage)
    assert isinstance(storage, Readable)


async def test_small_object_comes_back(storage: Storage, unique_key: str) -> None:
    """What was put can be opened, with its length and the MD5 as its ETag."""
    stored = await storage.put(unique_key, Source(b"picture"), media_type="image/png", labels={"tenant": "acme"})
    assert (stored.object_key, stored.size, stored.etag) == (unique_key, 7, hashlib.md5(b"picture").hexdigest())
    assert isinstance(storage, Readable)
    source = await storage.open(unique_key)
    assert source.length == 7
    assert await read_all(source) == b"picture"


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("step", [100_003, 40 * MEBIBYTE])
async def test_large_object_comes_back(storage: Storage, unique_key: str, step: int, *, announced: bool) -> None:
    """A file over the limit of one request arrives whole, from short reads and from one long one, of known length or not."""
    await _put(storage, unique_key, Source(LARGE, step=step, length=len(LARGE) if announced else None))
    assert await _read(storage, unique_key) == LARGE


@pytest.mark.parametrize("size", [0, 1, 32 * MEBIBYTE - 1, 32 * MEBIBYTE, 32 * MEBIBYTE + 1, 40 * MEBIBYTE])
async def test_sizes_around_the_limits(s3: S3Storage, unique_key: str, size: int) -> None:
    """Empty files, the last of one request, the first in parts, and a whole number of parts."""
    stored = await s3.put(unique_key, Source(LARGE[:1] * size, step=MEBIBYTE), media_type="video/mp4", labels={})
    assert stored.size == size
    assert stored.etag.endswith("-5") == (size > 32 * MEBIBYTE)
    assert len(await _read(s3, unique_key)) == size


async def test_put_replaces(storage: Storage, unique_key: str) -> None:
    """The second object under a key is the one that stays."""
    await _put(storage, unique_key, Source(b"first"))
    await _put(storage, unique_key, Source(b"second"))
    assert await _read(storage, unique_key) == b"second"


@pytest.mark.parametrize("size", [1000, 34 * MEBIBYTE])
async def test_failing_source_leaves_nothing_visible(storage: Storage, unique_key: str, size: int) -> None:
    """What the source raises is raised as it is, and no object appears."""
    failure = SourceFailedError("bad file")
    with pytest.raises(SourceFailedError) as caught:
        await _put(storage, unique_key, Source(LARGE[:size], step=MEBIBYTE, failure=failure))
    assert caught.value is failure
    assert await _is_absent(storage, unique_key)


@pytest.mark.parametrize("announced", [999, 1001, 35 * MEBIBYTE])
async def test_wrong_length_is_refused(storage: Storage, unique_key: str, announced: int) -> None:
    """A source that ends too early or too late is not stored, and can be tried again."""
    with pytest.raises(UploadError, match=f"{announced} bytes it announced") as caught:
        await _put(storage, unique_key, Source(LARGE[:1000], length=announced))
    assert caught.value.retryable
    assert await _is_absent(storage, unique_key)


@pytest.mark.parametrize("size", [1000, 34 * MEBIBYTE])
async def test_cancelled_put_leaves_nothing_visible(storage: Storage, unique_key: str, size: int) -> None:
    """Cancellation while the source is being read leaves no object."""
    source = StuckSource(LARGE[:size], step=MEBIBYTE)
    async with anyio.create_task_group() as group:
        group.start_soon(_put, storage, unique_key, source)
        await source.stuck.wait()
        group.cancel_scope.cancel()
    assert await _is_absent(storage, unique_key)


async def test_delete_is_idempotent(storage: Storage, unique_key: str) -> None:
    """Deleting twice is as good as once, and nothing is left."""
    await _put(storage, unique_key, Source(b"x"))
    await storage.delete(unique_key)
    await storage.delete(unique_key)
    assert await _is_absent(storage, unique_key)


async def test_absent_object_cannot_be_opened(storage: Storage, unique_key: str) -> None:
    """Opening what is not there is a StorageError that names it."""
    assert isinstance(storage, Readable)
    with pytest.raises(StorageError, match=unique_key):
        await storage.open(unique_key)


async def test_keys_beyond_ascii(storage: Storage, unique_key: str) -> None:
    """Spaces, umlauts, signs of URLs and other scripts are plain characters of a key."""
    key = f"{unique_key}/Über uns + 100% #1?=&;,'()!~ 風景.png"
    await _put(storage, key, Source(b"named"))
    assert await _read(storage, key) == b"named"
    assert (await storage.url(key)).url.isascii()


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a/./b",
        "a//b",
        "a/",
        "..",
        "a\\..\\b",
        "nul\0",
        "line\nbreak",
        "é" * 513,
    ],
)
async def test_keys_that_are_refused(storage: Storage, key: str) -> None:
    """A key that is absolute, leads upwards, is too long or has invisible characters is refused everywhere."""
    with pytest.raises(StorageError, match="cannot be an object key"):
        await _put(storage, key, Source(b"x"))
    with pytest.raises(StorageError, match="cannot be an object key"):
        await storage.url(key)


async def test_usable_after_close(storage: Storage, unique_key: str) -> None:
    """Closing lets go of connections, not of the ability to make new ones."""
    await _put(storage, unique_key, Source(b"before"))
    await storage.aclose()
    assert await _read(storage, unique_key) == b"before"
    await storage.discard_partial(unique_key)
    assert await _read(storage, unique_key) == b"before"


async def test_many_at_a_time(storage: Storage, unique_key: str) -> None:
    """Concurrent puts do not mix."""
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(_put, storage, f"{unique_key}/{number}", Source(b"%d" % number * 1000))
    for number in range(20):
        assert await _read(storage, f"{unique_key}/{number}") == b"%d" % number * 1000
