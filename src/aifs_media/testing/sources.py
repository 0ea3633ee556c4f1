"""Byte sources for tests of storages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from aifs_media.protocols import ByteSource

MEBIBYTE = 1024 * 1024


def pattern(size: int) -> bytes:
    """Return bytes in which no two parts are equal."""
    block = b"".join(number.to_bytes(4, "big") for number in range(min(size, MEBIBYTE) // 4 + 1))
    return b"".join(bytes([turn % 251]) + block for turn in range(size // len(block) + 1))[:size]


class Source:
    """Hands out `data` in reads of `step` bytes, then raises `failure` if there is one."""

    def __init__(
        self, data: bytes, *, step: int = 65_536, length: int | None = None, failure: Exception | None = None
    ) -> None:
        self.length = length
        self._data = memoryview(data)
        self._step = step
        self._failure = failure

    async def read(self) -> bytes:
        """Return the next bytes."""
        await anyio.lowlevel.checkpoint()
        chunk, self._data = bytes(self._data[: self._step]), self._data[self._step :]
        if not chunk and self._failure is not None:
            raise self._failure
        return chunk

    async def aclose(self) -> None:
        """Do nothing."""


class StuckSource(Source):
    """Hands out `data`, then waits for ever; `stuck` is set when it does."""

    def __init__(self, data: bytes, *, step: int = 65_536) -> None:
        super().__init__(data, step=step)
        self.stuck = anyio.Event()

    async def read(self) -> bytes:
        """Return the next bytes, or wait."""
        if chunk := await super().read():
            return chunk
        self.stuck.set()
        await anyio.sleep_forever()
        return b""


async def read_all(source: ByteSource) -> bytes:
    """Read a source to its end and close it."""
    data = bytearray()
    try:
        while chunk := await source.read():
            data += chunk
        assert await source.read() == b""
    finally:
        await source.aclose()
    return bytes(data)
