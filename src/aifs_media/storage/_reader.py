"""A blocking file, read through worker threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

READ_SIZE = 1024 * 1024


class BlockingFile(Protocol):
    """What is needed of the file."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class BlockingReader:
    """A byte source over a blocking file.

    Args:
        file: what is read; closed by `aclose`.
        run: runs a blocking call in a worker thread and turns its errors into those of the storage.
        length: how many bytes there are, or None.
    """

    def __init__(
        self,
        file: BlockingFile,
        *,
        run: Callable[[Callable[[], bytes | None]], Awaitable[bytes | None]],
        length: int | None,
    ) -> None:
        self.length = length
        self._file = file
        self._run = run

    async def read(self) -> bytes:
        """Return up to 1 MiB; none at the end."""
        return await self._run(lambda: self._file.read(READ_SIZE)) or b""

    async def aclose(self) -> None:
        """Close the file, whether or not the caller is being cancelled."""
        with anyio.CancelScope(shield=True):
            await self._run(self._file.close)
