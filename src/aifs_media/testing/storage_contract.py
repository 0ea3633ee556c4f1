"""What every storage promises, as tests to subclass. Needs pytest."""

from __future__ import annotations

import functools
import uuid

import anyio
import pytest

from aifs_media.errors import StorageError
from aifs_media.protocols import Readable, Storage, role
from aifs_media.testing._loops import on_both_loops
from aifs_media.testing.sources import MEBIBYTE, Source, StuckSource, pattern, read_all


class SourceFailedError(Exception):
    """What a source of these checks raises."""


@functools.cache
def _large() -> bytes:
    return pattern(33 * MEBIBYTE + 1)


def new_key() -> str:
    """Name an object that nothing else uses."""
    return f"contract/{uuid.uuid4().hex}.bin"


async def put(storage: Storage, key: str, source: Source) -> None:
    """Write an object."""
    await storage.put(key, source, media_type="image/png", labels={})


class StorageContract:
    """The promises of a storage. Subclass it in a test module, with a fixture `storage` that returns one.

    For example:

        class TestMyStorage(StorageContract):
            @pytest.fixture
            def storage(self, tmp_path):
                return MyStorage(tmp_path)

    Each check runs on asyncio and on trio, uses keys below `contract/` that nothing else has, and closes the storage at its end.
    """

    async def read(self, storage: Storage, key: str) -> bytes:
        """Return an object's bytes; override for a storage that is not `Readable`. Raises StorageError if it is not there."""
        readable = role(storage, Readable)
        assert readable is not None, (
            "This storage cannot be read back: override read(), so that the checks can look into it."
        )
        return await read_all(await readable.open(key))

    async def _is_absent(self, storage: Storage, key: str) -> bool:
        try:
            await self.read(storage, key)
        except StorageError:
            return True
        return False

    @on_both_loops
    async def test_plays_the_role(self, storage: Storage) -> None:
        """It has the members of a storage."""
        assert isinstance(storage, Storage), "A storage has name, put, url, delete, discard_partial and aclose."

    @on_both_loops
    async def test_small_object_comes_back(self, storage: Storage) -> None:
        """What was put can be opened."""
        key = new_key()
        stored = await storage.put(key, Source(b"picture"), media_type="image/png", labels={"tenant": "acme"})
        assert (stored.object_key, stored.size) == (key, 7)
        assert await self.read(storage, key) == b"picture"

    @pytest.mark.parametrize("announced", [True, False])
    @pytest.mark.parametrize("step", [100_003, 40 * MEBIBYTE])
    @on_both_loops
    async def test_large_object_comes_back(self, storage: Storage, step: int, *, announced: bool) -> None:
        """A file over the limit of one request arrives whole, from short reads and from one long one, of known length or not."""
        key = new_key()
        await put(storage, key, Source(_large(), step=step, length=len(_large()) if announced else None))
        assert await self.read(storage, key) == _large()

    @on_both_loops
    async def test_put_replaces(self, storage: Storage) -> None:
        """The second object under a key is the one that stays."""
        key = new_key()
        await put(storage, key, Source(b"first"))
        await put(storage, key, Source(b"second"))
        assert await self.read(storage, key) == b"second"

    @pytest.mark.parametrize("size", [1000, 34 * MEBIBYTE])
    @on_both_loops
    async def test_failing_source_leaves_nothing_visible(self, storage: Storage, size: int) -> None:
        """What the source raises is raised as it is, and no object appears."""
        key = new_key()
        failure = SourceFailedError("bad file")
        with pytest.raises(SourceFailedError) as caught:
            await put(storage, key, Source(_large()[:size], step=MEBIBYTE, failure=failure))
        assert caught.value is failure
        assert await self._is_absent(storage, key)

    @pytest.mark.parametrize("announced", [999, 1001, 35 * MEBIBYTE])
    @on_both_loops
    async def test_wrong_length_is_refused(self, storage: Storage, announced: int) -> None:
        """A source that ends too early or too late is not stored, and can be tried again."""
        key = new_key()
        with pytest.raises(StorageError) as caught:
            await put(storage, key, Source(_large()[:1000], length=announced))
        assert caught.value.retryable
        assert await self._is_absent(storage, key)

    @pytest.mark.parametrize("size", [1000, 34 * MEBIBYTE])
    @on_both_loops
    async def test_cancelled_put_leaves_nothing_visible(self, storage: Storage, size: int) -> None:
        """Cancellation while the source is being read leaves no object."""
        key = new_key()
        source = StuckSource(_large()[:size], step=MEBIBYTE)
        async with anyio.create_task_group() as group:
            group.start_soon(put, storage, key, source)
            await source.stuck.wait()
            group.cancel_scope.cancel()
        assert await self._is_absent(storage, key)

    @on_both_loops
    async def test_delete_is_idempotent(self, storage: Storage) -> None:
        """Deleting twice is as good as once, and nothing is left."""
        key = new_key()
        await put(storage, key, Source(b"x"))
        await storage.delete(key)
        await storage.delete(key)
        assert await self._is_absent(storage, key)

    @on_both_loops
    async def test_absent_object_cannot_be_read(self, storage: Storage) -> None:
        """Reading what is not there is a StorageError."""
        key = new_key()
        with pytest.raises(StorageError):
            await self.read(storage, key)

    @on_both_loops
    async def test_keys_beyond_ascii(self, storage: Storage) -> None:
        """Spaces, umlauts, signs of URLs and other scripts are plain characters of a key."""
        key = new_key()
        key = f"{key}/Über uns + 100% #1?=&;,'()!~ 風景.png"
        await put(storage, key, Source(b"named"))
        assert await self.read(storage, key) == b"named"
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
    @on_both_loops
    async def test_keys_that_are_refused(self, storage: Storage, key: str) -> None:
        """A key that is absolute, leads upwards, is too long or has invisible characters is refused everywhere."""
        with pytest.raises(StorageError):
            await put(storage, key, Source(b"x"))
        with pytest.raises(StorageError):
            await storage.url(key)

    @on_both_loops
    async def test_usable_after_close(self, storage: Storage) -> None:
        """Closing lets go of connections, not of the ability to make new ones."""
        key = new_key()
        await put(storage, key, Source(b"before"))
        await storage.aclose()
        assert await self.read(storage, key) == b"before"
        await storage.discard_partial(key)
        assert await self.read(storage, key) == b"before"

    @on_both_loops
    async def test_many_at_a_time(self, storage: Storage) -> None:
        """Concurrent puts do not mix."""
        key = new_key()
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(put, storage, f"{key}/{number}", Source(b"%d" % number * 1000))
        for number in range(20):
            assert await self.read(storage, f"{key}/{number}") == b"%d" % number * 1000
