"""Assets in this process's memory, for tests and for trying things out. They are gone when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING

from aifs_media._keys import public_url
from aifs_media.errors import RequestRejectedError, StorageError
from aifs_media.records import ObjectURL, StoredObject
from aifs_media.storage._object_key import check_object_key
from aifs_media.storage._pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.protocols import ByteSource

READ_SIZE = 1024 * 1024


@dataclass(frozen=True)
class MemoryObject:
    """One stored object: its bytes, media type and labels."""

    data: bytes = field(repr=False)
    media_type: str
    labels: Mapping[str, str]


class MemoryStorage:
    """Assets in memory. `objects` holds them by object key; their URLs, `memory:///...`, mean something to this process only."""

    def __init__(self) -> None:
        self.name = "memory"
        self.objects: dict[str, MemoryObject] = {}

    async def put(
        self, object_key: str, source: ByteSource, *, media_type: str, labels: Mapping[str, str]
    ) -> StoredObject:
        """Read the source to its end and keep it, replacing what was there. Raises StorageError for a source cut short."""
        check_object_key(object_key)
        pieces = Pieces(source)
        kept = bytearray()
        while piece := await pieces.take(READ_SIZE):
            kept += piece
        data = bytes(kept)
        self.objects[object_key] = MemoryObject(data, media_type, dict(labels))
        return StoredObject(object_key=object_key, size=len(data), etag=md5(data, usedforsecurity=False).hexdigest())

    async def url(self, object_key: str, *, expires_in: float | None = None) -> ObjectURL:
        """Return the object's name as a URL. Raises RequestRejectedError for `expires_in`: nothing here ends by itself."""
        check_object_key(object_key)
        if expires_in is not None:
            raise RequestRejectedError(
                "The memory storage cannot make URLs that end by themselves.",
                hint="Leave expires_in out, or use a bucket.",
            )
        return ObjectURL(url=public_url("memory://", object_key))

    async def open(self, object_key: str) -> ByteSource:
        """Open an object. Raises StorageError if it is not there."""
        found = self.objects.get(check_object_key(object_key))
        if found is None:
            raise StorageError(f"There is no object {object_key!r} in memory.", hint="It may have been deleted.")
        return _KeptBytes(found.data)

    async def delete(self, object_key: str) -> None:
        """Remove the object; one that is not there is fine."""
        self.objects.pop(check_object_key(object_key), None)

    async def discard_partial(self, object_key: str) -> None:
        """Do nothing: what was not kept went with its call."""
        check_object_key(object_key)

    async def aclose(self) -> None:
        """Do nothing: the objects stay until the process ends."""


class _KeptBytes:
    """Kept bytes being read."""

    def __init__(self, data: bytes) -> None:
        self.length: int | None = len(data)
        self._data = data
        self._position = 0

    async def read(self) -> bytes:
        """Return up to 1 MiB."""
        chunk = self._data[self._position : self._position + READ_SIZE]
        self._position += len(chunk)
        return chunk

    async def aclose(self) -> None:
        """Let go of the bytes."""
        self._data = b""
