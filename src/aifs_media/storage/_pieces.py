"""A byte source cut into pieces of an exact size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aifs_media.errors import UploadError

if TYPE_CHECKING:
    from aifs_media.protocols import ByteSource


class Pieces:
    """Reads a source, whose reads may be of any length, and hands out pieces of exactly the size asked for.

    The total is compared with the length that the source announced: a connection that ended early would otherwise be stored
    as a good object. `total` is the number of bytes read so far.
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._buffer = bytearray()
        self._ended = False
        self.total = 0

    async def fill(self, size: int) -> bool:
        """Read ahead until `size` bytes wait; False if the source ends before."""
        while len(self._buffer) < size and not self._ended:
            chunk = await self._source.read()
            self._buffer += chunk
            self.total += len(chunk)
            self._ended = not chunk
            self._check_length()
        return len(self._buffer) >= size

    async def take(self, size: int) -> bytearray:
        """Return the next `size` bytes: fewer at the end of the source, none after it."""
        if await self.fill(size):
            piece = self._buffer[:size]
            del self._buffer[:size]
            return piece
        piece, self._buffer = self._buffer, bytearray()
        return piece

    def _check_length(self) -> None:
        length = self._source.length
        if length is not None and (self.total > length or (self._ended and self.total < length)):
            count = "more than" if self.total > length else f"only {self.total} of"
            raise UploadError(
                f"The source held {count} the {length} bytes it announced. Nothing was stored.",
                hint="Its connection was probably cut; fetch it again.",
                retryable=True,
            )
