"""Worker threads of one storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, Unpack

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class Threads:
    """Runs blocking calls, at most `limit` at a time per event loop.

    The limit is the storage's own: anyio's default one is shared with name resolution. A running call is never abandoned,
    because what it writes would appear after its caller was told that it failed; cancellation waits for it to end.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limiter: RunVar[CapacityLimiter] = RunVar("aifs_media_storage_threads")

    async def run(self, function: Callable[[Unpack[Arguments]], T], *arguments: *Arguments) -> T:
        """Call the function in a worker thread and return its result."""
        try:
            limiter = self._limiter.get()
        except LookupError:
            limiter = CapacityLimiter(self._limit)
            self._limiter.set(limiter)
        return await to_thread.run_sync(function, *arguments, limiter=limiter)
